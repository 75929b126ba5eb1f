"""A drawing of throughput against latency: up is faster, left is sooner."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from streamer.terminal import harmless

Kind = Literal["measured", "simulated", "best", "listed"]

_WIDTH, _HEIGHT = 860, 560
_LEFT, _RIGHT, _TOP, _BOTTOM = 90, 30, 40, 60
_COLOURS: Mapping[Kind, str] = {"measured": "#2563eb", "simulated": "#7c3aed", "best": "#c2410c", "listed": "#6b7280"}
_RADIUS = 5


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
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" '
        'font-size="12" role="img" aria-label="throughput against latency">'
    )
    parts = [
        head,
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 24, title),
        _text((_LEFT + right) / 2, _HEIGHT - 14, "latency of a batch, 95th percentile, ms", "middle"),
        _text(20, middle, "images per second", "middle", turned=True),
    ]
    for value in across.ticks:
        at = across.place(value)
        parts += [_line(at, _TOP, at, bottom), _text(at, bottom + 18, f"{value:g}", "middle")]
    for value in up.ticks:
        at = up.place(value)
        parts += [_line(_LEFT, at, right, at), _text(_LEFT - 8, at + 4, f"{value:,g}", "end")]
    for point in shown:
        parts += _mark(point, across.place(point.latency_ms), up.place(point.images_per_s))
    kinds = [kind for kind in _COLOURS if any(point.kind == kind for point in shown)]
    for number, kind in enumerate(kinds):
        at = right - 90 * (len(kinds) - number)
        parts += [_circle(at, 20, kind, kind), _text(at + 10, 24, kind)]
    return "\n".join([*parts, "</svg>", ""])


def _mark(point: Point, x: float, y: float) -> list[str]:
    figures = f"{point.images_per_s:,.1f} images/s, {point.latency_ms:.3g} ms"
    # Near the right edge a label goes to the left of its mark.
    is_right = x > _WIDTH * 0.8
    return [
        _circle(x, y, point.kind, f"{point.label}: {figures} ({point.kind})"),
        _text(x - 8 if is_right else x + 8, y - 6, point.label, "end" if is_right else "start"),
    ]


def _circle(x: float, y: float, kind: Kind, title: str) -> str:
    fill = "#ffffff" if kind == "listed" else _COLOURS[kind]
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" fill="{fill}" stroke="{_COLOURS[kind]}" stroke-width="2">'
        f"<title>{escape(harmless(title, 200))}</title></circle>"
    )


def _text(x: float, y: float, text: str, anchor: str = "start", *, turned: bool = False) -> str:
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    said = escape(harmless(text, 200))
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#111827"{turn}>{said}</text>'


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#e5e7eb"/>'


class _Axis:
    """A logarithmic axis that holds some values, with 1, 2 and 5 of each decade as ticks."""

    def __init__(self, values: Sequence[float], begin: float, end: float) -> None:
        low, high = (min(values), max(values)) if values else (1.0, 10.0)
        self._begin, self._end = begin, end
        # Room on either side, also where all values are one.
        self._low, self._high = math.log10(low / 1.6), math.log10(high * 1.6)
        self.ticks = [
            value
            for decade in range(math.floor(self._low), math.ceil(self._high) + 1)
            for value in (10.0**decade, 2 * 10.0**decade, 5 * 10.0**decade)
            if self._low <= math.log10(value) <= self._high
        ]

    def place(self, value: float) -> float:
        """Return where a value is, in pixels."""
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self._end - self._begin)
