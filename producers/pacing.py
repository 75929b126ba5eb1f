"""When the next frame is due, and how long to wait after a failure. Pure; `now_s` and chance are arguments."""

from dataclasses import dataclass

#: Retries of a failed source: half a second, then twice as long each time up to half a minute, less up to half of it
#: by chance, so that cameras that failed together do not come back together.
#: Source: "Exponential Backoff And Jitter", AWS Architecture Blog (the "equal jitter" form).
_FIRST_DELAY_S = 0.5
_MAX_DELAY_S = 30.0


class Pacer:
    """Keeps a frame rate by the monotonic clock, without drift and without bursts.

    A frame that comes late does not move the ones after it; after a gap longer than a frame's time the beat starts
    anew, so that nothing is made up for.
    """

    def __init__(self, fps: float) -> None:
        """Set the rate in frames/s."""
        if fps <= 0:
            raise ValueError(f"{fps} frames/s is no rate")
        self._interval_s = 1 / fps
        self._due_s: float | None = None

    def wait_s(self, now_s: float) -> float:
        """Return how long to wait for the next frame; 0 where it is due."""
        return 0.0 if self._due_s is None else max(self._due_s - now_s, 0.0)

    def took(self, now_s: float) -> None:
        """Note that a frame is taken."""
        due_s = now_s if self._due_s is None else self._due_s
        is_behind = now_s - due_s > self._interval_s
        self._due_s = (now_s if is_behind else due_s) + self._interval_s


@dataclass(slots=True)
class Backoff:
    """How long to wait before the next try; grows with every failure in a row."""

    failures: int = 0

    def failed(self, chance: float) -> float:
        """Note a failure, and return the seconds to wait.

        Args:
            chance: A random number, 0 to 1.
        """
        ceiling_s = min(_FIRST_DELAY_S * float(2**self.failures), _MAX_DELAY_S)
        self.failures = min(self.failures + 1, 16)
        return ceiling_s * (0.5 + chance / 2)

    def succeeded(self) -> None:
        """Note that it works again."""
        self.failures = 0
