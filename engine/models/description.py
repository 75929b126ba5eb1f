"""What a model's file, a `model.toml` beside it and the user say about it; the later ones win.

The metadata keys of an ONNX file: `streamer.name`, `streamer.labels` (a JSON list), `streamer.activation` and
`streamer.preprocessing` (a JSON object with the keys of `model.toml` below). A `model.toml` in the same folder, or
`<file name without suffix>.toml`:

    name = "bottles"
    labels = ["full", "empty"]        # or labels_file = "labels.txt", one a line
    activation = "softmax"            # or "none"
    [preprocessing]
    short_side = 256
    crop = [224, 224]                 # height, width
    mean = [0.485, 0.456, 0.406]
    std = [0.229, 0.224, 0.225]
    layout = "NCHW"
    dtype = "float32"                 # must be the input's own; the pixels are 0–1 before mean and std
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from engine.errors import ModelError

_CHANNELS = 3
_MAX_SIDE_PX = 8192
_MAX_TEXT_BYTES = 16 * 1024**2
_PREPROCESSING_KEYS = {"short_side", "crop", "mean", "std", "layout", "dtype"}
_KEYS = {"name", "labels", "labels_file", "activation", "preprocessing"}


@dataclass(frozen=True, slots=True)
class ModelDescription:
    """What is known of a model; None where nobody said it.

    Attributes:
        short_side_px: Of the picture after resizing.
        crop_px: Height and width cut out of its centre.
        mean: Per channel, RGB, 0–1.
        std: The deviation, likewise.
        dtype: Of the input, for a check against the file.
    """

    name: str | None = None
    labels: tuple[str, ...] | None = None
    short_side_px: int | None = None
    crop_px: tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    layout: str | None = None
    dtype: str | None = None
    activation: str | None = None

    def over(self, other: "ModelDescription") -> "ModelDescription":
        """Return this description, with `other` where this one says nothing."""
        ours = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(other, **{name: value for name, value in ours.items() if value is not None})


def from_metadata(metadata: Mapping[str, str], model: Path) -> ModelDescription:
    """Read what an ONNX file's own metadata says.

    Raises:
        ModelError: A value of ours is not what it should be.
    """
    values: dict[str, Any] = {}
    for key in ("name", "activation"):
        if text := metadata.get(f"streamer.{key}"):
            values[key] = text
    for key in ("labels", "preprocessing"):
        if text := metadata.get(f"streamer.{key}"):
            try:
                values[key] = json.loads(text)
            except (ValueError, RecursionError) as exc:
                raise ModelError(f"{model}: its metadata streamer.{key} is no JSON: {exc}") from exc
    return _describe(values, f"the metadata of {model}", model.parent)


def from_toml(model: Path) -> ModelDescription:
    """Read the TOML file beside a model, where there is one.

    Raises:
        ModelError: It cannot be read, or says what it must not.
    """
    for path in (model.with_suffix(".toml"), model.parent / "model.toml"):
        if path.is_file():
            try:
                values = tomllib.loads(_text_of(path))
            except (OSError, ValueError, RecursionError) as exc:
                raise ModelError(f"{path} cannot be read: {exc}") from exc
            return _describe(values, str(path), path.parent)
    return ModelDescription()


def _text_of(path: Path) -> str:
    """Return a short text file's content.

    Raises:
        OSError: It cannot be read.
        ValueError: It is too long, or no text.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_TEXT_BYTES + 1)
    if len(content) > _MAX_TEXT_BYTES:
        raise ValueError(f"it has more than {_MAX_TEXT_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def read_labels(path: Path) -> tuple[str, ...]:
    """Read a text file with one label a line.

    Raises:
        ModelError: It cannot be read, or is empty.
    """
    try:
        labels = tuple(line.strip() for line in _text_of(path).splitlines() if line.strip())
    except (OSError, ValueError) as exc:
        raise ModelError(f"cannot read the labels in {path}: {exc}") from exc
    if not labels:
        raise ModelError(f"{path} has no labels: write one a line")
    return labels


def _describe(values: Mapping[str, Any], origin: str, folder: Path) -> ModelDescription:
    preprocessing = values.get("preprocessing", {})
    if not isinstance(preprocessing, dict):
        raise ModelError(f"{origin}: preprocessing is no table")
    unknown = (set(values) - _KEYS) | (set(preprocessing) - _PREPROCESSING_KEYS)
    if unknown:
        known = ", ".join(sorted(_KEYS | _PREPROCESSING_KEYS))
        raise ModelError(f"{origin}: unknown key {min(unknown)}: there are {known}")
    labels = values.get("labels")
    if labels is None and "labels_file" in values:
        if not isinstance(values["labels_file"], str):
            raise ModelError(f"{origin}: labels_file is no text")
        file = (folder / values["labels_file"]).resolve()
        if not file.is_relative_to(folder.resolve()):
            raise ModelError(f"{origin}: labels_file is not in the model's own folder: {values['labels_file']!r}")
        labels = read_labels(file)
    if labels is not None and not (isinstance(labels, list | tuple) and labels):
        raise ModelError(f"{origin}: labels is {labels!r}, not a list of texts")
    description = ModelDescription(
        name=values.get("name"),
        labels=tuple(labels) if labels is not None else None,
        short_side_px=preprocessing.get("short_side"),
        crop_px=_pair(preprocessing.get("crop"), origin),
        mean=_numbers(preprocessing.get("mean"), "mean", origin),
        std=_numbers(preprocessing.get("std"), "std", origin),
        layout=preprocessing.get("layout"),
        dtype=preprocessing.get("dtype"),
        activation=values.get("activation"),
    )
    check(description, origin)
    return description


def check(description: ModelDescription, origin: str) -> None:
    """Refuse a description that cannot be meant.

    Raises:
        ModelError: It names the value and `origin`.
    """
    if description.name is not None and not isinstance(description.name, str):
        raise ModelError(f"{origin}: name is no text")
    if description.labels is not None and not all(isinstance(label, str) for label in description.labels):
        raise ModelError(f"{origin}: labels is no list of texts")
    for text in (description.name or "", *(description.labels or ())):
        try:
            text.encode()
        except UnicodeEncodeError as exc:  # half a surrogate, which no result could carry
            raise ModelError(f"{origin}: {text!r} is no text that can be written: {exc.reason}") from exc
    for name, value, known in (
        ("layout", description.layout, ("NCHW", "NHWC")),
        ("dtype", description.dtype, ("uint8", "float32", "float16")),
        ("activation", description.activation, ("softmax", "none")),
    ):
        if value is not None and value not in known:
            raise ModelError(f"{origin}: {name} is {value!r}, not {' or '.join(known)}")
    if description.short_side_px is not None and not _is_size(description.short_side_px):
        raise ModelError(f"{origin}: short_side is {description.short_side_px!r}, not a number of pixels")
    _check_colours(description.mean, "mean", origin)
    _check_colours(description.std, "std", origin)
    if description.std is not None and min(description.std) <= 0:
        raise ModelError(f"{origin}: std has a number that is not above 0")
    if (description.mean is None) != (description.std is None):
        raise ModelError(f"{origin}: mean and std go together")


def _check_colours(numbers: tuple[float, ...] | None, name: str, origin: str) -> None:
    if numbers is None:
        return
    if len(numbers) != _CHANNELS:
        raise ModelError(f"{origin}: {name} has {len(numbers)} numbers, not one for each of R, G, B")
    if not all(math.isfinite(number) for number in numbers):
        raise ModelError(f"{origin}: {name} has a number that is not finite")


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MAX_SIDE_PX


def _pair(value: Any, origin: str) -> tuple[int, int] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2 and all(_is_size(side) for side in value):
        return (value[0], value[1])
    raise ModelError(f"{origin}: crop is {value!r}, not [height, width] in pixels")


def _numbers(value: Any, name: str, origin: str) -> tuple[float, ...] | None:
    if value is None:
        return None
    if isinstance(value, list) and all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value
    ):
        return tuple(float(number) for number in value)
    raise ModelError(f"{origin}: {name} is {value!r}, not a list of numbers")
