"""A drawing that becomes SVG or PNG: boxes, lines and text, the same in both."""

import unicodedata
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

INK, FAINT, BLUE, PALE, GREEN, AMBER = "#111827", "#6b7280", "#2563eb", "#eff6ff", "#ecfdf5", "#fffbeb"
Anchor = Literal["start", "middle"]
#: About the width of a letter, as a part of its height.
LETTER = 0.53
#: A PNG has twice the pixels of its layout, and fewer where it would be larger than this.
_PNG_SCALE = 2.0
_MAX_PNG_PIXELS = 40_000_000
_ANCHORS = {"start": "lm", "middle": "mm"}


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle; x and y are its upper left corner's. Its title is shown where somebody points at it."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Path2D:
    """A line through points, with an arrow at its end."""

    points: tuple[tuple[float, float], ...]
    colour: str = FAINT
    has_arrow: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; y is its middle."""

    x: float
    y: float
    said: str
    size: float = 12
    anchor: Anchor = "start"
    colour: str = INK


@dataclass(slots=True)
class Canvas:
    """What is drawn, in order.

    Attributes:
        label: What it shows, for those who cannot see it.
    """

    width: float
    height: float
    label: str
    shapes: list[Box | Path2D | Text] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write it as the file's suffix says: `.svg`, else PNG."""
        if path.suffix.lower() == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        else:
            self.image().save(path, "PNG", optimize=True)

    def svg(self) -> str:
        """Return it as an SVG document on white."""
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width:.0f}" height="{self.height:.0f}" '
            f'viewBox="0 0 {self.width:.0f} {self.height:.0f}" font-family="sans-serif" role="img" '
            f'aria-label="{_escaped(self.label)}">'
        )
        ground = Box(0, 0, self.width, self.height, "#ffffff")
        return "\n".join([head, *(_svg(shape) for shape in (ground, *self.shapes)), "</svg>", ""])

    def image(self) -> Image.Image:
        """Return it as a picture on white."""
        scale = min(_PNG_SCALE, (_MAX_PNG_PIXELS / (self.width * self.height)) ** 0.5)
        image = Image.new("RGB", (max(1, round(self.width * scale)), max(1, round(self.height * scale))), "#ffffff")
        brush = ImageDraw.Draw(image)
        for shape in self.shapes:
            _paint(brush, shape, scale)
        return image


def clipped(said: str, width: float, size: float) -> str:
    """Return as much of a text as fits into a width."""
    most = max(1, int(width / (size * LETTER)))
    said = _plain(said)
    return said if len(said) <= most else said[: max(1, most - 3)] + "..."


def arrow(end: tuple[float, float], before: tuple[float, float], size: float = 5) -> list[tuple[float, float]]:
    """Return the triangle at the end of a line."""
    dx, dy = end[0] - before[0], end[1] - before[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1.0
    dx, dy = dx / length * size, dy / length * size
    return [end, (end[0] - dx - dy * 0.6, end[1] - dy + dx * 0.6), (end[0] - dx + dy * 0.6, end[1] - dy - dx * 0.6)]


def _svg(shape: Box | Path2D | Text) -> str:
    if isinstance(shape, Box):
        stroke = f' stroke="{shape.stroke}"' if shape.stroke else ""
        title = f"<title>{_escaped(shape.title)}</title>" if shape.title else ""
        return (
            f'<rect x="{shape.x:.1f}" y="{shape.y:.1f}" width="{shape.width:.1f}" height="{shape.height:.1f}" '
            f'fill="{shape.fill}"{stroke}>{title}</rect>'
        )
    if isinstance(shape, Text):
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" text-anchor="{shape.anchor}" '
            f'dominant-baseline="middle" fill="{shape.colour}">{_escaped(shape.said)}</text>'
        )
    line = f'<polyline points="{_pairs(shape.points)}" fill="none" stroke="{shape.colour}"/>'
    if not shape.has_arrow:
        return line
    head = _pairs(arrow(shape.points[-1], shape.points[-2]))
    return f'{line}<polygon points="{head}" fill="{shape.colour}"/>'


def _paint(brush: ImageDraw.ImageDraw, shape: Box | Path2D | Text, scale: float) -> None:
    if isinstance(shape, Box):
        corners = [
            (shape.x * scale, shape.y * scale),
            ((shape.x + shape.width) * scale, (shape.y + shape.height) * scale),
        ]
        brush.rectangle(corners, shape.fill, shape.stroke or None)
    elif isinstance(shape, Text):
        font = ImageFont.load_default(max(shape.size * scale, 4))
        brush.text((shape.x * scale, shape.y * scale), _plain(shape.said), shape.colour, font, _ANCHORS[shape.anchor])
    else:
        points = [(x * scale, y * scale) for x, y in shape.points]
        brush.line(points, shape.colour, max(1, round(scale)))
        if shape.has_arrow:
            brush.polygon(arrow(points[-1], points[-2], 5 * scale), shape.colour)


def _pairs(points: tuple[tuple[float, float], ...] | list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _plain(said: str) -> str:
    """Return text as Pillow's own font has it: it knows little more than ASCII, and would draw boxes."""
    return (
        said.replace("×", "x")
        .replace("…", "...")
        .encode("ascii", "backslashreplace")
        .decode()
        .translate(dict.fromkeys(range(32)))
    )


def _escaped(said: str) -> str:
    """Return text from outside as it may stand in a drawing: nothing in it turns or hides what follows."""
    return escape("".join(letter for letter in said if not unicodedata.category(letter).startswith("C")))
