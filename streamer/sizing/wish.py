"""What is asked of a site."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """The cameras, and what is expected of their results.

    Attributes:
        cameras: How many.
        fps: Frames/s of each.
        budget_s: 99 % of the results are no older than this, from capture to the hand-over to Kafka.
        frame_bytes: Of an encoded frame.
        retention_s: How long Kafka keeps frames.
        headroom: Share of a card's and of a worker's rate that stays free.
        drop_rate: Share of the frames that may be skipped while more come than was planned for.
    """

    cameras: int
    fps: float
    budget_s: float
    frame_bytes: int
    retention_s: float = 600.0
    headroom: float = 0.2
    drop_rate: float = 0.0

    @property
    def total_fps(self) -> float:
        """Frames/s of all cameras."""
        return self.cameras * self.fps
