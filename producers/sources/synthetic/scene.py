"""What does not belong to the workpiece: the belt, the lamp's field of light, and the sensor's noise."""

from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

#: Sensor noise is cut off here, in grey values, so that adding it in uint8 cannot wrap around.
NOISE_LIMIT = 9

#: Rubber and fabric belts, as RGB.
_BELTS = ((48, 84, 66), (66, 69, 74), (46, 70, 102), (98, 96, 90), (80, 62, 54), (50, 53, 58))


def belt(rng: Random, side_px: int, scale: float) -> Image.Image:
    """Make a belt that runs from top to bottom between two rails, 2 * `side_px` long, `side_px` wide (RGB)."""
    noise = np.random.default_rng(rng.getrandbits(64))
    length_px = 2 * side_px
    grain = noise.normal(0.0, 5.0, (length_px, side_px)).astype(np.float32)
    wear = noise.normal(0.0, 60.0, (6, side_px)).clip(-120, 120) + 128.0
    wear_image = Image.fromarray(wear.clip(0, 255).astype(np.uint8)).filter(ImageFilter.BoxBlur(2.0))
    streaks = np.asarray(wear_image.resize((side_px, length_px), Image.Resampling.BICUBIC), dtype=np.float32)
    value = 1.0 + grain * np.float32(0.012) + (streaks - 128.0) * np.float32(0.0035)
    rows, columns = np.arange(length_px), np.arange(side_px)
    weave_px = max(2, round(4 * scale))
    value *= 1.0 + 0.05 * (((rows[:, None] // weave_px) + (columns[None, :] // weave_px)) % 2)
    rib_px = rng.choice((32, 64, 128)) * scale
    across = np.minimum(rows % rib_px, 3 * scale) / (3 * scale)
    value *= (0.72 + 0.28 * across + 0.12 * (rows % rib_px < 5 * scale) * (across == 1.0))[:, None]
    rgb = value[:, :, None] * np.array(rng.choice(_BELTS), dtype=np.float32)
    rail_px = round(rng.uniform(9.0, 16.0) * scale)
    profile = 96.0 + 90.0 * np.sin(np.linspace(0.25, 2.9, rail_px)) ** 6
    shade_px = round(6 * scale)
    shade = np.linspace(0.35, 1.0, shade_px)[:, None]
    for edge in (rgb, rgb[:, ::-1]):
        edge[:, rail_px : rail_px + shade_px] *= shade
        edge[:, :rail_px] = profile[:, None] + grain[:, :rail_px, None]
    return Image.fromarray(np.clip(rgb, 14, 240).astype(np.uint8))


def lights(rng: Random, side_px: int, light: tuple[float, float], count: int) -> list[NDArray[np.uint16]]:
    """Make fields of light, in 1/256: a gain, a slope towards the lamp and a vignette.

    Returns:
        `count` fields of uint16[side, side, 3], each at most 256.
    """
    axis = np.linspace(-1.0, 1.0, side_px, dtype=np.float32)
    slope = axis[None, :] * np.float32(light[0]) + axis[:, None] * np.float32(light[1])
    squared = axis[None, :] ** 2 + axis[:, None] ** 2
    fields = []
    for _ in range(count):
        level = 1.0 + slope * rng.uniform(0.02, 0.16) - squared * rng.uniform(0.02, 0.15)
        warmth = rng.uniform(-0.04, 0.04)
        tint = np.array([1.0 + warmth, 1.0, 1.0 - warmth], dtype=np.float32)
        field = level[:, :, None] * tint * np.float32(rng.uniform(0.7, 1.06) * 256.0)
        fields.append(np.minimum(field, 256.0).astype(np.uint16))
    return fields


def noises(rng: Random, side_px: int) -> list[NDArray[np.uint8]]:
    """Make tiles of sensor noise, weak to strong.

    Returns:
        Three of uint8[2 * side, side, 3]: negative values as two's complement, to be added modulo 256.
    """
    noise = np.random.default_rng(rng.getrandbits(64))
    shape = (2 * side_px, side_px, 3)
    base = noise.standard_normal(shape, dtype=np.float32)
    return [
        np.clip(np.rint(base * sigma), -NOISE_LIMIT, NOISE_LIMIT).astype(np.int8).view(np.uint8)
        for sigma in (np.float32(1.2), np.float32(2.2), np.float32(3.4))
    ]
