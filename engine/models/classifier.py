"""Opening a classifier: the model on its back end, and everything that has to be known to feed it."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from engine.backends.base import Backend, BackendOptions
from engine.errors import ModelError, NotAClassifierError
from engine.images.decode import Resize
from engine.models.description import ModelDescription, check, from_metadata, from_toml
from engine.models.files import file_digest, locate_model
from engine.models.program import Program, TensorSpec
from engine.models.spec import (
    IMAGENET_CROP_PX,
    IMAGENET_MEAN,
    IMAGENET_SHORT_SIDE_PX,
    IMAGENET_STD,
    ClassifierSpec,
    Layout,
    Preprocessing,
)
from engine.models.trial import complete

_RGB = 3
_FLOATS = (np.float32, np.float16)


@dataclass(frozen=True, slots=True)
class Classifier:
    """An opened classifier. The back end is the caller's to close."""

    spec: ClassifierSpec
    program: Program
    backend: Backend


def open_classifier(
    model: str | None, backend: Backend, options: BackendOptions, said: ModelDescription | None = None
) -> Classifier:
    """Open a model, find out how it is fed, and run it once on random pixels.

    Args:
        model: A built-in model's name, or a path; None for a simulated card alone.
        backend: Not yet opened; closed again where this fails.
        options: How it is run.
        said: What the user says about the model; wins over what the file says.

    Raises:
        ModelError: The file cannot be used, or is no classifier.
        DeviceNotFoundError: The back end has no such device.
    """
    file = locate_model(model) if model is not None else None
    if said is not None:
        check(said, "the settings")
    try:
        program = backend.open(backend.compile(file, options) if file is not None else None, options)
        path = file.path if file is not None else Path(program.metadata.get("streamer.name", backend.name))
        description = from_metadata(program.metadata, path)
        if file is not None:
            description = from_toml(path).over(description)
        if said is not None:
            description = said.over(description)
        spec = describe(path, program, description, _digest(path) if file is not None else "")
        # A simulated card may take its time and compute nothing: then there is nothing to try.
        spec = complete(spec, program, backend, description) if program.outputs else spec
        return Classifier(spec, program, backend)
    except BaseException:
        backend.close()
        raise


def describe(path: Path, program: Program, said: ModelDescription, digest: str = "") -> ClassifierSpec:
    """Put together what is known before the model has run: how it is fed, and not yet which output has its answers.

    Raises:
        NotAClassifierError: It does not take colour pictures.
        ModelError: What was said does not fit the model.
    """
    if len(program.inputs) != 1:
        names = ", ".join(spec.name for spec in program.inputs)
        raise NotAClassifierError(
            f"{path} is no image classifier: it has {len(program.inputs)} inputs ({names}), not 1"
        )
    image = program.inputs[0]
    layout = _layout(path, image, said)
    if image.dtype != np.uint8 and image.dtype not in _FLOATS:
        raise NotAClassifierError(f"{path}: input {image.name} is {image.dtype}, not uint8, float32 or float16")
    if said.dtype not in (None, image.dtype.name):
        raise ModelError(f"{path}: input {image.name} is {image.dtype}, not {said.dtype} as its description says")
    resize = _resize(path, image, layout, said)
    assumptions: list[str] = []
    mean, std = said.mean, said.std
    if image.dtype == np.uint8:
        if mean is not None:
            raise ModelError(f"{path}: input {image.name} is uint8 and takes pixels as they are, without mean and std")
    elif mean is None or said.short_side_px is None:
        assumed = []
        if said.short_side_px is None:
            assumed.append(f"short side {resize.short_side_px}, centre crop {resize.height_px}×{resize.width_px}")
        if mean is None:
            mean, std = IMAGENET_MEAN, IMAGENET_STD
            assumed.append("ImageNet's mean and deviation")
        assumptions.append(
            f"preprocessing is not described: {', '.join(assumed)} "
            "(--model-short-side, --model-mean, --model-std, or a model.toml)"
        )
    return ClassifierSpec(
        name=said.name or path.stem,
        path=path,
        digest=digest,
        input_name=image.name,
        output_name="",  # the trial finds it
        labels=said.labels or (),
        preprocessing=Preprocessing(resize, layout, image.dtype, mean, std),
        activation="softmax",
        assumptions=tuple(assumptions),
    )


def _digest(path: Path) -> str:
    try:
        return f"sha256:{file_digest(path)}"
    except OSError as exc:
        raise ModelError(f"the model {path} cannot be read: {exc}") from exc


def _layout(path: Path, image: TensorSpec, said: ModelDescription) -> Layout:
    if len(image.shape) != 4:
        raise NotAClassifierError(
            f"{path} is no image classifier: its input {image.name} has {len(image.shape)} axes, "
            "not the 4 of NCHW or NHWC"
        )
    if said.layout is not None:
        channels = image.shape[1 if said.layout == "NCHW" else 3]
        if channels not in (None, _RGB):
            raise NotAClassifierError(f"{path}: as {said.layout} its input {image.name} has {channels} channels, not 3")
        return cast("Layout", said.layout)
    if image.shape[1] == _RGB:
        return "NCHW"
    if image.shape[3] == _RGB:
        return "NHWC"
    raise NotAClassifierError(
        f"{path} is no classifier of colour pictures: no axis of its input {image.name} {list(image.shape)} "
        "has the 3 channels of RGB (name the order with --model-layout)"
    )


def _resize(path: Path, image: TensorSpec, layout: Layout, said: ModelDescription) -> Resize:
    """Return the geometry: the graph's own size, else the crop that was said, else ImageNet's."""
    height, width = image.shape[2:4] if layout == "NCHW" else image.shape[1:3]
    wanted = said.crop_px or (height or IMAGENET_CROP_PX, width or IMAGENET_CROP_PX)
    if wanted != (height or wanted[0], width or wanted[1]):
        raise ModelError(f"{path}: crop is {list(wanted)}, but input {image.name} takes {[height, width]}")
    longest = max(wanted)
    if said.short_side_px is not None:
        short_side = said.short_side_px
    elif image.dtype == np.uint8:
        short_side = longest
    else:
        short_side = round(longest * IMAGENET_SHORT_SIDE_PX / IMAGENET_CROP_PX)
    if short_side < longest:
        raise ModelError(
            f"{path}: short side {short_side} is below the crop of {wanted[0]}×{wanted[1]}: give at least {longest}"
        )
    return Resize(short_side, *wanted)
