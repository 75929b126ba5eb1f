"""Drawings as SVG: the document, and the parts that several of them have. Pure."""

from collections.abc import Iterable
from html import escape
from typing import Literal

from streamer.terminal import harmless

#: The colours of text, of what is drawn, and of what stands out.
INK, BLUE, RED, GREY = "#111827", "#2563eb", "#c2410c", "#6b7280"
Anchor = Literal["start", "middle", "end"]
_MAX_CHARS = 200


def document(width_px: int, height_px: int, label: str, parts: Iterable[str], *, font_px: int = 13) -> str:
    """Return a drawing on white.

    Args:
        width_px: Its width.
        height_px: Its height.
        label: What it shows, for those who cannot see it.
        parts: Elements, each over those before it.
        font_px: The size of its text.
    """
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{height_px}" font-family="sans-serif" '
        f'font-size="{font_px}" role="img" aria-label="{escaped(label)}">'
    )
    return "\n".join([head, rectangle(0, 0, width_px, height_px, "#ffffff"), *parts, "</svg>", ""])


def escaped(said: str) -> str:
    """Return text from outside as it may stand in a drawing."""
    return escape(harmless(said, _MAX_CHARS))


def text(x: float, y: float, said: str, anchor: Anchor = "start", *, colour: str = INK, is_turned: bool = False) -> str:
    """Return text; turned, it is read from below."""
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if is_turned else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"{turn}>{escaped(said)}</text>'


def line(begin: tuple[float, float], end: tuple[float, float], colour: str, dashes: str = "none") -> str:
    """Return a straight line between two points, x and y."""
    (x1, y1), (x2, y2) = begin, end
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-dasharray="{dashes}"/>'
    )


def rectangle(x: float, y: float, width_px: float, height_px: float, colour: str, opacity: float = 1.0) -> str:
    """Return a filled rectangle; x and y are its upper left corner's."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width_px:.1f}" height="{height_px:.1f}" fill="{colour}" '
        f'opacity="{opacity:g}"/>'
    )


def circle(x: float, y: float, colour: str, *, title: str, radius_px: int = 5, is_hollow: bool = False) -> str:
    """Return a mark, with a title that is shown where somebody points at it."""
    fill = "#ffffff" if is_hollow else colour
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius_px}" fill="{fill}" stroke="{colour}" stroke-width="2">'
        f"<title>{escaped(title)}</title></circle>"
    )
