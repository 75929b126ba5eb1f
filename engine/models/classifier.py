"""Opening a classifier: the model on its back end, and everything that has to be known to feed it."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Program, TensorSpec
from engine.errors import InferenceError, ModelError, ModelNotFoundError, NotAClassifierError
from engine.images.decode import Resize
from engine.models.description import ModelDescription, check, from_metadata, from_toml, read_labels
from engine.models.spec import (
    IMAGENET_CROP_PX,
    IMAGENET_MEAN,
    IMAGENET_SHORT_SIDE_PX,
    IMAGENET_STD,
    Activation,
    ClassifierSpec,
    Layout,
    Preprocessing,
)

BUILT_IN = {"workpiece": Path(__file__).parent / "builtin" / "workpiece.onnx"}
_IMAGENET_LABELS = Path(__file__).parent / "imagenet_labels.txt"
_IMAGENET_CLASSES = 1000
_RGB = 3
_FLOATS = (np.float32, np.float16)
#: Rows of a trial whose sums are this near to 1 are probabilities already (float16 sums are off by 1e-3).
_SUM_TOLERANCE = 4e-3
_TRIAL_TIMEOUT_S = 120.0
_TRIAL_ROWS = 4


@dataclass(frozen=True, slots=True)
class Classifier:
    """An opened classifier. The back end is the caller's to close."""

    spec: ClassifierSpec
    backend: Backend


def find_model(name: str) -> Path:
    """Return the file of a built-in model's name, or of a path.

    Raises:
        ModelNotFoundError: There is neither.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    path = Path(name).expanduser()
    if not path.is_file():
        raise ModelNotFoundError(f"no model {name}: give the path of an .onnx file, or {', '.join(BUILT_IN)}")
    return path


def open_classifier(
    model: str, backend: Backend, options: BackendOptions, said: ModelDescription | None = None
) -> Classifier:
    """Open a model, find out how it is fed, and run it once on random pixels.

    Args:
        model: A built-in model's name, or a path.
        backend: Not yet opened; closed again where this fails.
        options: How it is run.
        said: What the user says about the model; wins over what the file says.

    Raises:
        ModelError: The file cannot be used, or is no classifier.
        DeviceNotFoundError: The back end has no such device.
    """
    path = find_model(model)
    if said is not None:
        check(said, "the settings")
    try:
        program = backend.open(path, options)
        description = from_toml(path).over(from_metadata(program.metadata, path))
        if said is not None:
            description = said.over(description)
        spec = _describe(path, program, description)
        return Classifier(_after_trial(spec, backend, description), backend)
    except BaseException:
        backend.close()
        raise


def _describe(path: Path, program: Program, said: ModelDescription) -> ClassifierSpec:
    """Put together what is known before the model has run."""
    if len(program.inputs) != 1:
        names = ", ".join(spec.name for spec in program.inputs)
        raise NotAClassifierError(
            f"{path} is no image classifier: it has {len(program.inputs)} inputs ({names}), not 1"
        )
    image = program.inputs[0]
    layout = _layout(path, image, said)
    if image.dtype != np.uint8 and image.dtype not in _FLOATS:
        raise NotAClassifierError(f"{path}: input {image.name} is {image.dtype}, not uint8, float32 or float16")
    resize = _resize(image, layout, said)
    assumptions: list[str] = []
    mean, std = said.mean, said.std
    if image.dtype == np.uint8:
        mean = std = None
    elif mean is None:
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        assumptions.append(
            f"preprocessing is not described: short side {resize.short_side_px}, centre crop "
            f"{resize.height_px}×{resize.width_px}, ImageNet's mean and deviation (--model-mean, --model-std)"
        )
    return ClassifierSpec(
        name=said.name or path.stem,
        path=path,
        digest=f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}",
        input_name=image.name,
        output_name=_output(path, program).name,
        labels=said.labels or (),
        preprocessing=Preprocessing(resize, layout, image.dtype, mean, std),
        activation="softmax",
        fixed_batch=program.fixed_batch,
        assumptions=tuple(assumptions),
    )


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


def _resize(image: TensorSpec, layout: Layout, said: ModelDescription) -> Resize:
    """Return the geometry: the graph's own size, else the crop that was said, else ImageNet's."""
    height, width = image.shape[2:4] if layout == "NCHW" else image.shape[1:3]
    wanted = said.crop_px or (IMAGENET_CROP_PX, IMAGENET_CROP_PX)
    height_px, width_px = height or wanted[0], width or wanted[1]
    longest = max(height_px, width_px)
    if said.short_side_px is not None:
        short_side = said.short_side_px
    elif image.dtype == np.uint8:
        short_side = longest
    else:
        short_side = round(longest * IMAGENET_SHORT_SIDE_PX / IMAGENET_CROP_PX)
    return Resize(max(short_side, longest), height_px, width_px)


def _output(path: Path, program: Program) -> TensorSpec:
    """Return the first output that can hold one value per class."""
    for output in program.outputs:
        trailing_ones = all(size in (1, None) for size in output.shape[2:])
        if np.issubdtype(output.dtype, np.floating) and len(output.shape) in (0, 2, 3, 4) and trailing_ones:
            return output
    shapes = ", ".join(f"{output.name} {list(output.shape)}" for output in program.outputs)
    raise NotAClassifierError(f"{path} is no classifier: no output has one value per class ({shapes})")


def _after_trial(spec: ClassifierSpec, backend: Backend, said: ModelDescription) -> ClassifierSpec:
    """Run the model on random pixels, and complete what only its answer shows."""
    output = _trial(spec, backend)
    classes = output.shape[1] if output.ndim > 1 else 0
    if output.ndim < 2 or output[0].size != classes or classes < 2:
        raise NotAClassifierError(
            f"{spec.path} is no classifier: a picture gives {spec.output_name} {list(output.shape[1:])}, "
            "not one value for each of two or more classes"
        )
    assumptions = list(spec.assumptions)
    labels = spec.labels
    if not labels and classes == _IMAGENET_CLASSES:
        labels = read_labels(_IMAGENET_LABELS)
        assumptions.append("labels are not given: the names of ImageNet's 1,000 classes (--model-labels)")
    elif not labels:
        labels = tuple(f"class_{number}" for number in range(classes))
        assumptions.append(f"labels are not given: class_0 … class_{classes - 1} (--model-labels)")
    if len(labels) != classes:
        raise ModelError(f"{spec.path} has {classes} classes and {len(labels)} labels: give one for each")
    activation = cast("Activation", said.activation) if said.activation else _found_activation(output)
    return replace(spec, labels=labels, activation=activation, assumptions=tuple(assumptions))


def _trial(spec: ClassifierSpec, backend: Backend) -> NDArray[np.generic]:
    """Return the answers to at least `_TRIAL_ROWS` pictures of random pixels; this warms the device up as well."""
    resize, count = spec.preprocessing.resize, spec.fixed_batch or _TRIAL_ROWS
    random = np.random.default_rng(0)
    answers: list[NDArray[np.generic]] = []
    while sum(len(answer) for answer in answers) < _TRIAL_ROWS:
        pixels = random.integers(0, 256, (count, resize.height_px, resize.width_px, _RGB), dtype=np.uint8)
        rows = spec.preprocessing.model_input(pixels)
        try:
            inference = backend.submit({spec.input_name: rows}, count).result(_TRIAL_TIMEOUT_S)
        except (InferenceError, TimeoutError) as exc:
            raise ModelError(f"{spec.path} cannot classify a picture of random pixels: {exc}") from exc
        answer = inference.outputs[spec.output_name]
        if answer.ndim == 0 or len(answer) != count:
            raise NotAClassifierError(
                f"{spec.path} is no classifier: {count} pictures give {spec.output_name} {list(answer.shape)}, "
                "not one row for each"
            )
        answers.append(answer)
    return np.concatenate(answers)


def _found_activation(output: NDArray[np.generic]) -> Activation:
    """Tell by the answers to random pixels whether they are probabilities already."""
    values = output.reshape(len(output), -1).astype(np.float64)
    sums_to_one = np.allclose(values.sum(axis=1), 1, atol=_SUM_TOLERANCE)
    return "none" if sums_to_one and values.min() >= 0 else "softmax"
