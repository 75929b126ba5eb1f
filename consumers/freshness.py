"""Which frames are worth the device's time. Pure decisions; `now_us` is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from consumers.batch import PolledFrame
from messaging.frame import Frame

Policy = Literal["every-frame", "freshest"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """The policy about frames that may not matter any more.

    Attributes:
        policy: `every-frame` keeps all; `freshest`, with a backlog, keeps each camera's newest.
        max_age_us: Frames older than this, from capture, are skipped; None keeps them.
    """

    policy: Policy = "every-frame"
    max_age_us: int | None = None

    def is_too_old(self, frame: Frame, now_us: int) -> bool:
        """Tell whether a frame is over the age limit; a replayed one never is."""
        return self.max_age_us is not None and not frame.replay and now_us - frame.captured_at_us > self.max_age_us

    def thins(self, waiting: int, places: int) -> bool:
        """Tell whether frames are given up for newer ones: there is a backlog, and the policy is for it."""
        return self.policy == "freshest" and waiting > places

    def superseded(self, waiting: Sequence[PolledFrame], places: int) -> list[PolledFrame]:
        """Return the waiting frames that newer ones of their camera make pointless.

        Args:
            waiting: What waits for a batch, oldest first.
            places: How many frames the device could take at this moment; more than that is a backlog.
        """
        if not self.thins(len(waiting), places):
            return []
        newest = {polled.frame.camera: polled for polled in waiting if not polled.frame.replay}
        return [polled for polled in waiting if not polled.frame.replay and polled is not newest[polled.frame.camera]]
