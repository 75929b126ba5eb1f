"""What a run at AI Hub gave, as rows: for people, for programs and for spreadsheets."""

import csv
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.csv_cells import csv_cell
from streamer.hub.errors import ReportError
from streamer.hub.model_run import Outcome
from streamer.terminal import harmless

FIRST_VALUES = 5
COLUMNS = ("model", "name", "status", "seconds", "compile job", "inference job", "output", "first values")
_CSV_COLUMNS = (
    *("model", "name", "status", "failure", "input", "compile_job", "target", "inference_job"),
    *("is_earlier", "seconds"),
    *("output", "output_dtype", "output_shape", "first_values"),
)


def table_rows(outcomes: Iterable[Outcome]) -> Iterable[Sequence[object]]:
    """Give a row for each output of each model, and one for a model that failed, with why."""
    for outcome in outcomes:
        first = [
            outcome.model,
            outcome.name,
            "failed" if outcome.failure else "done",
            f"{outcome.seconds:.1f}",
            outcome.compile_job or "",
            outcome.inference_job or "",
        ]
        if outcome.outputs is None:
            yield [*first, "", outcome.failure or ""]
            continue
        for name, values in outcome.outputs.items():
            shown = ", ".join(_short(value) for value in first_values(values))
            more = ", …" if values.size > FIRST_VALUES else ""
            yield [*first, f"{name} {values.dtype}{list(values.shape)}", shown + more]
            first = [""] * len(first)


def as_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome for programs; a value that is no number is null."""
    return {
        "model": outcome.model,
        "name": outcome.name,
        "status": "failed" if outcome.failure else "done",
        "failure": outcome.failure,
        "input": _input(outcome),
        "compile_job": outcome.compile_job,
        "target": outcome.target,
        "inference_job": outcome.inference_job,
        "is_earlier": outcome.is_earlier,
        "seconds": round(outcome.seconds, 3),
        "outputs": [
            {
                "name": name,
                "dtype": str(values.dtype),
                "shape": list(values.shape),
                "first_values": [_plain(value) for value in first_values(values)],
            }
            for name, values in (outcome.outputs or {}).items()
        ],
    }


def write_csv(path: Path, outcomes: Iterable[Outcome]) -> None:
    """Write a line for each output of each model, and one for a model that failed.

    Raises:
        ReportError: The file cannot be written.
    """
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, _CSV_COLUMNS, lineterminator="\n")
            writer.writeheader()
            for outcome in outcomes:
                for row in _csv_rows(as_json(outcome)):
                    writer.writerow({name: csv_cell(value) for name, value in row.items()})
    except OSError as exc:
        raise ReportError(f"{path} cannot be written: {exc.strerror}: give another file with --csv") from exc


def first_values(values: NDArray[np.generic]) -> list[Any]:
    """Return the first values of an array."""
    found: list[Any] = values.ravel()[:FIRST_VALUES].tolist()
    return found


def _csv_rows(found: dict[str, Any]) -> Iterable[dict[str, Any]]:
    spec = found["input"]
    row = {name: found.get(name) for name in _CSV_COLUMNS}
    row["input"] = f"{spec['name']} {spec['dtype']} {_sizes(spec['shape'])}" if spec else None
    if not found["outputs"]:
        yield row
    for output in found["outputs"]:
        yield row | {
            "output": output["name"],
            "output_dtype": output["dtype"],
            "output_shape": _sizes(output["shape"]),
            "first_values": json.dumps(output["first_values"]),
        }


def _input(outcome: Outcome) -> dict[str, Any] | None:
    spec = outcome.spec
    return {"name": spec.name, "dtype": spec.dtype, "shape": list(spec.shape)} if spec else None


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(str(size) for size in shape)


def _plain(value: Any) -> float | bool | str | None:
    """Return a value as JSON has it; AI Hub may give more than numbers, and a text may be of any length."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) else harmless(str(value))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else harmless(str(value))
