"""How `streamer results` shows a result: JSON lines, CSV, aligned lines, or a table that is overwritten in place."""

import csv
import json
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

from messaging.cloudevents import read_headers
from messaging.errors import MessageError
from messaging.outcome import LATENCY_PARTS, Classified, Outcome, Skipped, read_outcome
from streamer.cli.result_latency import COLUMNS_MS, LatencySummary, latency_table, number, times_ms
from streamer.terminal import harmless

if TYPE_CHECKING:
    from rich.console import RenderableType

_LIVE_ROWS = 20
#: Lines of a terminal that the title, the headings and the summary of the parts take.
_ROWS_AROUND = 9
_REFRESH_S = 0.2
#: The rate is that of the last seconds.
_RATE_WINDOW_S = 5.0
_MAX_CELL_CHARS = 1000
#: A spreadsheet takes a cell that begins so for a formula.
#: Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_COLUMNS = (("captured at", 27), ("camera", 16), ("status", 10), ("result", 22), ("score", 6), ("ms", 8), ("group", 0))
#: With their parts: the widths of numbers follow their names.
_LATENCY_COLUMNS = (*_COLUMNS[:5], *((name, max(len(name), 8)) for name in COLUMNS_MS), _COLUMNS[-1])
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
        self._write([_csv_cell(cells.get(column)) for column in self._columns])

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
        cells = _row(result)
        if self._columns is _LATENCY_COLUMNS:
            cells[5:6] = _numbers(result)
        self._print(cells)

    def tick(self) -> None:
        """Nothing is held back."""

    def _print(self, cells: Sequence[str]) -> None:
        padded = (
            f"{cell:>{width}}" if name in _NUMBERS else f"{cell:<{width}}"
            for cell, (name, width) in zip(cells, self._columns, strict=True)
        )
        print("  ".join(padded).rstrip(), flush=True)


class LiveTable:
    """The newest results and the totals, overwritten in place, for a terminal."""

    def __init__(self, summary: LatencySummary | None = None) -> None:
        """Show the parts of the latency, with their summary, if there is one; the caller adds to it."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._summary = summary
        self._rows: deque[list[str]] = deque(maxlen=_LIVE_ROWS)
        self._totals: Counter[str] = Counter()
        self._times: deque[float] = deque()
        self._refreshed_s = 0.0

    def __enter__(self) -> Self:
        """Take over the terminal's last lines."""
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last state on the screen."""
        self._refresh()
        self._live.stop()

    def show(self, result: Result) -> None:
        """Remember a result; the screen follows a few times a second."""
        self._rows.append(_row(result) if self._summary is None else _latency_row(result))
        self._totals[result.status] += 1
        self._times.append(time.monotonic())
        self.tick()

    def tick(self) -> None:
        """Refresh the screen if that is due."""
        if time.monotonic() - self._refreshed_s >= _REFRESH_S:
            self._refresh()

    def _refresh(self) -> None:
        now_s = self._refreshed_s = time.monotonic()
        while self._times and self._times[0] < now_s - _RATE_WINDOW_S:
            self._times.popleft()
        self._live.update(self._table(), refresh=True)

    def _table(self) -> "RenderableType":
        from rich.table import Table
        from rich.text import Text

        totals = ", ".join(f"{count} {status}" for status, count in sorted(self._totals.items())) or "no results yet"
        title = f"{len(self._times) / _RATE_WINDOW_S:.1f} results/s; {totals}"
        if self._summary is not None:
            rows = list(self._rows)[-max(self._console.height - _ROWS_AROUND, 1) :]
            return latency_table(rows, self._summary, title, self._console.width)
        table = Table(title=Text(title), title_justify="left")
        for name, _ in _COLUMNS:
            table.add_column(name, no_wrap=True, justify="right" if name in _NUMBERS else "left")
        room = max(self._console.height - 6, 1)
        for row in list(self._rows)[-room:]:
            table.add_row(*(Text(cell) for cell in row))
        return table


def _row(result: Result) -> list[str]:
    """Return the cells of the table."""
    outcome = result.outcome
    answer = outcome.reason if isinstance(outcome, Skipped) else getattr(outcome, "label", "")
    score = f"{outcome.score:.3f}" if isinstance(outcome, Classified) else ""
    latency = "" if isinstance(outcome, Skipped) else f"{outcome.latency_ms.total:.1f}"
    group = outcome.group or "(the camera)"
    texts = (outcome.captured_at, outcome.camera, result.status, answer, score, latency, group)
    return [harmless(text) for text in texts]


def _latency_row(result: Result) -> list[str]:
    """Return the cells of the table that has the parts of the latency: camera, result, and the parts."""
    _, camera, status, answer, score, *_ = _row(result)
    return [camera, f"{score} {answer}".strip() or status, *_numbers(result)]  # where it is cut, the number stays


def _numbers(result: Result) -> list[str]:
    times = times_ms(result.outcome)
    return [number(times[name]) if times else "" for name in COLUMNS_MS]


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


def _csv_cell(value: Any) -> Any:
    """Return a cell as it may stand in a file that a spreadsheet opens."""
    if not isinstance(value, str):
        return value
    text = harmless(value, _MAX_CELL_CHARS)
    return f"'{text}" if value.startswith(_FORMULA_STARTS) else text
