"""Charts of the last minutes: what became of the frames, and where their time went."""

from collections.abc import Sequence

from nicegui import ui

from messaging.outcome import LATENCY_PARTS
from streamer.watch.site import Site
from streamer.watch.views import SecondView
from streamer.web.dashboard.groups import GroupChoice
from streamer.web.parts import TimeChart, empty

_INTERVAL_S = 1.0
_STATUSES = {"classified": "classified", "timed": "timed", "skipped": "skipped", "dead-lettered": "dead letters"}
#: The parts tile the total; they come in the order of a frame's way.
_PARTS = {part: part.replace("_", " ") for part in LATENCY_PARTS}
_P95 = "total, p95"


class ThroughputPage:
    """Draws the page, and keeps its charts true."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        with ui.element("div").classes("toolbar"):
            self._group = GroupChoice(site)
        with ui.element("div").classes("panels") as self._charts:
            self._outcomes = TimeChart(
                "Outcomes", "frames per second", list(_STATUSES.values()), stacked=list(_STATUSES.values())
            )
            self._latency = TimeChart(
                "Latency by part", "ms, mean of each second", [*_PARTS.values(), _P95], stacked=list(_PARTS.values())
            )
        self._empty = empty(
            "show_chart", "Nothing classified yet", "Charts begin with the first result.", "streamer consume --device 0"
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        group = self._group.refresh()
        seconds = self._site.seconds(group) if group is not None else []
        self._charts.set_visibility(bool(seconds))
        self._empty.set_visibility(not seconds)
        if seconds:
            times_ms = [second.at_s * 1000 for second in seconds]
            self._outcomes.show(times_ms, {title: outcomes_of(seconds, status) for status, title in _STATUSES.items()})
            parts = {title: part_of(seconds, part) for part, title in _PARTS.items()}
            self._latency.show(times_ms, parts | {_P95: [second.total_p95_ms for second in seconds]})


def outcomes_of(seconds: Sequence[SecondView], status: str) -> list[float | None]:
    """Return how many outcomes of that status each second had."""
    return [second.outcomes.get(status, 0) for second in seconds]


def part_of(seconds: Sequence[SecondView], part: str) -> list[float | None]:
    """Return the mean of one part of the latency in each second, in ms; None where nothing was classified.

    A part below zero (the camera's clock is ahead) is drawn as nothing.
    """
    return [
        round(max(getattr(second.latency_ms, part), 0.0), 3) if second.latency_ms is not None else None
        for second in seconds
    ]
