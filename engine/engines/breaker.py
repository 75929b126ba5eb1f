"""When a worker that fails is asked again. Pure: `now_s` is an argument, of one monotonic clock."""

from typing import Final

#: So many failures in a row open it; one, where nobody answered at all.
_FAILURES: Final = 3
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0


class Breaker:
    """Opens when a worker fails again and again; then it is looked after now and then, and not given work.

    Each look that fails doubles the wait for the next one.
    """

    def __init__(self) -> None:
        """Begin closed: the worker is given work."""
        self._failures = 0
        self._wait_s = _FIRST_WAIT_S
        self._look_at_s: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether the worker is given no work."""
        return self._look_at_s is not None

    def failed(self, now_s: float, *, has_answered: bool) -> None:
        """Note that a batch failed by the worker's fault; those that were under way as it opened change nothing."""
        self._failures += 1
        if not self.is_open and (self._failures >= _FAILURES or not has_answered):
            self._look_at_s = now_s + self._wait_s

    def look_failed(self, now_s: float) -> None:
        """Note that it was looked at, and is not fit for work."""
        if self.is_open:
            self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
        self._look_at_s = now_s + self._wait_s

    def succeeded(self) -> None:
        """Note that it has answered a batch, or a look."""
        self._failures = 0
        self._wait_s = _FIRST_WAIT_S
        self._look_at_s = None

    def look_in_s(self, now_s: float) -> float | None:
        """Return how soon it is to be looked at; None where it is closed."""
        return None if self._look_at_s is None else max(self._look_at_s - now_s, 0.0)
