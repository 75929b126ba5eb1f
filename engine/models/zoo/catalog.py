"""The classifiers that can be built by name. Pure data: torch is not imported here."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from engine.errors import OptionsError
from engine.options import nearest

Origin = Literal["torchvision", "transformers"]

#: The shape of every one of them: float32[batch_size, 3, image_size_px, image_size_px] in, RGB and normalised;
#: float32[batch_size, 1000] of logits out. The names, and the name of the batch's axis, are those that the vendor's
#: script gives and its compiler is told (`-onnx-define-symbol=batch_size,14`).
#: Source: quic/cloud-ai-sdk, models/vision/classification/run_cv_classifier.py.
INPUT_NAME = "input"
OUTPUT_NAME = "output"
BATCH_AXIS = "batch_size"
CHANNELS = 3
CLASSES = 1000

DEFAULT_IMAGE_SIZE_PX = 224
DEFAULT_OPSET = 13


@dataclass(frozen=True, slots=True)
class Architecture:
    """A classifier that can be built by name.

    Attributes:
        name: What users call it.
        origin: The library that it comes from.
        source: The name of torchvision's builder, or the repository on Hugging Face.
        image_size_px: Width and height of its pictures, where the look-up table says nothing else.
        smallest_opset: The smallest ONNX opset that it can be exported with.
        pretrained: Which of torchvision's weights `pretrained` means; `DEFAULT` is the best that torchvision has, as
            the vendor's script takes them. Hugging Face has one set in each repository.
        patch_px: The side of a ViT's patches, of which its pictures consist; None where any size will do.
    """

    name: str
    origin: Origin
    source: str
    image_size_px: int = DEFAULT_IMAGE_SIZE_PX
    smallest_opset: int = 9
    pretrained: str = "DEFAULT"
    patch_px: int | None = None


#: Attention is written with an operator that opset 13 lacks.
_TRANSFORMER_OPSET = 14

#: In the order in which the vendor's script lists them.
_NAMES = (
    "alexnet", "densenet121", "densenet161", "densenet169", "densenet201", "efficientnet_b0", "efficientnet_b1",
    "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6", "efficientnet_b7",
    "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s", "inception_v3", "mnasnet0_5", "mnasnet0_75",
    "mnasnet1_0", "mnasnet1_3", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "resnet101", "resnet152",
    "resnet-152", "resnet18", "resnet34", "resnet50", "resnet-50", "resnext101_32x8d", "resnext101_64x4d",
    "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0",
    "squeezenet1_0", "squeezenet1_1", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19",
    "vgg19_bn", "vit_b_16", "vit_b_32", "vit-base-patch16-224", "wide_resnet101_2", "wide_resnet50_2",
)  # fmt: skip

#: Source: the IMAGE_SIZE of each in the vendor's look-up table, engine/backends/simulator/aic100_cv_classifiers.csv.
_IMAGE_SIZES_PX = {
    "efficientnet_b1": 240,
    "efficientnet_b2": 260,
    "efficientnet_b3": 300,
    "efficientnet_b4": 380,
    "efficientnet_b5": 456,
    "efficientnet_b6": 528,
    "efficientnet_b7": 600,
    "efficientnet_v2_l": 480,
    "efficientnet_v2_m": 480,
    "efficientnet_v2_s": 384,
    "inception_v3": 299,
}

_PECULIAR = (
    Architecture("resnet-50", "torchvision", "resnet50", pretrained="IMAGENET1K_V2"),
    Architecture("resnet-152", "transformers", "microsoft/resnet-152"),
    Architecture("vit_b_16", "torchvision", "vit_b_16", smallest_opset=_TRANSFORMER_OPSET, patch_px=16),
    Architecture("vit_b_32", "torchvision", "vit_b_32", smallest_opset=_TRANSFORMER_OPSET, patch_px=32),
    Architecture(
        "vit-base-patch16-224",
        "transformers",
        "google/vit-base-patch16-224",
        smallest_opset=_TRANSFORMER_OPSET,
        patch_px=16,
    ),
)


def _plain(name: str) -> Architecture:
    """Return one of torchvision's that is called as its builder is."""
    return Architecture(name, "torchvision", name, _IMAGE_SIZES_PX.get(name, DEFAULT_IMAGE_SIZE_PX))


_KNOWN = {architecture.name: architecture for architecture in _PECULIAR}

#: All of them by name, in the vendor's order.
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {name: _KNOWN.get(name) or _plain(name) for name in _NAMES}
)


def find_architecture(name: str) -> Architecture:
    """Return the classifier of that name, in whatever case it is written.

    Raises:
        OptionsError: There is none; it names the nearest.
    """
    architecture = ARCHITECTURES.get(name.lower())
    if architecture is None:
        hint = nearest(name.lower(), ARCHITECTURES) or f": one of {', '.join(ARCHITECTURES)}"
        raise OptionsError(f"no classifier {name!r}{hint}")
    return architecture
