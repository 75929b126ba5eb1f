"""The largest load that still passes, where a measurement may err. Pure: whoever asks does the measuring."""

from collections.abc import Callable
from typing import Final

#: How far it goes up or down until it has found a load that passes and one that does not.
_STEP: Final = 1.2


class BorderSearch:
    """Bisects between a load that passed and one that did not; what is next to the border is asked again.

    A load counts by the majority of its measurements.
    """

    def __init__(self, passes: Callable[[int], bool], *, resolution: float = 0.04, most: int = 12) -> None:
        """Say how to measure.

        Args:
            passes: Measures a load, once.
            resolution: How near the two sides of the border come to each other, as a share.
            most: Measurements, at the most; the border is then as near as it was found.
        """
        self._passes = passes
        self._resolution = resolution
        self._left = most
        self._votes: dict[int, list[bool]] = {}

    def largest(self, first: int) -> int:
        """Return the largest load that passes; 0 where none did.

        Args:
            first: Where to begin; at least 1.
        """
        self._ask(first)
        while self._left:
            low, high = self._border()
            if high is None:
                self._ask(max(round(low * _STEP), low + 1))
            elif low == 0 and high > 1:
                self._ask(max(int(high / _STEP), 1))
            elif high - low > max(1, self._resolution * low):
                self._ask((low + high) // 2)
            elif not self._confirm(low, high):
                break
        return self._border()[0]

    def _ask(self, load: int) -> None:
        self._left -= 1
        self._votes.setdefault(load, []).append(self._passes(load))

    def _confirm(self, low: int, high: int) -> bool:
        """Measure one of the two again that has fewer than three votes or is undecided; False where none is left."""
        for load in (low, high):
            votes = self._votes.get(load, [True, True])  # nothing is below 1
            if len(votes) < 2 or (sum(votes) * 2 == len(votes) and len(votes) < 3):
                self._ask(load)
                return True
        return False

    def _border(self) -> tuple[int, int | None]:
        """Return the largest load that passed below the smallest that did not, and that one."""
        failed = [load for load in self._votes if not self._has_passed(load)]
        high = min(failed, default=None)
        passed = [load for load in self._votes if self._has_passed(load) and (high is None or load < high)]
        return max(passed, default=0), high

    def _has_passed(self, load: int) -> bool:
        votes = self._votes[load]
        return sum(votes) * 2 > len(votes)
