"""How often something may happen. Pure: `now_s` is an argument."""


class Allowance:
    """So many a second, on average, and so many at once."""

    def __init__(self, per_second: float, at_once: int) -> None:
        """Begin with all that may come at once."""
        self._per_second = per_second
        self._at_once = at_once
        self._left = float(at_once)
        self._at_s: float | None = None

    def takes(self, now_s: float) -> bool:
        """Tell whether one more may come, and count it."""
        passed_s = 0.0 if self._at_s is None else max(now_s - self._at_s, 0.0)
        self._at_s = now_s
        self._left = min(self._left + passed_s * self._per_second, self._at_once)
        if self._left < 1:
            return False
        self._left -= 1
        return True
