"""What happens to a frame at the moment it is polled: into a batch, or an outcome at once."""

from dataclasses import dataclass

from consumers.batch import Outgoing
from consumers.freshness import Freshness
from engine.errors import ImageError
from engine.images.header import ImageHeader, ImageLimits, read_header
from messaging.frame import Frame
from messaging.outcome import SKIPPED_TOO_OLD


@dataclass(frozen=True, slots=True)
class Admission:
    """Decides by the frame's headers and its first bytes, before anything is decoded.

    Attributes:
        group: Whose consumer this is; frames replayed for another group are passed over.
        limits: What may be decoded.
        freshness: Which frames are too old.
    """

    group: str
    limits: ImageLimits
    freshness: Freshness

    def passes_over(self, frame: Frame) -> bool:
        """Tell whether a frame is none of this group's business."""
        return frame.replay_for is not None and frame.replay_for != self.group

    def check(self, frame: Frame, now_us: int) -> ImageHeader | Outgoing:
        """Return the picture's header, or the outcome of a frame that goes no further."""
        if frame.unread is not None:
            return Outgoing("dead-lettered", frame, "too-large", frame.unread)
        if self.freshness.is_too_old(frame, now_us):
            return Outgoing("skipped", frame, SKIPPED_TOO_OLD)
        try:
            return read_header(frame.data, self.limits)
        except ImageError as exc:
            return Outgoing("dead-lettered", frame, exc.reason, str(exc))
