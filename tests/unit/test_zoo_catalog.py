"""Which classifiers there are."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

import engine.backends.simulator
from engine.errors import OptionsError
from engine.models.zoo.catalog import ARCHITECTURES, find_architecture
from tests.fakes.programs import python

TABLE = Path(engine.backends.simulator.__file__).parent / "aic100_cv_classifiers.csv"

#: Those that the vendor's script lists, in its order.
LISTED = """
alexnet densenet121 densenet161 densenet169 densenet201
efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 efficientnet_b6
efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s
inception_v3 mnasnet0_5 mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small
resnet101 resnet152 resnet-152 resnet18 resnet34 resnet50 resnet-50
resnext101_32x8d resnext101_64x4d resnext50_32x4d
shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1
vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn
vit_b_16 vit_b_32 vit-base-patch16-224 wide_resnet101_2 wide_resnet50_2
"""


def test_every_listed_classifier_is_there_in_the_order_of_the_list() -> None:
    assert list(ARCHITECTURES) == LISTED.split()
    assert len(ARCHITECTURES) == 53
    assert all(architecture.name == name for name, architecture in ARCHITECTURES.items())


def test_fifty_are_torchvisions_by_name_and_three_are_not() -> None:
    others = {
        name: (architecture.origin, architecture.source, architecture.pretrained)
        for name, architecture in ARCHITECTURES.items()
        if (architecture.origin, architecture.source, architecture.pretrained) != ("torchvision", name, "DEFAULT")
    }
    assert others == {
        "resnet-50": ("torchvision", "resnet50", "IMAGENET1K_V2"),
        "resnet-152": ("transformers", "microsoft/resnet-152", "DEFAULT"),
        "vit-base-patch16-224": ("transformers", "google/vit-base-patch16-224", "DEFAULT"),
    }


def test_image_sizes_are_those_of_the_vendors_table() -> None:
    with TABLE.open(encoding="utf-8-sig", newline="") as file:
        sizes = {row["MODEL_NAME"]: int(row["IMAGE_SIZE"]) for row in csv.DictReader(file) if row["MODEL_NAME"]}
    assert len(sizes) == 53
    assert sizes == {name: architecture.image_size_px for name, architecture in ARCHITECTURES.items()}


@pytest.mark.parametrize("name", ["vit_b_16", "vit_b_32", "vit-base-patch16-224"])
def test_a_vit_has_whole_patches_and_a_larger_opset(name: str) -> None:
    architecture = find_architecture(name)
    assert architecture.patch_px is not None
    assert architecture.image_size_px % architecture.patch_px == 0
    assert architecture.smallest_opset == 14
    assert all(other.smallest_opset <= 13 for other in ARCHITECTURES.values() if other.patch_px is None)


def test_a_name_that_is_nearly_right_is_put_right() -> None:
    with pytest.raises(OptionsError, match=r"^no classifier 'resnet_50': did you mean resnet-?50\?$"):
        find_architecture("resnet_50")


def test_a_name_in_another_case_is_that_name() -> None:
    assert find_architecture("SqueezeNet1_1").name == "squeezenet1_1"
    assert find_architecture("ViT_B_16").name == "vit_b_16"


def test_a_name_that_is_like_none_lists_them() -> None:
    with pytest.raises(OptionsError, match=r"^no classifier 'x': one of alexnet, .*, wide_resnet50_2$"):
        find_architecture("x")


def test_the_catalogue_is_frozen() -> None:
    with pytest.raises(TypeError):
        ARCHITECTURES["mine"] = replace(ARCHITECTURES["alexnet"], name="mine")  # type: ignore[index]


def test_nothing_heavy_is_imported_before_a_classifier_is_built() -> None:
    modules = ", ".join(f"engine.models.zoo.{name}" for name in ("catalog", "agreement", "building", "export"))
    heavy = ("torch", "torchvision", "transformers", "onnx", "requests")
    done = python(["-c", f"import sys, {modules}; print([name for name in {heavy} if name in sys.modules])"])
    assert done.stdout.strip() == "[]", done.stderr
