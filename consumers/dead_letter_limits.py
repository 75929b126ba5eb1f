"""When there are too many dead letters to go on. Pure: no clock, no Kafka."""

from collections import Counter, deque
from typing import Final

#: The share is that of this many last frames.
WINDOW_FRAMES: Final = 1000
#: Before so many frames were seen, their share says nothing.
MIN_FRAMES: Final = 200

_ADVICE: Final = "look at them with `streamer dlq list`, then restart, or raise"


class DeadLetterLimits:
    """Notes what becomes of each frame, and says when a limit is passed.

    A wrong model, or a camera that sends something else than pictures, would otherwise turn every frame into a dead
    letter. A frame that was skipped, or passed over as another group's, is not to be noted: nobody looked at it, so it
    neither ends a run nor thins the share out.

    For one thread. A frame costs the same however many came before, and the memory is that of `WINDOW_FRAMES`.
    """

    def __init__(self, share: float = 0.5, run: int = 100) -> None:
        """Set the limits.

        Args:
            share: Above it, of the last `WINDOW_FRAMES` frames, once `MIN_FRAMES` were seen: 0–1; 0 never stops.
            run: So many dead letters in a row; 0 never stops.
        """
        self._share = share
        self._run = run
        self._in_a_row = 0
        self._window: deque[str | None] = deque()
        self._reasons: Counter[str] = Counter()
        self._dead = 0

    def note(self, reason: str | None) -> str | None:
        """Note one frame.

        Args:
            reason: Why it is a dead letter; None where it was classified or timed.

        Returns:
            Which limit this very frame has passed, and what to do, in one line; None while it may go on.
        """
        self._window.append(reason)
        if reason is None:
            self._in_a_row = 0
        else:
            self._in_a_row += 1
            self._dead += 1
            self._reasons[reason] += 1
        if len(self._window) > WINDOW_FRAMES:
            self._forget(self._window.popleft())
        return self._passed()

    def _forget(self, reason: str | None) -> None:
        if reason is not None:
            self._dead -= 1
            self._reasons[reason] -= 1
            if not self._reasons[reason]:
                del self._reasons[reason]

    def _passed(self) -> str | None:
        seen = len(self._window)
        if self._run and self._in_a_row >= self._run:
            return f"{self._in_a_row} frames in a row were dead letters{self._mostly()}: {_ADVICE} --dead-letter-run"
        if self._share and seen >= MIN_FRAMES and self._dead > self._share * seen:
            what = f"{self._dead} of the last {seen} frames were dead letters{self._mostly()}"
            return f"{what}: {_ADVICE} --dead-letter-share"
        return None

    def _mostly(self) -> str:
        ((reason, _),) = self._reasons.most_common(1)
        return f", most of them {reason}"
