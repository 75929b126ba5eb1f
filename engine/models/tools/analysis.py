"""`analyze_model`: what a model is made of, what it costs, and where it runs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError, first_line
from engine.models.onnx_file import files_of
from engine.models.tools.backend_check import TIMEOUT_S, check_backends
from engine.models.tools.comparison import Say
from engine.models.tools.destination import model_path
from engine.models.tools.layer_times import LayerTime, layer_times
from engine.models.tools.layers import LayeredModel, Value, read_layers, readable


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is known of a model.

    Attributes:
        parameters: How many weights it has.
        flops: Floating-point operations for one row: two for each multiplication with an addition in convolutions and
            matrix products; None where a shape is not known.
        size_bytes: Of its files.
        operators: How often it has each, most frequent first.
        layers: What each takes on ONNX Runtime, slowest first; empty where that does not run it.
        backends: For each back end "", where it runs the model, or why it does not; empty where that was not asked.
        inputs: What it takes.
        outputs: What it gives.
        notes: What is to be known of these figures.
    """

    path: Path
    parameters: int
    flops: int | None
    size_bytes: int
    operators: dict[str, int]
    layers: tuple[LayerTime, ...]
    backends: dict[str, str]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "path": str(self.path),
            "parameters": self.parameters,
            "flops": self.flops,
            "size_bytes": self.size_bytes,
            "operators": self.operators,
            "layers": [layer._asdict() for layer in self.layers],
            "backends": self.backends,
            "inputs": [_value_json(value) for value in self.inputs],
            "outputs": [_value_json(value) for value in self.outputs],
            "notes": list(self.notes),
        }


def analyze_model(
    source: str | Path, *, backends: bool = True, backend_timeout_s: float = TIMEOUT_S, on_progress: Say | None = None
) -> Analysis:
    """Count what a model is made of, time its layers, and try it on every back end that is installed here.

    Args:
        source: An `.onnx`, `.npz`, `.tflite` or torch file; torch's is looked at as the ONNX file that it becomes.
        backends: Whether back ends are asked, each in a process of its own.
        backend_timeout_s: How long one may take.
        on_progress: Told what goes on.

    Raises:
        ModelError: It cannot be used.
        BackendError: What reads it is not installed.
    """
    source, say = model_path(source), on_progress or (lambda _: None)
    notes: list[str] = []
    with readable(source, on_progress) as file:
        if file != source:
            notes.append("layers, times and back ends are those of the ONNX file that `streamer convert` makes of it")
        say("reading the layers")
        model = read_layers(file)
        timed: tuple[LayerTime, ...] = ()
        if file.suffix.lower() == ".tflite":
            notes.append("no times of layers: LiteRT tells none")
        else:
            say("timing the layers")
            try:
                timed = layer_times(file)
            except EngineError as exc:
                notes.append(f"no times of layers: {first_line(exc)}")
        asked = check_backends(file, say, backend_timeout_s) if backends else {}
    return Analysis(
        source,
        model.parameters,
        model.flops,
        _size_bytes(source),
        _operators(model),
        timed,
        asked,
        model.inputs,
        model.outputs,
        tuple(notes),
    )


def _operators(model: LayeredModel) -> dict[str, int]:
    return dict(Counter(layer.operator for layer in model.layers).most_common())


def _size_bytes(path: Path) -> int:
    files = files_of(path) if path.suffix.lower() == ".onnx" else (path,)
    return sum(file.stat().st_size for file in files)


def _value_json(value: Value) -> dict[str, Any]:
    return {"name": value.name, "shape": value.shape, "dtype": value.dtype}
