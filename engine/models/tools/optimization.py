"""`optimize_model`: the same model, smaller or faster."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.errors import ModelError, OptionsError
from engine.models.npz import load_npz, save_npz
from engine.models.onnx_file import save_onnx
from engine.models.tools.comparison import Comparison, Say, compare_models
from engine.models.tools.destination import model_path, written
from engine.models.tools.onnx_optimization import optimize_onnx

#: The largest one, and what each does to each format is told in docs/model-tools.md.
MAX_LEVEL = 3
DEFAULT_LEVEL = 2


@dataclass(frozen=True, slots=True)
class Optimization:
    """What was made of a model.

    Attributes:
        level: How far it was taken, 0–3.
        notes: What was done, in words.
        comparison: Both models, run on the same inputs.
    """

    source: Path
    destination: Path
    level: int
    notes: tuple[str, ...]
    comparison: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        paths = {"source": str(self.source), "destination": str(self.destination)}
        return asdict(self) | paths | {"notes": list(self.notes), "comparison": self.comparison.as_json()}


def optimize_model(
    source: str | Path,
    destination: str | Path,
    optimization_level: int = DEFAULT_LEVEL,
    *,
    on_progress: Say | None = None,
) -> Optimization:
    """Write an optimised copy of a model, of the same format; names of inputs and outputs are kept.

    Level 0 checks and copies, 1 removes what is not needed. For ONNX and `.npz`, 2 fuses operators and leaves a model
    that any runtime takes, and 3 (ONNX alone) makes one for ONNX Runtime on this kind of processor. For TFLite, 2 keeps
    weights as float16, and 3 as int8.

    Args:
        source: An `.onnx`, `.npz` or `.tflite` file.
        destination: What is made, of the same kind.
        optimization_level: 0–3.
        on_progress: Told what goes on.

    Raises:
        ModelError: The model cannot be used, or the result cannot be written.
        OptionsError: There is no such level, or not for this format.
        BackendError: What reads or runs the model is not installed.
    """
    source, destination, say = model_path(source), Path(destination), on_progress or (lambda _: None)
    if isinstance(optimization_level, bool) or optimization_level not in range(MAX_LEVEL + 1):
        raise OptionsError(f"optimization_level is {optimization_level!r}: give 0 to {MAX_LEVEL}")
    suffix = source.suffix.lower()
    if suffix not in (".onnx", ".npz", ".tflite"):
        raise OptionsError(
            f"{source} cannot be optimised, only .onnx, .npz and .tflite can: `streamer convert` makes an .onnx"
        )
    if suffix == ".npz" and optimization_level == MAX_LEVEL:
        raise OptionsError(f"{source}: level 3 makes operators that only ONNX Runtime has: give an .npz 0 to 2")
    with written(source, destination, {suffix}) as made:
        say(f"optimising at level {optimization_level}")
        notes = _optimized(source, made, optimization_level)
        comparison = compare_models(source, made, on_progress=on_progress)
    return Optimization(source, destination, optimization_level, (*notes, *comparison.remarks()), comparison)


def _optimized(source: Path, made: Path, level: int) -> list[str]:
    if made.suffix.lower() == ".tflite":
        from engine.models.tools.tflite_optimization import optimize_tflite

        return optimize_tflite(source, made, level)
    if made.suffix.lower() == ".onnx":
        return optimize_onnx(source, made, level)
    before, after = made.with_suffix(".before.onnx"), made.with_suffix(".after.onnx")
    save_onnx(load_npz(source), before)
    try:
        notes = optimize_onnx(before, after, level)
    except ModelError as exc:
        raise ModelError(str(exc).replace(str(before), str(source))) from exc
    save_npz(after, made)
    return notes
