"""When a worker that fails is asked again. Pure: `now_s` is an argument, of one monotonic clock."""

from typing import Final

#: So many failures in a row open it; one, where nobody answered at all.
_FAILURES: Final = 3
_FIRST_WAIT_S: Final = 1.0
_LONGEST_WAIT_S: Final = 30.0


class Breaker:
    """Opens when a worker fails again and again; then it is looked after now and then, and not given work.

    Each look that fails doubles the wait for the next one. A look that finds it ready half-opens it: it is given work,
    and the first failure opens it again, for twice as long.
    """

    def __init__(self) -> None:
        """Begin closed: the worker is given work."""
        self._failures = 0
        self._wait_s = _FIRST_WAIT_S
        self._look_at_s: float | None = None
        self._is_half_open = False

    @property
    def is_open(self) -> bool:
        """Whether the worker is given no work."""
        return self._look_at_s is not None

    def failed(self, now_s: float, *, has_answered: bool) -> None:
        """Note that a batch failed by the worker's fault; those that were under way as it opened change nothing."""
        self._failures += 1
        if not self.is_open and (self._failures >= _FAILURES or not has_answered):
            if self._is_half_open:
                self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
            self._look_at_s, self._is_half_open = now_s + self._wait_s, False

    def look_failed(self, now_s: float) -> None:
        """Note that it was looked at, and is not fit for work."""
        if self.is_open:
            self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
        self._look_at_s = now_s + self._wait_s

    def look_succeeded(self) -> None:
        """Note that it was looked at, and is ready."""
        if self.is_open:
            self._failures, self._look_at_s, self._is_half_open = _FAILURES - 1, None, True

    def succeeded(self) -> None:
        """Note that it has answered a batch."""
        self._failures = 0
        self._wait_s = _FIRST_WAIT_S
        self._look_at_s, self._is_half_open = None, False

    def look_in_s(self, now_s: float) -> float | None:
        """Return how soon it is to be looked at; None where it is closed."""
        return None if self._look_at_s is None else max(self._look_at_s - now_s, 0.0)
