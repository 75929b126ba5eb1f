"""What a worker's partitions hold that it has not read, and the warning before retention deletes it."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from consumers.loss_horizon import LossHorizon, Retention
from messaging.frame import Frame

log = logging.getLogger(__name__)

_NAMED_CAMERAS: Final = 3


@dataclass(frozen=True, slots=True)
class Unread:
    """What is not read of one partition.

    Attributes:
        lag: Frames; None while the log's end is not known.
        loss_horizon_s: How soon the first of them is deleted; None where that is not to be expected, or not known.
    """

    lag: int | None
    loss_horizon_s: float | None


@dataclass(slots=True)
class _Reading:
    """What was read of one partition; `cameras`, `newest_us`, `frames` and `size_bytes` since the last look."""

    horizon: LossHorizon
    cameras: dict[str, None] = field(default_factory=dict)
    newest_us: int = 0
    frames: int = 0
    size_bytes: int = 0
    last_cameras: dict[str, None] = field(default_factory=dict)
    last_newest_us: int = 0
    mean_bytes: float = 0.0

    def turn(self) -> None:
        """Begin a new interval, if this one had frames."""
        if self.frames:
            self.last_cameras, self.cameras = self.cameras, {}
            self.last_newest_us, self.newest_us = self.newest_us or self.last_newest_us, 0
            self.mean_bytes = self.size_bytes / self.frames
            self.frames = self.size_bytes = 0


class UnreadFrames:
    """Watches the partitions of one worker. All calls come from one thread."""

    def __init__(self) -> None:
        """Know of no retention: until `expect` nothing is ever deleted."""
        self._retention = Retention()
        self._readings: dict[int, _Reading] = {}

    def expect(self, retention: Retention) -> None:
        """Note what the topic keeps."""
        self._retention = retention
        self._readings.clear()

    def read(self, frames: Iterable[Frame]) -> list[Frame]:
        """Note frames that were polled; return those that are the first of their partition since it is held."""
        first: list[Frame] = []
        readings = self._readings
        for frame in frames:
            reading = readings.get(frame.partition)
            if reading is None:
                reading = readings[frame.partition] = _Reading(LossHorizon(self._retention))
                first.append(frame)
            # The newest: retention goes by it as well, and a camera whose clock is behind says nothing about the rest.
            if frame.captured_at_us > reading.newest_us and not frame.replay:
                reading.newest_us = frame.captured_at_us
            reading.cameras[frame.camera] = None
            reading.frames += 1
            reading.size_bytes += len(frame.data)
        return first

    def look(
        self, now_s: float, now_us: int, positions: Mapping[int, tuple[int | None, int | None]]
    ) -> dict[int, Unread]:
        """Work out how far behind the partitions are, and warn where frames will be deleted unread.

        Args:
            now_s: The time, monotonic.
            now_us: The time, µs since 1970.
            positions: For each partition held, the next offset to read and the log's end, where they are known.
        """
        for partition in self._readings.keys() - positions.keys():
            del self._readings[partition]
        return {partition: self._look(now_s, now_us, partition, *known) for partition, known in positions.items()}

    def _look(self, now_s: float, now_us: int, partition: int, position: int | None, end: int | None) -> Unread:
        lag = max(end - position, 0) if position is not None and end is not None else None
        reading = self._readings.get(partition)
        if reading is None or lag is None:
            return Unread(lag, None)
        reading.turn()
        age_s = max(now_us - reading.last_newest_us, 0) / 1e6 if lag and reading.last_newest_us else 0.0
        reading.horizon.observe(now_s, age_s, lag * reading.mean_bytes)
        horizon_s = reading.horizon.horizon_s
        if reading.horizon.crosses() and horizon_s is not None:
            log.warning(
                "%s in %.0f s: the group is %.0f s behind in partition %d and falls further; "
                "add workers (--workers) or shed (--policy freshest)",
                _lose(reading.last_cameras),
                horizon_s,
                age_s,
                partition,
            )
        return Unread(lag, round(horizon_s, 1) if horizon_s is not None else None)


def _lose(cameras: Mapping[str, None]) -> str:
    named = list(islice(cameras, _NAMED_CAMERAS))
    if len(cameras) == 1:
        return f"camera {named[0]} loses frames"
    more = f" and {len(cameras) - len(named)} more" if len(cameras) > len(named) else ""
    return f"cameras {', '.join(named)}{more} lose frames"
