"""Classifiers of torchvision. Imports torch: only `building` imports this."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision.models import get_model, get_model_weights
from torchvision.models.vision_transformer import interpolate_embeddings

from engine.errors import ModelError, first_line
from engine.models.zoo.catalog import Architecture
from engine.models.zoo.download import fetch

#: The weights of DenseNet are of a time when a layer's name could hold a dot. Source: pytorch/vision, densenet.py.
_OLD_LAYER = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12]\.)")


class ExportablePool(nn.Module):  # type: ignore[misc]  # torch has no types here
    """Adaptive average pooling that ONNX has for any size.

    The exporter writes it as a pooling operator, which is one only where the map's side is a multiple of the side that
    is asked for. Elsewhere it is written as products with matrices that hold the means.
    """

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Turn float32[n, channels, height, width] into float32[n, channels, side, side]."""
        height, width = int(maps.shape[2]), int(maps.shape[3])
        if height % self.side == 0 and width % self.side == 0:
            return nn.functional.adaptive_avg_pool2d(maps, self.side)
        return _means(height, self.side) @ maps @ _means(width, self.side).T


def build_random(architecture: Architecture, image_size_px: int) -> nn.Module:
    """Return it as torchvision draws it; the caller has seeded torch."""
    module = _build(architecture, image_size_px)
    return _without_auxiliary(module)


def build_pretrained(architecture: Architecture, image_size_px: int) -> nn.Module:
    """Return it with the weights that the catalogue names, from torch's cache or the network.

    Raises:
        ModelError: They cannot be fetched or read.
    """
    weights = get_model_weights(architecture.source)[architecture.pretrained]
    path = Path(torch.hub.get_dir(), "checkpoints", weights.url.rpartition("/")[2])
    fetch(weights.url, path, architecture.name)
    try:
        # Finds the file just fetched. `weights_only`: nothing in it is executed.
        state = weights.get_state_dict(progress=False, weights_only=True)
        module = _build(architecture, image_size_px)
        module.load_state_dict(_fitting(state, architecture, image_size_px))
    except Exception as exc:  # torch raises anything on a damaged file
        raise ModelError(f"the weights of {architecture.name} in {path} cannot be read: {first_line(exc)}") from exc
    return _without_auxiliary(module)


def _build(architecture: Architecture, image_size_px: int) -> nn.Module:
    options: dict[str, Any] = {"weights": None}
    if architecture.patch_px:
        options["image_size"] = image_size_px
    if architecture.source == "inception_v3":
        # As with its own weights, so that the graph is the same with any.
        options |= {"transform_input": True, "init_weights": True}
    module = get_model(architecture.source, **options)
    pool = getattr(module, "avgpool", None)
    if isinstance(pool, nn.AdaptiveAvgPool2d) and pool.output_size not in (1, (1, 1)):
        module.avgpool = ExportablePool(pool.output_size[0])
    return module


def _without_auxiliary(module: nn.Module) -> nn.Module:
    """Drop Inception's second classifier, which only its training uses."""
    if getattr(module, "AuxLogits", None) is not None:
        module.aux_logits = False
        module.AuxLogits = None
    return module


def _fitting(state: Mapping[str, Any], architecture: Architecture, image_size_px: int) -> Mapping[str, Any]:
    if architecture.patch_px:
        resized: Mapping[str, Any] = interpolate_embeddings(image_size_px, architecture.patch_px, state)
        return resized
    if architecture.source.startswith("densenet"):
        return {_OLD_LAYER.sub(r"\1\2", name): tensor for name, tensor in state.items()}
    return state


def _means(size: int, side: int) -> torch.Tensor:
    """Return which of a row's entries each mean is of: float32[side, size], as torch divides them."""
    matrix = torch.zeros(side, size)
    for row in range(side):
        begin, end = row * size // side, -(-(row + 1) * size // side)
        matrix[row, begin:end] = 1 / (end - begin)
    return matrix
