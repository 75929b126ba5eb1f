"""The four defects, each drawn on a copy of a body's picture.

What tells them apart, in words: a scratch is bright, thin and smooth; a crack is dark, thin and jagged; a dent is
soft, dark on one side and bright on the other; a hole is dark with a hard and ragged edge.
"""

import math
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from producers.sources.synthetic.bodies import BRIGHTEST, DARKEST, Body

_OVERSAMPLING = 3
_ATTEMPTS = 12
_DENTS = 24

Point = tuple[float, float]


class DefectPainter:
    """Draws defects under one lamp.

    Args:
        rng: Where every choice comes from.
        light: The direction towards the lamp, a unit vector (x, y).
        scale: Frame side over 256.
    """

    def __init__(self, rng: Random, light: tuple[float, float], scale: float) -> None:
        self._rng = rng
        self._light = light
        self._scale = scale
        self._dents = [_dent(rng, light, scale) for _ in range(_DENTS)]

    def paint(self, body: Body, label: str) -> Image.Image:
        """Give the body's picture with the defect that `label` names; `ok` gives the picture itself."""
        if label == "ok":
            return body.rgb
        picture = body.rgb.copy()
        {"scratch": self._scratch, "dent": self._dent, "crack": self._crack, "hole": self._hole}[label](picture, body)
        return picture

    def _place(self, body: Body) -> Point:
        x, y = body.places[self._rng.randrange(len(body.places))]
        return float(x), float(y)

    def _scratch(self, picture: Image.Image, body: Body) -> None:
        rng, scale = self._rng, self._scale
        width = rng.uniform(2.2, 3.2) * scale
        for _ in range(_ATTEMPTS):
            line = _arc(
                self._place(body), rng.uniform(0.0, math.tau), rng.uniform(52.0, 96.0) * scale, rng.uniform(-0.5, 0.5)
            )
            if _covered_px(body, line, width) > 38.0 * scale * width:
                break
        lines = [line]
        if rng.random() < 0.4:
            gap = rng.uniform(4.0, 7.0) * scale
            dx, dy = line[-1][0] - line[0][0], line[-1][1] - line[0][1]
            reach = gap / max(1.0, math.hypot(dx, dy))
            lines.append([(x - dy * reach, y + dx * reach) for x, y in line[1:-1]])
        shine = round(rng.uniform(BRIGHTEST - 14, BRIGHTEST))
        groove = round(max(DARKEST, body.grey * 0.62))
        side = 1.4 * scale
        for points in lines:
            shifted = [(x + self._light[0] * side, y + self._light[1] * side) for x, y in points]
            _stroke(picture, body, shifted, width * 0.7, groove)
            _stroke(picture, body, points, width, shine)

    def _crack(self, picture: Image.Image, body: Body) -> None:
        rng, scale = self._rng, self._scale
        width = rng.uniform(2.6, 3.6) * scale
        for _ in range(_ATTEMPTS):
            line = self._jagged(body)
            if _covered_px(body, line, width) > 36.0 * scale * width:
                break
        dark = rng.randrange(DARKEST, DARKEST + 14)
        lit = round(min(BRIGHTEST, body.grey * 1.3))
        branches = []
        for knot in rng.sample(range(1, len(line) - 1), k=rng.randint(1, 2)):
            heading = _heading(line[knot], line[knot + 1]) + rng.choice((-1, 1)) * rng.uniform(0.6, 1.1)
            branches.append(_walk(rng, line[knot], heading, 2, rng.uniform(7.0, 11.0) * scale))
        shifted = [(x - self._light[0] * 1.5 * scale, y - self._light[1] * 1.5 * scale) for x, y in line]
        _stroke(picture, body, shifted, width * 0.6, lit)
        for branch in branches:
            _stroke(picture, body, branch, width * 0.65, dark)
        half = len(line) // 2
        _stroke(picture, body, line[: half + 1], width, dark)
        _stroke(picture, body, line[half:], width * 0.75, dark)

    def _jagged(self, body: Body) -> list[Point]:
        """Walk from the rim inwards, or through the middle of the metal."""
        rng, scale = self._rng, self._scale
        step = rng.uniform(9.0, 13.0) * scale
        x, y = self._place(body)
        if rng.random() < 0.6:
            rim = body.rim[rng.randrange(len(body.rim))]
            start = (float(rim[0]), float(rim[1]))
            return _walk(rng, start, _heading(start, (x, y)), rng.randint(5, 7), step)
        heading = rng.uniform(0.0, math.tau)
        start = (x - math.cos(heading) * 2.5 * step, y - math.sin(heading) * 2.5 * step)
        return _walk(rng, start, heading, rng.randint(5, 6), step)

    def _hole(self, picture: Image.Image, body: Body) -> None:
        rng, scale = self._rng, self._scale
        x, y = self._place(body)
        radius = rng.uniform(9.0, 14.0) * scale
        count = 16
        radii = [radius * rng.uniform(0.78, 1.2) for _ in range(count)]
        radii = [(radii[i] * 2 + radii[i - 1] + radii[(i + 1) % count]) / 4 for i in range(count)]
        lit, dark = round(min(BRIGHTEST, body.grey * 1.45)), rng.randrange(DARKEST, DARKEST + 12)
        floor = rng.randrange(40, 62)
        away_x, away_y = -self._light[0] * scale, -self._light[1] * scale
        for size, shift, grey in ((1.1, 1.6, lit), (1.0, 0.0, dark), (0.62, radius / scale * 0.22, floor)):
            ragged = [
                (
                    x + away_x * shift + math.cos(i * math.tau / count) * r * size,
                    y + away_y * shift + math.sin(i * math.tau / count) * r * size,
                )
                for i, r in enumerate(radii)
            ]
            _fill(picture, ragged, grey)

    def _dent(self, picture: Image.Image, body: Body) -> None:
        x, y = self._place(body)
        shade = self._rng.choice(self._dents)
        half = len(shade) // 2
        box = (round(x) - half, round(y) - half, round(x) - half + len(shade), round(y) - half + len(shade))
        patch = np.asarray(picture.crop(box), dtype=np.int16) + shade
        picture.paste(Image.fromarray(np.clip(patch, DARKEST, BRIGHTEST).astype(np.uint8)), box[:2])


def _dent(rng: Random, light: tuple[float, float], scale: float) -> NDArray[np.int16]:
    """Make the shade of one dent: the wall next to the lamp is dark, the wall across is bright.

    Returns:
        int16[side, side, 3], to be added.
    """
    deviation = rng.uniform(6.5, 10.0) * scale
    half = math.ceil(deviation * 3)
    axis = np.arange(-half, half + 1, dtype=np.float64)
    turn, squeeze = rng.uniform(0.0, math.pi), rng.uniform(0.75, 1.0)
    along = axis[None, :] * math.cos(turn) + axis[:, None] * math.sin(turn)
    across = (axis[:, None] * math.cos(turn) - axis[None, :] * math.sin(turn)) / squeeze
    bowl = np.exp(-(along**2 + across**2) / (2 * deviation**2))
    towards = (axis[None, :] * light[0] + axis[:, None] * light[1]) / deviation
    depth = rng.uniform(85.0, 125.0)
    shade = -depth * towards * bowl - 0.15 * depth * bowl
    return np.repeat(np.rint(shade).astype(np.int16)[:, :, None], 3, axis=2)


def _heading(start: Point, end: Point) -> float:
    return math.atan2(end[1] - start[1], end[0] - start[0])


def _walk(rng: Random, start: Point, heading: float, steps: int, step: float) -> list[Point]:
    """Walk zigzag: each step turns the other way, by 17 to 50 degrees from the heading."""
    points, (x, y), turn = [start], start, rng.choice((-1, 1))
    for _ in range(steps):
        angle, length = heading + turn * rng.uniform(0.3, 0.87), step * rng.uniform(0.7, 1.3)
        x, y, turn = x + math.cos(angle) * length, y + math.sin(angle) * length, -turn
        points.append((x, y))
    return points


def _arc(middle: Point, heading: float, length: float, bend: float) -> list[Point]:
    """Give nine points of an arc around `middle` that turns by `bend` radians in all."""
    count = 8
    points, (x, y) = [], (0.0, 0.0)
    for index in range(count + 1):
        points.append((x, y))
        angle = heading + bend * (index / count - 0.5)
        x, y = x + math.cos(angle) * length / count, y + math.sin(angle) * length / count
    off_x, off_y = middle[0] - points[count // 2][0], middle[1] - points[count // 2][1]
    return [(px + off_x, py + off_y) for px, py in points]


def _patch(points: list[Point], margin: float) -> tuple[int, int, int, int]:
    xs, ys = [x for x, _ in points], [y for _, y in points]
    return (
        math.floor(min(xs) - margin),
        math.floor(min(ys) - margin),
        math.ceil(max(xs) + margin),
        math.ceil(max(ys) + margin),
    )


def _mask(points: list[Point], width: float | None) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Draw a line of `width` px, or the polygon where `width` is None, and say where its patch lies."""
    box = _patch(points, (width or 0.0) + 1.0)
    fine = Image.new("L", ((box[2] - box[0]) * _OVERSAMPLING, (box[3] - box[1]) * _OVERSAMPLING))
    local = [((x - box[0]) * _OVERSAMPLING, (y - box[1]) * _OVERSAMPLING) for x, y in points]
    if width is None:
        ImageDraw.Draw(fine).polygon(local, fill=255)
    else:
        ImageDraw.Draw(fine).line(local, fill=255, width=max(1, round(width * _OVERSAMPLING)), joint="curve")
    return fine.reduce(_OVERSAMPLING), box


def _stroke(picture: Image.Image, body: Body, points: list[Point], width: float, grey: int) -> None:
    """Draw a line on the metal, not on the shadow around it."""
    mask, box = _mask(points, width)
    picture.paste((grey, grey, grey), box, ImageChops.multiply(mask, body.metal.crop(box)))


def _fill(picture: Image.Image, points: list[Point], grey: int) -> None:
    mask, box = _mask(points, None)
    picture.paste((grey, grey, grey), box, mask)


def _covered_px(body: Body, points: list[Point], width: float) -> float:
    """Say how much of a line lies on metal, in px of area."""
    mask, box = _mask(points, width)
    histogram = ImageChops.multiply(mask, body.metal.crop(box)).histogram()
    return sum(value * count for value, count in enumerate(histogram)) / 255.0
