"""Draws workpieces on a conveyor belt, as a camera above the belt sees them."""

import math
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from producers.sources.synthetic import scene
from producers.sources.synthetic.bodies import BOX_PX, BodyMaker
from producers.sources.synthetic.defects import DefectPainter

#: What the built-in model tells apart, in the order of its outputs.
LABELS: Final = ("ok", "scratch", "dent", "crack", "hole")

SMALLEST_PX: Final = 64
LARGEST_PX: Final = 512

_BODIES = 40
_LIGHTS = 12


class WorkpieceRenderer:
    """Renders frames of random workpieces; the same seed gives the same frames.

    What costs time (belt, bodies, light, noise) is drawn by the constructor, so that a frame is a few slices,
    pastes and integer operations. Each renderer has one belt and one lamp, as a camera has. The labels are
    drawn at random, each as likely as the others. For one thread.

    Args:
        seed: Any integer from 0.
        size_px: The side of a frame, 64 to 512.
    """

    def __init__(self, seed: int, size_px: int = 256) -> None:
        if not SMALLEST_PX <= size_px <= LARGEST_PX:
            raise ValueError(f"size_px is {size_px}; it can be {SMALLEST_PX} to {LARGEST_PX}")
        self._rng = rng = Random(seed)  # noqa: S311 - pictures, not secrets
        self._size_px = size_px
        scale = size_px / 256
        angle = rng.uniform(0.0, math.tau)
        light = (math.cos(angle), math.sin(angle))
        self._spare_px = size_px - round(BOX_PX * scale)
        self._belt = scene.belt(rng, size_px, scale)
        self._lights = scene.lights(rng, size_px, light, _LIGHTS)
        self._noises = scene.noises(rng, size_px)
        maker = BodyMaker(rng, light, scale)
        self._bodies = [maker.make() for _ in range(_BODIES)]
        self._painter = DefectPainter(rng, light, scale)

    def render(self) -> tuple[NDArray[np.uint8], str]:
        """Draw the next frame.

        Returns:
            A new uint8[size, size, 3], RGB, C-contiguous, and its label, one of `LABELS`.
        """
        rng, size = self._rng, self._size_px
        label = rng.choice(LABELS)
        body = rng.choice(self._bodies)
        travel = rng.randrange(size)
        canvas = self._belt.crop((0, travel, size, travel + size))
        corner = (rng.randint(0, self._spare_px), rng.randint(0, self._spare_px))
        canvas.paste(self._painter.paint(body, label), corner, body.alpha)
        pixels = np.array(canvas)
        for axis in rng.choice(((), (), (0,), (1,), (0, 1))):
            _soften(pixels, axis)
        lit = pixels * rng.choice(self._lights)
        lit >>= 8
        frame = lit.astype(np.uint8)
        np.clip(frame, scene.NOISE_LIMIT, 255 - scene.NOISE_LIMIT, out=frame)
        row = rng.randrange(size)
        frame += rng.choice(self._noises)[row : row + size]
        return frame, label


def _soften(pixels: NDArray[np.uint8], axis: int) -> None:
    """Average each pixel with the next one along an axis, in place: blur by movement or focus."""
    here, there = (pixels[:-1], pixels[1:]) if axis == 0 else (pixels[:, :-1], pixels[:, 1:])
    # The mean of two uint8 without a wider type: the bits they share, and half of those they do not.
    mean = here ^ there
    mean >>= 1
    mean += here & there
    here[...] = mean
