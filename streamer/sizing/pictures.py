"""Encoded pictures as cameras send them, for measurements: as large as is wanted, each another one."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

#: Width to height of most cameras.
_ASPECT: Final = 16 / 9
_QUALITY: Final = 85
_COARSE: Final = 24
#: Noise that no camera has; in grey levels.
_MOST_NOISE: Final = 80.0
_STEPS: Final = 8


def pictures(count: int, short_side_px: int, frame_bytes: int | None = None) -> list[bytes]:
    """Return JPEGs.

    Args:
        count: How many.
        short_side_px: Their height.
        frame_bytes: About so large, by more or less noise, and by a lower quality where that is too much; None for
            pictures with little noise.
    """
    random = np.random.default_rng(1)
    scenes = [_scene(random, short_side_px) for _ in range(count)]
    noise, quality = 3.0, _QUALITY
    if frame_bytes is not None:
        noise = _nearest(lambda noise: len(_encoded(scenes[0], noise, _QUALITY)), frame_bytes, 0.0, _MOST_NOISE)
        if noise < 1:
            quality = round(_nearest(lambda value: len(_encoded(scenes[0], noise, round(value))), frame_bytes, 5, 85))
    return [_encoded(scene, noise, quality) for scene in scenes]


def _scene(random: np.random.Generator, short_side_px: int) -> NDArray[np.uint8]:
    """Return a smooth picture: uint8[height, width, 3]."""
    coarse = random.integers(0, 256, (_COARSE, _COARSE, 3), dtype=np.uint8)
    size = (round(short_side_px * _ASPECT), short_side_px)
    return np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))


def _encoded(scene: NDArray[np.uint8], noise: float, quality: int) -> bytes:
    noisy = scene + np.random.default_rng(2).normal(0, max(noise, 1e-9), scene.shape)
    pixels = np.clip(noisy, 0, 255).astype(np.uint8)
    encode = partial(simplejpeg.encode_jpeg, quality=quality, colorspace="RGB", colorsubsampling="420")
    data: bytes = encode(pixels)
    return data


def _nearest(size_of: Callable[[float], int], wanted: int, low: float, high: float) -> float:
    """Bisect for the value at which something that grows has the wanted size."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if size_of(middle) < wanted else (low, middle)
    return low
