"""How often a page may ask for pictures, so that the dashboard stays a small guest on its machine. Pure."""

from typing import Final

_FASTEST_MS: Final = 500
_SLOWEST_MS: Final = 4000
_FIRST_MS: Final = 1000
#: Shares of a core: above the first pages ask more seldom, below the second more often.
_BUSY: Final = 0.20
_QUIET: Final = 0.10
#: Over a shorter time a share says nothing.
_WINDOW_S: Final = 2.0


class Pace:
    """Follows the CPU time that the process takes, and says how long a page is to wait."""

    def __init__(self) -> None:
        """Begin in the middle."""
        self.interval_ms = _FIRST_MS
        self._since: tuple[float, float] | None = None

    def measured(self, now_s: float, cpu_s: float) -> None:
        """Take note of the process's CPU time.

        Args:
            now_s: A clock that only goes forward.
            cpu_s: The CPU time of the process up to now.
        """
        if self._since is None:
            self._since = now_s, cpu_s
            return
        began_s, before_s = self._since
        if now_s - began_s < _WINDOW_S:
            return
        share = (cpu_s - before_s) / (now_s - began_s)
        self._since = now_s, cpu_s
        if share > _BUSY:
            self.interval_ms = min(self.interval_ms * 3 // 2, _SLOWEST_MS)
        elif share < _QUIET:
            self.interval_ms = max(self.interval_ms * 4 // 5, _FASTEST_MS)
