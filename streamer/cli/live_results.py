"""The table of the newest results that is overwritten in place, for a terminal."""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Self

from streamer.cli.result_formats import Result, row_of
from streamer.cli.result_latency import COLUMNS_MS, SHARES, LatencySummary

if TYPE_CHECKING:
    from rich.console import RenderableType

_LIVE_ROWS = 20
_REFRESH_S = 0.2
#: The rate is that of the last seconds.
_RATE_WINDOW_S = 5.0
#: Lines that the title, the headings and the edges take, and with them the summary of the parts.
_LINES_AROUND, _LINES_AROUND_PARTS = 6, 9
_PARTS = ("answer", *COLUMNS_MS, "frame")
_PLAIN = ("captured at", "result", "score", "ms", "group", "frame")
_HEADINGS = {"transport": "trans-\nport", "inference": "infer-\nence", "answer": "result"}
_NUMBER_WIDTH, _GAP = 6, 1
#: Narrow terminals have the time of day alone: all of it is today's.
_TIME_WIDTH, _DATE_WIDTH, _WIDE = 12, 27, 140
_MIN_TEXT_WIDTH = 8


class LiveTable:
    """The newest results and the totals."""

    def __init__(self, summary: LatencySummary | None = None) -> None:
        """Show the parts of the latency, with their summary, if there is one; the caller adds to it."""
        from rich.console import Console
        from rich.live import Live

        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False)
        self._summary = summary
        self._rows: deque[Mapping[str, str]] = deque(maxlen=_LIVE_ROWS)
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
        self._rows.append(row_of(result))
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
        totals = ", ".join(f"{count} {status}" for status, count in sorted(self._totals.items())) or "no results yet"
        title = f"{len(self._times) / _RATE_WINDOW_S:.1f} results/s; {totals}"
        size = self._console.size
        self._live.update(results_table(list(self._rows), title, size.width, size.height, self._summary), refresh=True)


def results_table(
    rows: Sequence[Mapping[str, str]], title: str, width: int, height: int, summary: LatencySummary | None = None
) -> "RenderableType":
    """Return a table for a terminal, from 80 columns; the last column has the frames' ids, folded and never cut.

    Args:
        rows: As `row_of` makes them, the newest last; it is the oldest that are left out where they do not fit.
        title: Above the table.
        width: Of the terminal, in characters.
        height: Of the terminal, in lines.
        summary: Stands in the last lines; with it the table has the parts of the latency.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    names = _PLAIN if summary is None else _PARTS
    widths = _widths(names, width)
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD, padding=0, show_footer=summary is not None)
    for name in names:
        heading = _HEADINGS.get(name, name.replace("_", "\n"))
        if name in COLUMNS_MS and summary is not None:
            footer = "\n".join(summary.percentiles(name))
            table.add_column(heading, footer, min_width=widths[name], no_wrap=True, justify="right")
        else:
            footer = "\n".join(SHARES) if name == names[0] else ""
            table.add_column(
                heading,
                footer,
                width=widths[name],
                no_wrap=True,
                justify="right" if name in ("score", "ms") else "left",
            )
    lines_left = height - (_LINES_AROUND if summary is None else _LINES_AROUND_PARTS)
    for cells in reversed(list(_newest(rows, widths, lines_left))):
        table.add_row(*(Text(cells[name]) for name in names))
    return table


def _widths(names: Sequence[str], width: int) -> dict[str, int]:
    """Share the terminal's width: names take what the numbers leave, and the frames' ids most of that."""
    widths = dict.fromkeys(names, _NUMBER_WIDTH) | {"captured at": _TIME_WIDTH if width < _WIDE else _DATE_WIDTH}
    texts = [name for name in names if name in ("result", "answer", "group", "frame")]
    fixed = sum(widths[name] for name in names if name not in texts)
    room = max(width - fixed - (len(names) + 1) * _GAP, 0)
    if "group" in names:
        widths |= {"result": min(room // 4, 22), "group": min(room * 3 // 8, 30)}
    else:
        widths |= {"answer": min(room * 3 // 7, 30)}
    for name in texts:
        widths[name] = max(widths[name], _MIN_TEXT_WIDTH)
    widths["frame"] = max(room - sum(widths[name] for name in texts if name != "frame"), _MIN_TEXT_WIDTH)
    return widths


def _newest(
    rows: Sequence[Mapping[str, str]], widths: Mapping[str, int], lines_left: int
) -> Iterable[Mapping[str, str]]:
    """Yield the cells of the rows that fit, the newest first; there is always one."""
    from rich.cells import chop_cells

    for number, row in enumerate(reversed(rows)):
        # Rich would fold at blanks, and nobody could say before how many lines that takes.
        folded = chop_cells(row["frame"], widths["frame"])
        lines_left -= max(len(folded), 1)
        if number and lines_left < 0:
            return
        captured_at = row["captured at"]
        if widths["captured at"] == _TIME_WIDTH:
            captured_at = captured_at.rpartition("T")[2][:_TIME_WIDTH]
        yield {**row, "captured at": captured_at, "frame": "\n".join(folded)}
