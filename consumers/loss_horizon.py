"""When retention will delete frames that nobody has read. Pure: no clock, no Kafka."""

import math
from collections import deque
from dataclasses import dataclass
from statistics import linear_regression
from typing import Final

#: Growth is taken over so long: polls come in bursts, and one burst is no trend.
_WINDOW_S: Final = 10.0
#: A trend needs observations over so long.
_MIN_SPAN_S: Final = 3.0
#: Growing older by less than this, in seconds per second, is not falling behind.
_MIN_GROWTH: Final = 0.01
#: A warning comes at this share of the retention's time, between these bounds; at the lower share it is taken back.
_WARNING_SHARE: Final = 0.1
_SHORTEST_WARNING_S: Final = 5.0
_LONGEST_WARNING_S: Final = 600.0
_WARNING_BY_SIZE_S: Final = 60.0
_HYSTERESIS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Retention:
    """What a topic keeps of a partition.

    Attributes:
        time_s: Frames older than this are deleted; None keeps them whatever their age.
        size_bytes: The oldest are deleted while a partition has more than this; None keeps them however many.
    """

    time_s: float | None = None
    size_bytes: int | None = None

    @property
    def warning_s(self) -> float:
        """How long before a loss to warn."""
        if self.time_s is None:
            return _WARNING_BY_SIZE_S
        return min(max(self.time_s * _WARNING_SHARE, _SHORTEST_WARNING_S), _LONGEST_WARNING_S)


class LossHorizon:
    """How soon the first unread frame of one partition is deleted, at the pace at which its reader falls behind.

    By time, that is what retention leaves of the age of what is being read, over the growth of that age; by size,
    what it leaves of the unread bytes over their growth. The sooner one counts.
    """

    def __init__(self, retention: Retention) -> None:
        """Begin without observations."""
        self._retention = retention
        self._observations: deque[tuple[float, float, float]] = deque()
        self._is_near = False

    def observe(self, now_s: float, age_s: float, unread_bytes: float) -> None:
        """Take an observation.

        Args:
            now_s: The time, of one monotonic clock.
            age_s: The age of what is being read; 0 where everything is read.
            unread_bytes: What is not read yet.
        """
        self._observations.append((now_s, age_s, unread_bytes))
        while now_s - self._observations[0][0] > _WINDOW_S:
            self._observations.popleft()

    @property
    def horizon_s(self) -> float | None:
        """Seconds until the loss; None while the reader does not fall behind, or nothing is ever deleted."""
        if not self._observations or self._observations[-1][0] - self._observations[0][0] < _MIN_SPAN_S:
            return None
        times, ages, sizes = zip(*self._observations, strict=True)
        ageing = linear_regression(times, ages).slope
        if ageing < _MIN_GROWTH:
            return None
        retention = self._retention
        horizon_s = min(
            _until(retention.time_s, ages[-1], ageing),
            _until(retention.size_bytes, sizes[-1], linear_regression(times, sizes).slope),
        )
        return horizon_s if math.isfinite(horizon_s) else None

    def crosses(self) -> bool:
        """Tell whether it is time for a warning: once, until the loss has been twice as far away again."""
        horizon_s, warning_s = self.horizon_s, self._retention.warning_s
        if horizon_s is None or horizon_s > warning_s * _HYSTERESIS:
            self._is_near = False
        elif horizon_s <= warning_s and not self._is_near:
            self._is_near = True
            return True
        return False


def _until(limit: float | None, value: float, growth: float) -> float:
    """Return how long a growing value takes to its limit."""
    return max(limit - value, 0.0) / growth if limit is not None and growth > 0 else math.inf
