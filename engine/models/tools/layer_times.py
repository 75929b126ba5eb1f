"""How long each layer takes on ONNX Runtime."""

import json
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from engine.errors import ModelError, first_line
from engine.models.npz import load_npz
from engine.models.onnx_file import save_onnx
from engine.models.tools.comparison import open_model, sample_inputs

_RUNS = 11
_FATAL_ONLY = 4


class LayerTime(NamedTuple):
    """What one layer took.

    Attributes:
        name: ONNX Runtime's; where it put several operators into one, that one's.
        operator: What it does.
        ms: The median of some runs, in milliseconds.
        share: Of all layers, 0–1.
    """

    name: str
    operator: str
    ms: float
    share: float


def layer_times(path: Path, runs: int = _RUNS) -> tuple[LayerTime, ...]:
    """Run an `.onnx` or `.npz` model on the CPU, one row at a time, and return what each layer took, slowest first.

    Raises:
        ModelError: It does not run on ONNX Runtime.
    """
    with tempfile.TemporaryDirectory(prefix="streamer-profile-") as folder:
        file = path
        if path.suffix.lower() == ".npz":
            file = Path(folder) / "model.onnx"
            save_onnx(load_npz(path), file)
        with open_model(file) as model:
            inputs = sample_inputs(model, 1)[0]
        events = _profile(file, inputs, runs, Path(folder))
    return _summed(events, runs)


def _profile(file: Path, inputs: object, runs: int, folder: Path) -> list[dict[str, object]]:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL_ONLY
    settings.enable_profiling = True
    settings.profile_file_prefix = str(folder / "profile")
    try:
        session = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        for _ in range(runs + 1):
            session.run(None, inputs)
        written = session.end_profiling()
    except Exception as exc:  # onnxruntime's errors have no common root but this
        raise ModelError(f"ONNX Runtime cannot run {file.name}: {first_line(exc)}") from exc
    found: list[dict[str, object]] = json.loads(Path(written).read_text(encoding="utf-8"))
    return found


def _summed(events: list[dict[str, object]], runs: int) -> tuple[LayerTime, ...]:
    """Add up the events of each node; of the first run nothing counts: it is slower."""
    spans: dict[tuple[str, str], list[float]] = {}
    for event in events:
        name = str(event.get("name", ""))
        arguments = event.get("args")
        if event.get("cat") != "Node" or not name.endswith("_kernel_time") or not isinstance(arguments, dict):
            continue
        key = name.removesuffix("_kernel_time"), str(arguments.get("op_name", ""))
        spans.setdefault(key, []).append(float(str(event.get("dur", 0))))
    medians_ms = {key: _median_ms(took, runs) for key, took in spans.items()}
    total_ms = sum(medians_ms.values()) or 1.0
    ordered = sorted(medians_ms.items(), key=lambda item: -item[1])
    return tuple(LayerTime(name, kind, took, took / total_ms) for (name, kind), took in ordered)


def _median_ms(took_us: list[float], runs: int) -> float:
    """Return the time of a node in one run; a node within a loop has several events in each."""
    each = max(1, len(took_us) // (runs + 1))
    sums = [sum(took_us[begin : begin + each]) for begin in range(each, each * (runs + 1), each)]
    return median(sums or took_us) / 1000
