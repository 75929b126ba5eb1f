"""How `streamer results` shows a result: JSON lines, CSV, or aligned lines."""

import csv
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from messaging.cloudevents import read_headers
from messaging.errors import MessageError
from messaging.frame import MAX_ID_CHARS
from messaging.outcome import LATENCY_PARTS, Classified, Outcome, Skipped, read_outcome
from streamer.cli.result_latency import COLUMNS_MS, number, times_ms
from streamer.csv_cells import csv_cell
from streamer.terminal import harmless

#: With their widths. The ids stand at the end, where they may be as long as they are.
_WHAT = (("captured at", 27), ("camera", 16), ("status", 10), ("result", 22), ("score", 6))
_WHOSE = (("group", 18), ("frame", 0))
_COLUMNS = (*_WHAT, ("ms", 8), *_WHOSE)
_LATENCY_COLUMNS = (*_WHAT, *((name, max(len(name), 8)) for name in COLUMNS_MS), *_WHOSE)
_NUMBERS = {"score", "ms", *COLUMNS_MS}
_CSV_COLUMNS = (
    *("ce_id", "ce_source", "camera", "sequence", "captured_at", "group", "status", "reason", "label", "score"),
    *("truth", "model", "model_digest", "device", "backend", "simulated", "batch_size", "latency_ms"),
    *("topic", "partition", "offset"),
)


class Result(NamedTuple):
    """A record of the results topic that was understood.

    Attributes:
        value: Its JSON, with what this version has no word for.
    """

    ce_id: str
    ce_source: str
    value: bytes
    outcome: Outcome

    @property
    def status(self) -> str:
        """`classified`, `timed` or `skipped`."""
        return str(type(self.outcome).__struct_config__.tag)


class Output(Protocol):
    """Where results go. Used in a `with` block, by one thread."""

    def show(self, result: Result) -> None:
        """Take one result.

        Raises:
            MessageError: It cannot be shown.
        """

    def tick(self) -> None:
        """Do what is due between results."""


def read_result(record: Any) -> Result:
    """Read a record of the results topic (kafka-python's `ConsumerRecord`).

    Raises:
        MessageError: It is no result of streamer.
    """
    value = record.value or b""
    headers = read_headers(record.headers)
    return Result(headers.get("ce_id", ""), headers.get("ce_source", ""), value, read_outcome(value))


class JsonLines:
    """One JSON object a line: the result's own, after `ce_id` and `ce_source`. ASCII without control characters."""

    def show(self, result: Result) -> None:
        """Print one line; see `Output.show`."""
        identity = {"ce_id": result.ce_id, "ce_source": result.ce_source}
        try:
            line = json.dumps(identity | json.loads(result.value) | identity, allow_nan=False)
        except (ValueError, RecursionError) as exc:  # such as a number that no other program could read
            raise MessageError(f"not a result of streamer: {exc}") from exc
        print(line, flush=True)

    def tick(self) -> None:
        """Nothing is held back."""


class CsvLines:
    """Comma-separated values with a header row; text is harmless to terminals and to spreadsheets."""

    def __init__(self, *, has_parts: bool = False) -> None:
        """Print the header, with a column for each part of the latency if that is wanted."""
        self._writer = csv.writer(sys.stdout, lineterminator="\n")
        self._columns = (*_CSV_COLUMNS, *(f"{name}_ms" for name in LATENCY_PARTS)) if has_parts else _CSV_COLUMNS
        self._write(self._columns)

    def show(self, result: Result) -> None:
        """Print one line."""
        cells = _cells(result)
        self._write([csv_cell(cells.get(column)) for column in self._columns])

    def tick(self) -> None:
        """Nothing is held back."""

    def _write(self, row: Sequence[object]) -> None:
        self._writer.writerow(row)
        sys.stdout.flush()


class PlainTable:
    """Aligned lines, for a pipe or a file."""

    def __init__(self, *, has_parts: bool = False) -> None:
        """Print the header, with a column for each part of the latency if that is wanted."""
        self._columns = _LATENCY_COLUMNS if has_parts else _COLUMNS
        self._print([name for name, _ in self._columns])

    def show(self, result: Result) -> None:
        """Print one line."""
        cells = row_of(result)
        self._print([cells[name] for name, _ in self._columns])

    def tick(self) -> None:
        """Nothing is held back."""

    def _print(self, cells: Sequence[str]) -> None:
        padded = (
            f"{cell:>{width}}" if name in _NUMBERS else f"{cell:<{width}}"
            for cell, (name, width) in zip(cells, self._columns, strict=True)
        )
        print("  ".join(padded).rstrip(), flush=True)


def row_of(result: Result) -> dict[str, str]:
    """Return what tables show of a result, by column; `answer` is the score and the result in one, for narrow ones."""
    outcome = result.outcome
    label = outcome.label if isinstance(outcome, Classified) else ""
    reason = outcome.reason if isinstance(outcome, Skipped) else ""
    score = f"{outcome.score:.3f}" if isinstance(outcome, Classified) else ""
    times = times_ms(outcome)
    texts = {
        "captured at": outcome.captured_at,
        "camera": outcome.camera,
        "status": result.status,
        "result": label or reason or result.status,
        "answer": f"{score} {label}".strip() or reason or result.status,  # where it is cut, the number stays
        "score": score,
        "ms": f"{times['total']:.1f}" if times else "",
        "group": outcome.group or "(the camera)",
        **{name: number(times[name]) if times else "" for name in COLUMNS_MS},
    }
    # The id is to be copied: it is never cut.
    return {name: harmless(text) for name, text in texts.items()} | {"frame": harmless(result.ce_id, MAX_ID_CHARS)}


def _cells(result: Result) -> dict[str, Any]:
    """Return the cells of a CSV line by column."""
    outcome, source = result.outcome, result.outcome.source
    cells: dict[str, Any] = {column: getattr(outcome, column, None) for column in _CSV_COLUMNS}
    if not isinstance(outcome, Skipped):
        cells |= {"batch_size": outcome.batch.size, "latency_ms": outcome.latency_ms.total}
        cells |= {f"{name}_ms": time_ms for name, time_ms in times_ms(outcome).items()}
    if source is not None:
        cells |= {"topic": source.topic, "partition": source.partition, "offset": source.offset}
    return cells | {"ce_id": result.ce_id, "ce_source": result.ce_source, "status": result.status}
