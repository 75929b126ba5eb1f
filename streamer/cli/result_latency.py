"""The parts of the latency, as `streamer results --latency` shows them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.spread import Spread
from messaging.outcome import LATENCY_PARTS, Outcome, Skipped

if TYPE_CHECKING:
    from rich.console import RenderableType

#: The parts in the order of a frame's way, and their sum.
COLUMNS_MS = (*LATENCY_PARTS, "total")

_HEADINGS = {"transport": "trans-\nport", "inference": "infer-\nence"}
_SHARES = {"p50": 0.5, "p95": 0.95}
#: Of a table that fits into 80 columns: the numbers, and the blank that stands between two columns and at the edges.
_NUMBER_WIDTH, _GAP = 6, 1
_MIN_TEXT_WIDTH, _MAX_TEXT_WIDTH = 8, 30


def times_ms(outcome: Outcome) -> dict[str, float]:
    """Return a frame's time in each part and in all, ms; empty where the outcome has none."""
    return {} if isinstance(outcome, Skipped) else {name: getattr(outcome.latency_ms, name) for name in COLUMNS_MS}


def number(time_ms: float) -> str:
    """Write a time in ms, as short as it tells enough."""
    return f"{time_ms:.1f}" if abs(time_ms) < 999.95 else f"{time_ms:.0f}"


class LatencySummary:
    """How the parts of the results so far are spread, in bounded memory."""

    def __init__(self) -> None:
        """Begin with none."""
        self._spreads = {name: Spread() for name in COLUMNS_MS}

    def add(self, outcome: Outcome) -> None:
        """Count a result; one without parts does not count."""
        for name, time_ms in times_ms(outcome).items():
            self._spreads[name].add(time_ms)

    def percentiles(self, name: str) -> list[str]:
        """Return the median and the 95th percentile of a part, ms; empty texts where there is no result."""
        spread = self._spreads[name]
        return [number(spread.percentile(share)) if spread.count else "" for share in _SHARES.values()]

    def line(self) -> str:
        """Say all of it in one line."""
        count = self._spreads["total"].count
        if not count:
            return "no result had a latency"
        parts = ", ".join(f"{name} {'/'.join(self.percentiles(name))}" for name in COLUMNS_MS)
        return f"{count} results, {'/'.join(_SHARES)} in ms: {parts}"


def latency_table(rows: Sequence[Sequence[str]], summary: LatencySummary, title: str, width: int) -> "RenderableType":
    """Return a table for a terminal of `width` columns, from 80: camera, result, the parts, and how they are spread.

    Args:
        rows: Camera, result, and the time in each part.
        summary: Stands in the last lines.
        title: Above the table.
        width: Of the terminal; the names take what the numbers leave.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    room = width - len(COLUMNS_MS) * (_NUMBER_WIDTH + _GAP) - 3 * _GAP
    text_width = min(max(room // 2, _MIN_TEXT_WIDTH), _MAX_TEXT_WIDTH)
    table = Table(
        title=Text(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=0,
        show_footer=True,
    )
    footer = "\n".join(_SHARES)
    table.add_column("camera", footer, width=text_width, no_wrap=True)
    table.add_column("result", width=text_width, no_wrap=True)
    for name in COLUMNS_MS:
        heading = _HEADINGS.get(name, name.replace("_", "\n"))
        footer = "\n".join(summary.percentiles(name))
        table.add_column(heading, footer, min_width=_NUMBER_WIDTH, no_wrap=True, justify="right")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    return table
