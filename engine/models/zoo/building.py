"""Building a classifier by name, with trained weights or with random ones."""

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.backends.software import extra, require
from engine.errors import OptionsError, first_line
from engine.models.zoo.catalog import Architecture

Weights = Literal["pretrained", "random"]

#: What Hugging Face's libraries read as they are imported. The last one: no service is asked to convert weights.
_QUIETLY = {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DISABLE_SAFETENSORS_CONVERSION": "1"}


@dataclass(frozen=True, slots=True)
class ZooModel:
    """A classifier that is built, and waits to be exported or asked.

    Attributes:
        architecture: What it is.
        module: A `torch.nn.Module` in evaluation mode on the CPU: float32[n, 3, image_size_px, image_size_px], RGB and
            normalised, to logits, float32[n, 1000].
        weights: Where its weights are from.
        image_size_px: Width and height of its pictures.
    """

    architecture: Architecture
    module: Any
    weights: Weights
    image_size_px: int

    def answer(self, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return torch's own logits, which those of every runtime are compared with.

        Args:
            pictures: float32[n, 3, image_size_px, image_size_px].

        Returns:
            float32[n, 1000].
        """
        import torch

        with torch.inference_mode():
            logits: NDArray[np.float32] = self.module(torch.from_numpy(np.ascontiguousarray(pictures))).numpy()
        return logits


def build(architecture: Architecture, weights: Weights, image_size_px: int, *, seed: int = 0) -> ZooModel:
    """Build a classifier.

    Args:
        architecture: One of the catalogue.
        weights: `pretrained`: ImageNet's, from the cache of torch or Hugging Face, else from the network. `random`:
            drawn from the seed, such that other pictures have other answers of order 1; needs no network.
        image_size_px: Width and height of its pictures.
        seed: Of the random weights. The same seed and the same torch give the same weights.

    Raises:
        OptionsError: The image size is none for it.
        ModelError: The weights cannot be fetched or read.
        BackendError: torch, torchvision or transformers is missing; it has the line that installs them.
    """
    step_px = architecture.patch_px or 1
    if image_size_px < 1 or image_size_px % step_px:
        raise OptionsError(f"image size {image_size_px}: {architecture.name} takes multiples of {step_px} pixels")
    origin = _origin(architecture)
    from engine.models.zoo import random_weights

    if weights == "pretrained":
        module = origin.build_pretrained(architecture, image_size_px).eval()
    else:
        with random_weights.seeded(seed):
            module = origin.build_random(architecture, image_size_px).eval()
            try:
                random_weights.make_usable(module, image_size_px)
            except RuntimeError as exc:  # a layer that has nothing left to look at
                raise OptionsError(
                    f"image size {image_size_px} is too small for {architecture.name}: {first_line(exc)}"
                ) from exc
    module.requires_grad_(requires_grad=False)
    return ZooModel(architecture, module, weights, image_size_px)


def weight_shapes(architecture: Architecture) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a classifier's weights, in its own order; no memory is taken for them.

    Raises:
        BackendError: torch, torchvision or transformers is missing; it has the line that installs them.
    """
    origin = _origin(architecture)
    import torch

    with torch.device("meta"):
        state = origin.build_random(architecture, architecture.image_size_px).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _origin(architecture: Architecture) -> Any:
    """Return the module that builds it."""
    for variable, value in _QUIETLY.items():
        os.environ.setdefault(variable, value)
    for module in ("torch", architecture.origin):
        require(module, architecture.name, extra("classifiers"), kind="classifier")
    if architecture.origin == "torchvision":
        from engine.models.zoo import from_torchvision

        return from_torchvision
    from engine.models.zoo import from_transformers

    return from_transformers
