"""Classifiers of Hugging Face. Imports transformers: only `building` imports this."""

from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import constants, snapshot_download
from torch import nn

from engine.errors import first_line
from engine.models.zoo.catalog import CLASSES, Architecture
from engine.models.zoo.download import cannot_fetch, check_reachable

#: What is wanted of a repository.
_FILES = ["config.json", "*.safetensors", "*.safetensors.index.json"]


class LogitsOnly(nn.Module):  # type: ignore[misc]  # torch has no types here
    """A classifier of Hugging Face with one tensor for an answer, not a record."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Turn float32[n, 3, side, side] into float32[n, 1000]."""
        return self.model(pixel_values=pixel_values, return_dict=True).logits


def build_random(architecture: Architecture, image_size_px: int) -> nn.Module:
    """Return it as transformers draws it, without asking the network; the caller has seeded torch."""
    kind, config = _described(architecture)
    if architecture.patch_px:
        config.image_size = image_size_px
    return LogitsOnly(kind(config))


def build_pretrained(architecture: Architecture, image_size_px: int) -> nn.Module:
    """Return it with the weights of its repository, from Hugging Face's cache or the network.

    Raises:
        ModelError: They cannot be fetched or read.
    """
    kind, _ = _described(architecture)

    def load(*, local_files_only: bool) -> Any:
        # By the path in the cache: a name would also be that of a folder in the current directory.
        folder = snapshot_download(architecture.source, allow_patterns=_FILES, local_files_only=local_files_only)
        # No pickles, and no code from the repository.
        return kind.from_pretrained(Path(folder).absolute(), use_safetensors=True, local_files_only=True)

    try:
        model = load(local_files_only=True)
    except Exception:  # noqa: BLE001 - whatever it is, the network may mend it, and else says what is wrong
        check_reachable(constants.ENDPOINT, architecture.name)
        try:
            model = load(local_files_only=False)
        except Exception as exc:  # of transformers, huggingface_hub, httpx, safetensors …
            url = f"{constants.ENDPOINT}/{architecture.source}"
            raise cannot_fetch(architecture.name, url, first_line(exc)) from exc
    if architecture.patch_px:
        _resize(model.vit.embeddings, image_size_px)
    return LogitsOnly(model.float())


def _described(architecture: Architecture) -> tuple[Any, Any]:
    """Return the class, and the configuration that the repository has."""
    # Source: config.json of microsoft/resnet-152 and of google/vit-base-patch16-224.
    if architecture.source == "microsoft/resnet-152":
        config = transformers.ResNetConfig(depths=[3, 8, 36, 3], num_labels=CLASSES)
        return transformers.ResNetForImageClassification, config
    return transformers.ViTForImageClassification, transformers.ViTConfig(num_labels=CLASSES)


def _resize(embeddings: Any, image_size_px: int) -> None:
    """Let a ViT's embeddings of 224 pixels' positions be those of another size."""
    step_px = embeddings.patch_size
    patches = (image_size_px // step_px) ** 2
    with torch.no_grad():
        like = torch.zeros(1, 1 + patches, embeddings.position_embeddings.shape[-1])
        resized = embeddings.interpolate_pos_encoding(like, image_size_px, image_size_px)
    embeddings.position_embeddings = nn.Parameter(resized.clone())
    embeddings.image_size = embeddings.patch_embeddings.image_size = (image_size_px, image_size_px)
