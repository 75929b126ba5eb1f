"""How a measured value is spread: minimum, mean, maximum and percentiles, in bounded memory."""

import math
from typing import Any, Self

from ddsketch import LogCollapsingLowestDenseDDSketch

#: Percentiles of a fine one are right to 0.1 %: 16,384 bins reach from ns to hours.
_FINE_ACCURACY, _FINE_BINS = 0.001, 16384


class Spread:
    """Values above 0, such as durations. Not thread-safe; cheap enough for every call of a step.

    Attributes:
        count: How many there were.
        total: Their sum.
    """

    def __init__(self, relative_accuracy: float = 0.01, bins: int = 2048) -> None:
        """Begin with none.

        Args:
            relative_accuracy: How near percentiles are to the true ones.
            bins: How many there are at the most. With the defaults they reach from µs to years.
        """
        self.count = 0
        self.total = 0.0
        self._min = math.inf
        self._max = 0.0
        self._sketch: Any = LogCollapsingLowestDenseDDSketch(relative_accuracy, bins)

    @classmethod
    def fine(cls) -> Self:
        """Return one for what is reported of a device: percentiles right to 0.1 %."""
        return cls(_FINE_ACCURACY, _FINE_BINS)

    def add(self, value: float) -> None:
        """Count one."""
        self.count += 1
        self.total += value
        if value < self._min:  # noqa: PLR1730 - twice as fast as min()
            self._min = value
        if value > self._max:  # noqa: PLR1730
            self._max = value
        self._sketch.add(value)

    def merge(self, other: "Spread") -> None:
        """Count all that another one has counted, which was made with the same accuracy and stays as it is."""
        self.count += other.count
        self.total += other.total
        self._max = max(self._max, other.max)
        if other.count:
            self._min = min(self._min, other.min)
        self._sketch.merge(other._sketch)  # noqa: SLF001 - of its own kind

    @property
    def min(self) -> float:
        """The smallest; 0 where there is none."""
        return self._min if self.count else 0.0

    @property
    def max(self) -> float:
        """The largest; 0 where there is none."""
        return self._max

    @property
    def mean(self) -> float:
        """The mean; 0 where there is none."""
        return self.total / self.count if self.count else 0.0

    def percentile(self, share: float) -> float:
        """Return the value that this share of all does not exceed, by nearest rank; 0 where there is none.

        Args:
            share: 0–1; 0.5 is the median.
        """
        if not self.count:
            return 0.0
        rank = max(math.ceil(share * self.count) - 1, 0)
        # The sketch counts ranks from 0 to count - 1 and rounds down: half a rank more is this one for certain.
        quantile = min((rank + 0.5) / (self.count - 1), 1.0) if self.count > 1 else 0.0
        value = self._sketch.get_quantile_value(quantile)
        return min(max(float(value), self._min), self._max)
