"""What a job does with a model, by the task's name; each gets `say` first, and returns what JSON takes."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.errors import ModelError, OptionsError
from engine.models.files import TORCH_SUFFIXES
from engine.models.tools.comparison import Say
from engine.models.tools.optimization import MAX_LEVEL

_TOP = 5


def check(say: Say, *, path: str, name: str, suffix: str) -> dict[str, Any]:
    """Look at a whole file that was sent in; return the suffix that belongs to its content."""
    say(f"looking at {name}")
    if suffix in TORCH_SUFFIXES:
        from engine.models.tools.torch_archive import torch_kind

        if torch_kind(Path(path)) != "weights":
            raise ModelError(
                f"{name} is a program of torch's, which is not opened for whoever sends it: send a state dict, or use "
                "`streamer convert` on a file that you trust"
            )
        return {"suffix": suffix}
    from engine.models.store.content import checked_suffix

    return {"suffix": checked_suffix(Path(path), name)}


def convert(
    say: Say,
    *,
    source: str,
    destination: str,
    optimization_level: int | None,
    is_quantized: bool,
    architecture: str | None,
    input_shape: list[int] | None,
) -> dict[str, Any]:
    """Make another kind of a model: ONNX first, then what is asked of it, then the kind that is wanted."""
    wanted, at = Path(destination), Path(source)
    if optimization_level == MAX_LEVEL and wanted.suffix != ".onnx":
        raise OptionsError("level 3 makes operators that only ONNX Runtime has: choose 0 to 2, or ONNX")
    steps: list[dict[str, Any]] = []
    # Only torch's files leave this open.
    told: tuple[str | None, tuple[int, ...] | None] = architecture, tuple(input_shape) if input_shape else None
    with tempfile.TemporaryDirectory(dir=wanted.parent) as made:
        folder = Path(made)
        does_work = optimization_level is not None or is_quantized
        if at.suffix != ".onnx" and (does_work or wanted.suffix == ".onnx"):
            at = _convert(say, steps, at, folder / "converted.onnx", *told)
            told = None, None
        if is_quantized and optimization_level == MAX_LEVEL:  # what level 3 makes cannot be quantised
            at = _quantize(say, steps, at, folder / "quantized.onnx")
        if optimization_level is not None:
            at = _optimize(say, steps, at, folder / "optimized.onnx", optimization_level)
        if is_quantized and optimization_level != MAX_LEVEL:
            at = _quantize(say, steps, at, folder / "quantized.onnx")
        if at.suffix != wanted.suffix:
            at = _convert(say, steps, at, folder / f"wanted{wanted.suffix}", *told)
        if not steps:
            raise OptionsError(f"the model is {wanted.suffix} already: choose another kind, or what to do with it")
        at.replace(wanted)
    return {"steps": steps, "size_bytes": wanted.stat().st_size}


def _convert(
    say: Say,
    steps: list[dict[str, Any]],
    source: Path,
    destination: Path,
    architecture: str | None = None,
    input_shape: tuple[int, ...] | None = None,
) -> Path:
    from engine.models.tools.conversion import convert_model

    say(f"converting {source.suffix} to {destination.suffix}")
    done = convert_model(source, destination, architecture=architecture, input_shape=input_shape, on_progress=say)
    steps.append(_step(f"{source.suffix} to {destination.suffix}", done))
    return destination


def _optimize(say: Say, steps: list[dict[str, Any]], source: Path, destination: Path, level: int) -> Path:
    from engine.models.tools.optimization import optimize_model

    say(f"optimising, level {level}")
    steps.append(_step(f"optimised, level {level}", optimize_model(source, destination, level, on_progress=say)))
    return destination


def _quantize(say: Say, steps: list[dict[str, Any]], source: Path, destination: Path) -> Path:
    from engine.models.tools.quantization import quantize_model

    say("quantising to int8")
    steps.append(_step("quantised to int8", quantize_model(source, destination, on_progress=say)))
    return destination


def _step(what: str, done: Any) -> dict[str, Any]:
    return {"what": what, "notes": list(done.notes), "comparison": done.comparison.as_json()}


def add(say: Say, *, store: str, path: str, name: str | None, origin: str, original_name: str) -> dict[str, Any]:
    """Put a file into the store."""
    from engine.models.store.store import ModelStore

    say("putting it into the store")
    added = ModelStore(Path(store)).add(Path(path), name, origin=origin, original_name=original_name)
    return {"name": added.model.name, "digest": added.version.digest}


def compare(say: Say, *, before: str, after: str) -> dict[str, Any]:
    """Run two models on the same inputs."""
    from engine.models.tools.comparison import compare_models

    return compare_models(Path(before), Path(after), on_progress=say).as_json()


def analyze(say: Say, *, source: str) -> dict[str, Any]:
    """Look into a model: parameters, operators, layers, and what can run it."""
    from engine.models.tools.analysis import analyze_model

    return dict(analyze_model(Path(source), on_progress=say).as_json())


def draw(say: Say, *, source: str, name: str, destination: str, what: str) -> dict[str, Any]:
    """Draw a model's architecture or its weights; the picture is headed with the model's name."""
    from engine.models.tools.visualization import visualize_model_architecture, visualize_model_weights

    say(f"drawing the {what}")
    function = visualize_model_architecture if what == "architecture" else visualize_model_weights
    named = Path(destination).with_name(f"{name}{Path(source).suffix}")
    named.symlink_to(source)  # a file of the store is called by its digest
    function(named, Path(destination), on_progress=say)
    return {"size_bytes": Path(destination).stat().st_size}


def classify(say: Say, *, source: str, picture: str) -> dict[str, Any]:
    """Classify one picture; the best classes first."""
    from engine.images.decode import decode_into
    from engine.images.header import ImageLimits, read_header
    from engine.models.classifier import open_classifier
    from engine.session_keywords import read_keywords

    say("opening the model")
    backend = "tinygrad" if source.endswith(".npz") else "onnxruntime"
    said = read_keywords({"backend": backend})
    classifier = open_classifier(source, said.backend(), said.options)
    try:
        spec = classifier.spec
        data = Path(picture).read_bytes()
        rows = spec.preprocessing.rows(classifier.program.rows_for(1))
        decode_into(data, read_header(data, ImageLimits()), spec.preprocessing.resize, rows[0])
        say("classifying the picture")
        values = spec.preprocessing.model_input(rows)
        inference = classifier.backend.submit({spec.input_name: values}, 1).result()
        best, scores = spec.best(inference.outputs[spec.output_name], _TOP)
    finally:
        classifier.backend.close()
    classes = [
        {"label": spec.labels[index], "score": float(score)} for index, score in zip(best[0], scores[0], strict=True)
    ]
    return {"classes": classes, "assumptions": list(spec.assumptions)}


TASKS: dict[str, Callable[..., dict[str, Any]]] = {
    "check": check,
    "convert": convert,
    "add": add,
    "compare": compare,
    "analyze": analyze,
    "draw": draw,
    "classify": classify,
}
