"""Whether this process stood still, as one does that is stopped, or whose machine is. Pure; `now_s` is an argument."""

import math


class Wakefulness:
    """Remembers the last long pause between signs of life. Not thread-safe."""

    def __init__(self, session_s: float, now_s: float) -> None:
        """Begin awake.

        Args:
            session_s: A group takes a member for dead that is silent for so long.
            now_s: The time, monotonic.
        """
        # The session may have begun to count with a heartbeat before the pause; a loop that runs pauses for far less.
        self._long_pause_s = session_s / 2
        self._lately_s = 2 * session_s
        self._seen_s = now_s
        self._pause_s = 0.0
        self._woke_at_s = -math.inf

    def awake(self, now_s: float) -> None:
        """Note a sign of life."""
        pause_s = now_s - self._seen_s
        if pause_s >= self._long_pause_s:
            self._pause_s, self._woke_at_s = pause_s, now_s
        self._seen_s = now_s

    def pause_s(self, now_s: float) -> float:
        """Return how long this process stood still lately, as one may do that has not shown any life since; else 0."""
        if now_s - self._seen_s >= self._long_pause_s:
            self.awake(now_s)
        return self._pause_s if now_s - self._woke_at_s < self._lately_s else 0.0
