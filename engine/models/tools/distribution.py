"""How the values of a tensor are distributed, found in parts: a tensor may be most of what the memory holds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: So many values are looked at as float64 at a time: 8 MiB.
_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Distribution:
    """The finite values of a tensor.

    Attributes:
        finite: How many they are; without any, all else is 0.
        lost: How many others there are.
        counts: How many there are in each of the bins, which are of equal width from the lowest to the highest.
        strengths: The root mean square of each channel (the first axis), against that of the strongest; where there
            are more channels than cells, of their neighbours.
    """

    finite: int
    lost: int
    lowest: float
    highest: float
    mean: float
    deviation: float
    counts: NDArray[np.intp]
    strengths: NDArray[np.float64]


def distribution_of(values: NDArray[np.generic], bins: int, cells: int) -> Distribution:
    """Return how the values are distributed; a tensor without axes or values is one without finite ones."""
    finite, total, lowest, highest = 0, 0.0, np.inf, -np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        for part in _finite_parts(values):
            finite += part.size
            total += part.sum()
            lowest, highest = min(lowest, part.min(initial=np.inf)), max(highest, part.max(initial=-np.inf))
        if not finite:
            return Distribution(0, values.size, 0.0, 0.0, 0.0, 0.0, np.zeros(bins, np.intp), np.zeros(1))
        mean = total / finite
        counts, squares = np.zeros(bins, np.intp), 0.0
        for part in _finite_parts(values):
            counts += _counts(part, bins, lowest, highest)
            squares += ((part - mean) ** 2).sum()
        deviation = float(np.sqrt(squares / finite))
    strengths = _strengths(values, max(abs(lowest), abs(highest)), cells)
    return Distribution(finite, values.size - finite, lowest, highest, mean, deviation, counts, strengths)


def _finite_parts(values: NDArray[np.generic]) -> Iterator[NDArray[np.float64]]:
    flat = values.reshape(-1)
    for begin in range(0, flat.size, _PART):
        part = flat[begin : begin + _PART].astype(np.float64)
        yield part[np.isfinite(part)]


def _counts(part: NDArray[np.float64], bins: int, lowest: float, highest: float) -> NDArray[np.intp]:
    try:
        return np.histogram(part, bins, (lowest, highest))[0]
    except ValueError:  # so far apart, or so near to each other, that no numbers lie between
        counts = np.zeros(bins, np.intp)
        counts[bins // 2] = part.size
        return counts


def _strengths(values: NDArray[np.generic], largest: float, cells: int) -> NDArray[np.float64]:
    rows = values.reshape(len(values) if values.ndim else 1, -1)
    squares = np.zeros(len(rows))
    wide = min(rows.shape[1], _PART)
    tall = max(_PART // wide, 1)
    for top in range(0, len(rows), tall):
        for left in range(0, rows.shape[1], wide):
            part = rows[top : top + tall, left : left + wide].astype(np.float64)
            part = np.nan_to_num(part, copy=False, posinf=0, neginf=0)
            part /= largest or 1.0  # squares of the largest numbers are none
            squares[top : top + tall] += np.einsum("rc,rc->r", part, part)
    strength = np.sqrt(squares / rows.shape[1])
    shown = np.array([part.mean() for part in np.array_split(strength, min(len(strength), cells))])
    return shown / (shown.max() or 1.0)
