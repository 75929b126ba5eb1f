"""The bodies of workpieces: shapes, metal, bevels and shadows, drawn once and pasted into many frames."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

#: The square that a body and its shadow are drawn in, in px of a frame of 256 px.
BOX_PX = 184

#: Body colours keep clear of black and white, so that a defect's edge can always be darker or brighter.
DARKEST, BRIGHTEST = 14, 240

_OVERSAMPLING = 3
_ARC = np.linspace(0.0, 2.0 * math.pi, 72, endpoint=False)

#: What the grey values of a metal are multiplied by, for red, green and blue.
_METALS = (
    (1.00, 1.00, 1.02),  # steel
    (1.06, 1.07, 1.08),  # aluminium
    (0.86, 0.90, 0.97),  # dark steel
    (1.14, 1.00, 0.68),  # brass
    (1.16, 0.88, 0.72),  # copper
    (1.05, 0.97, 0.86),  # bronze, worn
)


@dataclass(frozen=True, slots=True)
class Shape:
    """One outline and what is cut out of it, in units of the body's radius, around (0, 0).

    Attributes:
        outline: float64[points, 2], (x, y).
        land: float64[points, 2], the outline of a raised or lowered middle part; empty for none.
        bores: The holes that belong there, as (x, y, radius).
    """

    outline: NDArray[np.float64]
    land: NDArray[np.float64]
    bores: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Body:
    """A workpiece without a defect, ready to be pasted.

    Attributes:
        rgb: The metal and, around it, the black of its shadow.
        alpha: How much of `rgb` covers the belt, metal and shadow together.
        metal: The metal alone, 255 where it is.
        places: int64[n, 2], (x, y) in px of `rgb`, where a defect has metal all around it.
        rim: int64[m, 2], (x, y) in px of `rgb`, points of the outline.
        grey: The mean grey value of the metal.
    """

    rgb: Image.Image
    alpha: Image.Image
    metal: Image.Image
    places: NDArray[np.int64]
    rim: NDArray[np.int64]
    grey: float


class BodyMaker:
    """Draws bodies of random shape, metal, angle and size under one lamp.

    Args:
        rng: Where every choice comes from.
        light: The direction towards the lamp, a unit vector (x, y).
        scale: Frame side over 256.
    """

    def __init__(self, rng: Random, light: tuple[float, float], scale: float) -> None:
        self._rng = rng
        self._light = light
        self._scale = scale
        self._box_px = round(BOX_PX * scale)
        self._textures = _textures(np.random.default_rng(rng.getrandbits(64)), self._box_px)
        axis = np.linspace(-1.0, 1.0, self._box_px, dtype=np.float32)
        self._slope = axis[None, :] * np.float32(light[0]) + axis[:, None] * np.float32(light[1])

    def make(self) -> Body:
        """Draw one body."""
        rng, box_px, scale = self._rng, self._box_px, self._scale
        shape = rng.choice(_SHAPES)(rng)
        radius_px = rng.uniform(62.0, 74.0) * scale
        turn = rng.uniform(0.0, 2.0 * math.pi)
        metal, height = _masks(shape, radius_px, turn, box_px, rng.choice((105, 255)))
        relief = np.asarray(height.filter(ImageFilter.GaussianBlur(1.3 * scale)), dtype=np.float32)
        bevel = np.zeros((box_px, box_px), dtype=np.float32)
        bevel[1:-1, 1:-1] = (relief[1:-1, :-2] - relief[1:-1, 2:]) * self._light[0]
        bevel[1:-1, 1:-1] += (relief[:-2, 1:-1] - relief[2:, 1:-1]) * self._light[1]
        texture = rng.choice(self._textures).rotate(math.degrees(-turn), resample=Image.Resampling.BILINEAR)
        # The rotation leaves the corners of the square empty; no body reaches them.
        grain = np.asarray(texture, dtype=np.float32) - 128.0
        level = rng.uniform(118.0, 152.0)
        value = level + grain * rng.uniform(0.5, 1.0) + bevel * (0.75 * scale)
        value += self._slope * rng.uniform(4.0, 26.0)
        rgb = np.clip(value[:, :, None] * np.array(rng.choice(_METALS), dtype=np.float32), DARKEST, BRIGHTEST)
        drop_px = rng.uniform(4.0, 8.0) * scale
        shadow = metal.transform(
            metal.size,
            Image.Transform.AFFINE,
            (1, 0, self._light[0] * drop_px, 0, 1, self._light[1] * drop_px),
        ).filter(ImageFilter.BoxBlur(4.0 * scale))
        cover = np.asarray(metal, dtype=np.float32) * np.float32(1 / 255)
        dark = np.asarray(shadow, dtype=np.float32) * np.float32(rng.uniform(0.45, 0.7) / 255)
        alpha = cover + (1.0 - cover) * dark
        rgb *= (cover / np.maximum(alpha, np.float32(1e-3)))[:, :, None]
        return Body(
            rgb=Image.fromarray(rgb.astype(np.uint8)),
            alpha=Image.fromarray((alpha * 255.0).astype(np.uint8)),
            metal=metal,
            places=_places(metal, scale),
            rim=np.rint(_placed(shape.outline, radius_px * 0.97, turn, box_px / 2)).astype(np.int64),
            grey=level,
        )


def _placed(points: NDArray[np.float64], radius: float, turn: float, centre: float) -> NDArray[np.float64]:
    cos, sin = math.cos(turn), math.sin(turn)
    rotation = np.array([[cos, sin], [-sin, cos]])
    placed: NDArray[np.float64] = points @ rotation * radius + centre
    return placed


def _masks(
    shape: Shape, radius_px: float, turn: float, box_px: int, land_height: int
) -> tuple[Image.Image, Image.Image]:
    """Draw where there is metal, and how high it is (both uint8[box, box])."""
    fine = box_px * _OVERSAMPLING
    radius, centre = radius_px * _OVERSAMPLING, fine / 2
    outline = _placed(shape.outline, radius, turn, centre).ravel().tolist()
    metal, height = Image.new("L", (fine, fine)), Image.new("L", (fine, fine))
    metal_pen, height_pen = ImageDraw.Draw(metal), ImageDraw.Draw(height)
    metal_pen.polygon(outline, fill=255)
    height_pen.polygon(outline, fill=180)
    if len(shape.land):
        height_pen.polygon(_placed(shape.land, radius, turn, centre).ravel().tolist(), fill=land_height)
    for x, y, bore in shape.bores:
        (at_x, at_y), r = _placed(np.array([[x, y]]), radius, turn, centre)[0], bore * radius
        for pen in (metal_pen, height_pen):
            pen.ellipse((at_x - r, at_y - r, at_x + r, at_y + r), fill=0)
    return metal.reduce(_OVERSAMPLING), height.reduce(_OVERSAMPLING)


def _places(metal: Image.Image, scale: float) -> NDArray[np.int64]:
    """Find points that lie at least about 14 px (of a frame of 256 px) inside the metal."""
    cell_px = max(1, round(4 * scale))
    small = metal.reduce(cell_px)
    for reach in (7, 5, 3):
        inside = np.argwhere(np.asarray(small.filter(ImageFilter.MinFilter(reach))) == 255)
        if len(inside):
            break
    return inside[:, ::-1] * cell_px + cell_px // 2


def _textures(noise: np.random.Generator, side: int) -> list[Image.Image]:
    """Make grains of metal around 128: brushed, turned on a lathe, and cast (each uint8[side, side])."""
    streaks = Image.fromarray(noise.normal(128.0, 11.0, (side, 10)).clip(0, 255).astype(np.uint8))
    brushed = streaks.resize((side, side), Image.Resampling.BICUBIC)
    axis = np.arange(side) - side / 2
    from_centre = np.hypot(axis[:, None], axis[None, :]).astype(np.int64)
    rings = noise.normal(128.0, 8.0, side).clip(0, 255).astype(np.uint8)
    cast = Image.fromarray(noise.normal(128.0, 40.0, (side, side)).clip(0, 255).astype(np.uint8))
    return [brushed, Image.fromarray(rings[from_centre]), cast.filter(ImageFilter.BoxBlur(1.5))]


def _circle(radius: float) -> NDArray[np.float64]:
    return np.stack([np.cos(_ARC), np.sin(_ARC)], axis=1) * radius


def _rounded(width: float, height: float, corner: float) -> NDArray[np.float64]:
    arc = _circle(corner)
    reach = np.array([width - corner, height - corner])
    outline: NDArray[np.float64] = arc + np.where(np.abs(arc) < 1e-9, 1.0, np.sign(arc)) * reach
    return outline


def _plate(rng: Random) -> Shape:
    angle = rng.uniform(0.62, 0.86)
    width, height, corner = math.cos(angle) * 1.05, math.sin(angle) * 1.05, rng.uniform(0.08, 0.26)
    bores: tuple[tuple[float, float, float], ...] = ()
    if rng.random() < 0.5:
        x, y = width - 0.18, height - 0.18
        bores = tuple((x * i, y * j, 0.075) for i in (-1, 1) for j in (-1, 1))
    inset = rng.uniform(0.30, 0.36) if bores else rng.uniform(0.1, 0.2)
    return Shape(_rounded(width, height, corner), _rounded(width - inset, height - inset, corner * 0.7), bores)


def _disc(rng: Random) -> Shape:
    return Shape(_circle(0.98), _circle(rng.uniform(0.55, 0.85)))


def _ring(rng: Random) -> Shape:
    bore = rng.uniform(0.34, 0.42)
    return Shape(_circle(0.98), _circle(bore + rng.uniform(0.08, 0.16)), ((0.0, 0.0, bore),))


def _flange(rng: Random) -> Shape:
    count, bore = rng.choice((4, 6)), rng.uniform(0.2, 0.28)
    bolts = [
        (0.82 * math.cos(i * math.tau / count), 0.82 * math.sin(i * math.tau / count), 0.075) for i in range(count)
    ]
    return Shape(_circle(1.0), _circle(0.66), ((0.0, 0.0, bore), *bolts))


def _gear(rng: Random) -> Shape:
    teeth, bore = rng.randint(13, 20), rng.uniform(0.24, 0.32)
    steps = np.arange(teeth * 4)
    radii = np.where(steps % 4 < 2, 1.02, 0.87)
    angles = (steps + np.where(steps % 2 == 0, 0.18, -0.18) * np.where(steps % 4 < 2, 1, -1)) * (math.tau / len(steps))
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * radii[:, None]
    return Shape(outline, _circle(rng.uniform(0.66, 0.74)), ((0.0, 0.0, bore),))


def _nut(rng: Random) -> Shape:
    corners = np.arange(6) * (math.tau / 6)
    outline = np.stack([np.cos(corners), np.sin(corners)], axis=1)
    bore = rng.uniform(0.32, 0.4)
    return Shape(outline, _circle(0.82), ((0.0, 0.0, bore),))


_SHAPES: tuple[Callable[[Random], Shape], ...] = (_plate, _disc, _ring, _flange, _gear, _nut)
