"""A drawing of throughput against latency: up is faster, left is sooner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streamer.svg import BLUE, GREY, RED, circle, document, line, text

Kind = Literal["measured", "simulated", "best", "listed"]

_WIDTH, _HEIGHT = 860, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 40, 60
_COLOURS: Mapping[Kind, str] = {"measured": BLUE, "simulated": "#7c3aed", "best": RED, "listed": GREY}


@dataclass(frozen=True, slots=True)
class Point:
    """One mark.

    Attributes:
        kind: `listed` is what the look-up table says, `best` what a search has chosen.
    """

    label: str
    images_per_s: float
    latency_ms: float
    kind: Kind


def svg(points: Sequence[Point], title: str) -> str:
    """Return the drawing; both axes are logarithmic, as models differ by orders of magnitude."""
    shown = [point for point in points if point.images_per_s > 0 and point.latency_ms > 0]
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    across = _Axis([point.latency_ms for point in shown], _LEFT, right)
    up = _Axis([point.images_per_s for point in shown], bottom, _TOP)
    middle = (_TOP + bottom) / 2
    parts = [
        text(_LEFT, 24, title),
        text((_LEFT + right) / 2, _HEIGHT - 14, "latency of a batch, 95th percentile, ms", "middle"),
        text(20, middle, "images per second", "middle", is_turned=True),
    ]
    for value in across.ticks:
        at = across.place(value)
        parts += [_grid_line(at, _TOP, at, bottom), text(at, bottom + 18, f"{value:g}", "middle")]
    for value in up.ticks:
        at = up.place(value)
        parts += [_grid_line(_LEFT, at, right, at), text(_LEFT - 8, at + 4, f"{value:,g}", "end")]
    for point in shown:
        parts += _mark(point, across.place(point.latency_ms), up.place(point.images_per_s))
    kinds = [kind for kind in _COLOURS if any(point.kind == kind for point in shown)]
    for number, kind in enumerate(kinds):
        at = right - 90 * (len(kinds) - number)
        parts += [_circle(at, 20, kind, kind), text(at + 10, 24, kind)]
    return document(_WIDTH, _HEIGHT, "throughput against latency", parts, font_px=12)


def _mark(point: Point, x: float, y: float) -> list[str]:
    figures = f"{point.images_per_s:,.1f} images/s, {point.latency_ms:.3g} ms"
    # Near the right edge a label goes to the left of its mark.
    is_right = x > _WIDTH * 0.8
    return [
        _circle(x, y, point.kind, f"{point.label}: {figures} ({point.kind})"),
        text(x - 8 if is_right else x + 8, y - 6, point.label, "end" if is_right else "start"),
    ]


def _circle(x: float, y: float, kind: Kind, title: str) -> str:
    return circle(x, y, _COLOURS[kind], title=title, is_hollow=kind == "listed")


def _grid_line(x1: float, y1: float, x2: float, y2: float) -> str:
    return line((x1, y1), (x2, y2), "#e5e7eb")


class _Axis:
    """A logarithmic axis that holds some values, with 1, 2 and 5 of each decade as ticks, else with nearer ones.

    The nearer ones are so near that any three span less than the least axis: of two points alike it has two.
    """

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        self._begin, self._end = begin, end
        # Room on either side, also where all values are one.
        self._low, self._high = math.log10(low / 1.6), math.log10(high * 1.6)
        ticks = self._within((1, 2, 5))
        self.ticks = ticks if len(ticks) > 1 else self._within((1, 1.5, 2, 3, 5, 7))

    def _within(self, steps: Sequence[float]) -> list[float]:
        """Return these steps of each decade, as far as they are on the axis."""
        decades = range(math.floor(self._low), math.ceil(self._high) + 1)
        values = [step * 10.0**decade for decade in decades for step in steps]
        return [value for value in values if self._low <= math.log10(value) <= self._high]

    def place(self, value: float) -> float:
        """Return where a value is, in pixels."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)
