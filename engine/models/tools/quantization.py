"""`quantize_model`: the same model in 8-bit integers."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import OptionsError
from engine.models.graph import program_of
from engine.models.npz import load_npz, save_npz
from engine.models.onnx_file import check_onnx_file, read_onnx, save_onnx
from engine.models.program import Program, TensorSpec
from engine.models.tools.calibration import Calibration, Sample
from engine.models.tools.comparison import Comparison, Say, compare_models, open_model
from engine.models.tools.destination import model_path, written
from engine.options import nearest

QUANTIZATION_TYPES = ("int8",)
_COMPARED = 16


@dataclass(frozen=True, slots=True)
class Quantization:
    """What was made of a model.

    Attributes:
        type: The type of its weights.
        notes: How it was done, in words.
        comparison: Both models, run on the same inputs: those of the calibration, where there were any.
    """

    source: Path
    destination: Path
    type: str
    notes: tuple[str, ...]
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        paths = {"source": str(self.source), "destination": str(self.destination)}
        return asdict(self) | paths | {"notes": list(self.notes), "comparison": self.comparison.as_json()}


def quantize_model(
    source: str | Path,
    destination: str | Path,
    quantization_type: str = "int8",
    *,
    calibration: str | Path | Iterable[Sample] | None = None,
    on_progress: Say | None = None,
) -> Quantization:
    """Write a quantised copy of a model, of the same format; names and types of inputs and outputs are kept.

    Args:
        source: An `.onnx`, `.npz` or `.tflite` file in floats.
        destination: What is made, of the same kind.
        quantization_type: `int8`, of weights and values.
        calibration: What the ranges of values are measured on: a directory of pictures, or an iterable of arrays (with
            or without a batch axis), of mappings of arrays by input, or of encoded pictures. At most 512 are used.
            None draws pictures for an ONNX model that takes any; for others the ranges are found anew at each run.
        on_progress: Told what goes on.

    Raises:
        ModelError: The model, or a picture, cannot be used.
        OptionsError: There is no such type, or the samples do not fit the model.
        BackendError: What reads or runs the model is not installed.
    """
    source, destination, say = model_path(source), Path(destination), on_progress or (lambda _: None)
    if quantization_type not in QUANTIZATION_TYPES:
        hint = nearest(quantization_type, QUANTIZATION_TYPES) or f": there is {', '.join(QUANTIZATION_TYPES)}"
        raise OptionsError(f"no quantisation to {quantization_type!r}{hint}")
    suffix = source.suffix.lower()
    if suffix not in (".onnx", ".npz", ".tflite"):
        raise OptionsError(
            f"{source} cannot be quantised: .onnx, .npz and .tflite can (`streamer convert` makes an .onnx)"
        )
    with written(source, destination, {suffix}) as made:
        onnx = _as_onnx(source, made)
        say("gathering what to calibrate with")
        given = Path(calibration) if isinstance(calibration, str) else calibration
        samples = Calibration(source, _program(source, onnx), given, draws=suffix != ".tflite")
        say(f"quantising, with {len(samples.batches)} batches")
        if suffix == ".tflite":
            from engine.models.tools.tflite_quantization import quantize_tflite

            notes = quantize_tflite(source, made, samples.batches)
        else:
            from engine.models.tools.onnx_quantization import quantize_onnx

            result = made if suffix == ".onnx" else made.with_suffix(".after.onnx")
            notes = quantize_onnx(onnx, result, samples.batches)
            if suffix == ".npz":
                save_npz(result, made)
        compared = samples.batches[:_COMPARED] or None
        comparison = compare_models(source, made, inputs=compared, on_progress=on_progress)
    said = (*notes, *samples.notes, *comparison.remarks())
    return Quantization(source, destination, quantization_type, said, comparison)


def _as_onnx(source: Path, made: Path) -> Path:
    """Return the ONNX file of a model: an `.npz` model's graph is written beside what is made."""
    if source.suffix.lower() != ".npz":
        if source.suffix.lower() == ".onnx":
            check_onnx_file(source)
        return source
    path = made.with_suffix(".before.onnx")
    save_onnx(load_npz(source), path)
    return path


def _program(source: Path, onnx: Path) -> Program:
    if source.suffix.lower() == ".tflite":
        with open_model(source) as model:
            return Program(tuple(TensorSpec(*entry) for entry in model.inputs), ())
    return program_of(read_onnx(onnx), source)
