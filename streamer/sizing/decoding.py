"""How long this host decodes a frame into a batch's row."""

import time
from collections.abc import Sequence
from statistics import median
from typing import Final

import numpy as np

from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from engine.models.spec import IMAGENET_CROP_PX, IMAGENET_SHORT_SIDE_PX

_ROUNDS: Final = 5
_ROUND_S: Final = 0.15


def decode_us(pictures: Sequence[bytes], side_px: int) -> float:
    """Return the CPU time of a frame, the median of some rounds; about a second.

    Args:
        pictures: JPEGs.
        side_px: Of the model's input.
    """
    short_side_px = round(side_px * IMAGENET_SHORT_SIDE_PX / IMAGENET_CROP_PX)
    resize, row = Resize(short_side_px, side_px, side_px), np.empty((side_px, side_px, 3), np.uint8)
    headers = [read_header(picture, ImageLimits()) for picture in pictures]
    rounds = []
    for _ in range(_ROUNDS):
        began_s, count = time.thread_time(), 0
        while time.thread_time() - began_s < _ROUND_S:
            for picture, header in zip(pictures, headers, strict=True):
                decode_into(picture, header, resize, row)
            count += len(pictures)
        rounds.append((time.thread_time() - began_s) / count * 1e6)
    return median(rounds)
