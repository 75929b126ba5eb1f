"""Converting models: torch or TFLite to ONNX, and each of the three to the `.npz` of the tinygrad back end."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, ModelError, OptionsError
from engine.models.files import TORCH_SUFFIXES
from engine.models.npz import load_npz, save_npz
from engine.models.onnx_file import save_onnx
from engine.models.tools.comparison import Comparison, Say, compare_opened
from engine.models.tools.destination import model_path, written
from engine.models.tools.runnable import RunnableModel, open_model
from engine.models.zoo.agreement import AGREEMENT_BOUND

#: Format → how the names of its files end.
FORMATS = {"onnx": ".onnx", "tinygrad": ".npz"}
_SOURCES = frozenset({".onnx", ".npz", ".tflite", *TORCH_SUFFIXES})
#: Answers further apart than this part of the largest value are of another model. Whole-number models round otherwise
#: on another runtime, by a few steps of 255; a wrong graph gives something else altogether.
_ANOTHER_MODEL = 0.1


@dataclass(frozen=True, slots=True)
class Conversion:
    """A model that was converted, and how it compares.

    Attributes:
        source: The model that was given.
        destination: The file that was written.
        format: `onnx` or `tinygrad`.
        notes: What was assumed, found or left out, a line each.
        comparison: Both, run on the same inputs.
    """

    source: Path
    destination: Path
    format: str
    notes: tuple[str, ...]
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        fields = asdict(self) | {"notes": list(self.notes), "comparison": self.comparison.as_json()}
        return fields | {"source": str(self.source), "destination": str(self.destination)}


def convert_model(
    source: str | Path,
    destination: str | Path,
    format: str | None = None,  # noqa: A002 - what users call it
    *,
    architecture: str | None = None,
    input_shape: Sequence[int] | None = None,
    on_progress: Say | None = None,
) -> Conversion:
    """Convert a model, run both on the same inputs, and write what was made if it answers alike.

    Names of inputs and outputs are kept, and the layout of pictures with them. The destination is replaced whole or not
    at all.

    Args:
        source: `.onnx`, `.tflite`, `.npz`, or torch's `.pt`, `.pth` and `.pt2`: TorchScript, an archive of
            `torch.export`, or a state dict of a classifier that is known by name. `workpiece` is the built-in model.
        destination: `.onnx` or `.npz`.
        format: `onnx` or `tinygrad`; None: as the destination's name ends.
        architecture: Whose weights a state dict holds; None finds it by their names.
        input_shape: What a torch model takes, with the batch, where its file does not say.
        on_progress: Told what goes on.

    Raises:
        ModelError: The source cannot be used, has an operator that is not known here, or the result answers otherwise.
        OptionsError: There is no such format, or the options do not suit.
        BackendError: What reads the source is not installed; it has the line that does that.
    """
    source, destination = model_path(source), Path(destination)
    kind = _format(source, destination, format)
    if source.suffix.lower() not in TORCH_SUFFIXES and (architecture, input_shape) != (None, None):
        raise OptionsError(f"{source} says itself what it is and takes: leave architecture and input shape out")
    say = on_progress or _say_nothing
    with written(source, destination, {FORMATS[kind]}) as made, ExitStack() as stack:
        say(f"reading {source}")
        before, notes = _read(stack, source, architecture, input_shape, made.with_suffix(".onnx"), say)
        try:
            _finish(source, made, kind)
            say(f"opening {destination}")
            after = stack.enter_context(open_model(made))
            comparison = compare_opened(before, after, on_progress=say)
        except EngineError as exc:
            raise type(exc)(str(exc).replace(str(made), str(destination))) from exc
        _judge(comparison, destination, notes)
    return Conversion(source, destination, kind, tuple(notes), comparison)


def convert_torch_to_tinygrad(source: str | Path, destination: str | Path, **options: Any) -> Conversion:
    """Convert a torch model to an `.npz` of weights and graph; the options are those of `convert_model`."""
    _demand(source, TORCH_SUFFIXES)
    return convert_model(source, destination, "tinygrad", **options)


def convert_onnx_to_tinygrad(source: str | Path, destination: str | Path, **options: Any) -> Conversion:
    """Convert an ONNX model to an `.npz` of weights and graph; the options are those of `convert_model`."""
    _demand(source, {".onnx"})
    return convert_model(source, destination, "tinygrad", **options)


def convert_tflite_to_tinygrad(source: str | Path, destination: str | Path, **options: Any) -> Conversion:
    """Convert a TFLite model to an `.npz` of weights and graph; the options are those of `convert_model`."""
    _demand(source, {".tflite"})
    return convert_model(source, destination, "tinygrad", **options)


def _format(source: Path, destination: Path, wanted: str | None) -> str:
    """Return the format, having refused what cannot be meant."""
    by_suffix = {suffix: name for name, suffix in FORMATS.items()}
    found = wanted or by_suffix.get(destination.suffix.lower())
    if found not in FORMATS:
        known = ", ".join(f"{name} ({suffix})" for name, suffix in FORMATS.items())
        raise OptionsError(f"cannot convert to {wanted or destination}: the formats are {known}")
    suffix = source.suffix.lower()
    if suffix not in _SOURCES:
        raise ModelError(f"{source} cannot be converted: its name ends in none of {', '.join(sorted(_SOURCES))}")
    if suffix == FORMATS[found]:
        raise OptionsError(f"{source} is a model for {found} already")
    return found


def _read(
    stack: ExitStack,
    source: Path,
    architecture: str | None,
    input_shape: Sequence[int] | None,
    onnx_path: Path,
    say: Say,
) -> tuple[RunnableModel, list[str]]:
    """Open the source, and write it as ONNX where it is torch's or TFLite's."""
    suffix = source.suffix.lower()
    if suffix in TORCH_SUFFIXES:
        from engine.models.tools.torch_export import export_torch
        from engine.models.tools.torch_files import TorchModel, read_torch

        torch_source = read_torch(source, architecture=architecture, input_shape=input_shape)
        say(f"exporting {source} to ONNX")
        notes = list(export_torch(torch_source, onnx_path))
        return TorchModel(torch_source), notes
    if suffix == ".tflite":
        from engine.models.tools.tflite_conversion import tflite_to_onnx

        say(f"translating {source} to ONNX")
        notes = list(tflite_to_onnx(source, onnx_path))
        return stack.enter_context(open_model(source)), notes
    return stack.enter_context(open_model(source)), []


def _finish(source: Path, made: Path, kind: str) -> None:
    """Write the file that is wanted, unless it is there: an ONNX file of torch's or TFLite's."""
    onnx_path = made.with_suffix(".onnx")
    if kind == "tinygrad":
        save_npz(onnx_path if onnx_path.exists() else source, made)
    elif not onnx_path.exists():
        save_onnx(load_npz(source), made)
    elif onnx_path != made:  # another case of the same suffix
        onnx_path.replace(made)


def _judge(comparison: Comparison, destination: Path, notes: list[str]) -> None:
    """Refuse a result that answers otherwise; note one that answers not quite alike."""
    gap = comparison.max_relative_difference
    if not gap <= _ANOTHER_MODEL:
        raise ModelError(
            f"{destination} is not written: its answers differ from the source's by {gap:.3g} of the largest value"
        )
    if gap > AGREEMENT_BOUND:
        notes.append(f"its answers differ from the source's by up to {gap:.2g} of the largest value")


def _demand(source: str | Path, suffixes: frozenset[str] | set[str]) -> None:
    if model_path(source).suffix.lower() not in suffixes:
        raise OptionsError(f"{source}: the name ends in none of {', '.join(sorted(suffixes))}: use convert_model")


def _say_nothing(_: str) -> None:
    """Where nobody wants to be told."""
