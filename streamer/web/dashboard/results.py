"""The stream of results, newest first, with a filter."""

from collections import deque
from typing import Any

from nicegui import ui

from messaging.timestamps import format_us, is_writable
from streamer.watch.site import Site
from streamer.watch.views import OutcomeView
from streamer.web import words
from streamer.web.dashboard import states
from streamer.web.dashboard.frame import address_of
from streamer.web.parts import Column, LiveTable, empty

_INTERVAL_S = 1.0
_KEPT = 500
_COLUMNS = (
    Column("time", "Captured", is_sortable=False),
    Column("camera", "Camera", is_sortable=False),
    Column("sequence", "Frame", kind="link", is_sortable=False),
    Column("label", "Label or reason", is_sortable=False),
    Column("score", "Score", kind="bar", is_sortable=False),
    Column("status", "Outcome", kind="tag", is_sortable=False),
    Column("latency", "Latency", kind="number", is_sortable=False),
    Column("truth", "Truth", is_sortable=False),
    Column("group", "Group", is_sortable=False),
)
_STATUSES = ("every outcome", "classified", "timed", "skipped", "dead-lettered", "not what it really is")
_EVERY, _WRONG = _STATUSES[0], _STATUSES[-1]


class ResultsPage:
    """Draws the page, and adds what is new once a second."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        self._after = 0
        self._kept: deque[OutcomeView] = deque(maxlen=_KEPT)
        with ui.element("div").classes("toolbar"):
            self._text = ui.input(placeholder="Camera, label, reason or group", on_change=self._draw)
            self._text.props('dense outlined clearable aria-label="Filter"')
            self._status = ui.select(list(_STATUSES), value=_EVERY, on_change=self._draw)
            self._status.props('dense outlined options-dense aria-label="Outcome"')
            ui.element("div").classes("toolbar-rest")
            self._pause = ui.switch("Pause").props("dense")
        self._table = LiveTable(_COLUMNS, key="id", page_rows=25, label="Results, newest first")
        self._empty = empty(
            "list_alt",
            "Nothing to show",
            "No result came yet, or the filter leaves all of them out.",
            "streamer consume --device 0",
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        new = self._site.outcomes(_KEPT, after=self._after)
        if new:
            self._after = max(outcome.number for outcome in new)
            self._kept.extendleft(reversed(new))
        if not self._pause.value:
            self._draw()

    def _draw(self) -> None:
        text, status = (self._text.value or "").strip().lower(), self._status.value
        rows = [row_of(outcome) for outcome in self._kept if is_wanted(outcome, text, status)]
        self._table.show(rows)
        self._empty.set_visibility(not rows)


def is_wanted(outcome: OutcomeView, text: str, status: str) -> bool:
    """Tell whether a filter lets an outcome through; `text` is in lower case."""
    if status == _WRONG:
        if not (outcome.truth and outcome.label and outcome.truth != outcome.label):
            return False
    elif status not in (_EVERY, outcome.status):
        return False
    return any(text in each.lower() for each in (outcome.camera, outcome.label, outcome.reason, outcome.group))


def row_of(outcome: OutcomeView) -> dict[str, Any]:
    """Return an outcome's line."""
    time = format_us(outcome.captured_at_us)[11:23] if is_writable(outcome.captured_at_us) else ""
    return {
        "id": outcome.number,
        "time": time,
        "camera": outcome.camera,
        "sequence": f"#{outcome.sequence}",
        "sequence_link": address_of(outcome.frame_id),
        "status": outcome.status,
        "status_tone": states.outcome_tone(outcome.status),
        "label": outcome.label or outcome.reason,
        "score": words.percent(outcome.score) if outcome.score is not None else "",
        "score_percent": round((outcome.score or 0.0) * 100),
        "truth": outcome.truth,
        "latency": words.milliseconds(outcome.latency_ms.total) if outcome.latency_ms is not None else "",
        "group": outcome.group or "the camera itself",
    }
