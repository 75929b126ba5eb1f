"""A frame's way: all that is known of one frame."""

from collections.abc import Iterable
from dataclasses import dataclass

from messaging.trace_context import trace_id
from streamer.evidence.reading import FrameReading
from streamer.evidence.stored_outcome import StoredOutcome


@dataclass(frozen=True, slots=True)
class FrameWay:
    """What the topics know of one frame.

    Attributes:
        frame_id: Its `ce_id`.
        groups: Each group's outcomes, the last one last: it counts. A camera's own stand under "".
        readings: The records of the frame that the outcomes name, and those that were found; the newest last.
        left_out: Older outcomes beyond those that are kept.
    """

    frame_id: str
    groups: dict[str, tuple[StoredOutcome, ...]]
    readings: tuple[FrameReading, ...]
    left_out: int = 0

    @property
    def last(self) -> dict[str, StoredOutcome]:
        """The outcome that counts, by group."""
        return {group: outcomes[-1] for group, outcomes in self.groups.items()}

    @property
    def camera(self) -> str:
        """The frame's camera."""
        cameras = (outcome.camera for outcome in self.last.values())
        return next(cameras, None) or next((reading.camera for reading in self.readings), "")

    @property
    def captured_at_us(self) -> int | None:
        """When the picture was taken, µs since 1970; None where nobody says it."""
        times = [outcome.captured_at_us for outcome in self.last.values()]
        times += [reading.captured_at_us for reading in self.readings if not reading.missing]
        return next((time_us for time_us in times if time_us is not None), None)

    @property
    def trace_id(self) -> str:
        """The frame's trace id, 32 hexadecimal digits; "" where nobody says it."""
        parents = [reading.traceparent for reading in self.readings]
        parents += [outcome.traceparent for outcome in self.last.values()]
        return next((trace_id(parent) for parent in parents if parent), "")

    def shown(self, group: str | None = None) -> StoredOutcome | None:
        """Return the outcome to show with the picture: the group's, else the newest, of classified ones if there are.

        Args:
            group: One of `groups`.
        """
        if group is not None:
            return self.last[group]
        return max(self.last.values(), key=lambda each: (each.status == "classified", each.written_at_us), default=None)


def by_group(outcomes: Iterable[StoredOutcome]) -> dict[str, tuple[StoredOutcome, ...]]:
    """Sort outcomes of one frame by group, each group's in the order in which they count."""
    groups: dict[str, list[StoredOutcome]] = {}
    for outcome in outcomes:
        groups.setdefault(outcome.group, []).append(outcome)
    return {group: tuple(_in_order(groups[group])) for group in sorted(groups)}


def _in_order(outcomes: list[StoredOutcome]) -> list[StoredOutcome]:
    """Sort a group's outcomes by where the frame was read, since clocks differ; by the clock where that does not say.

    Of one reading a result comes after a dead letter, as `streamer audit` has it.
    """
    if len({outcome.source[:2] for outcome in outcomes if outcome.source is not None}) != 1:
        return sorted(outcomes, key=lambda outcome: (outcome.written_at_us, outcome.place.offset))
    return sorted(
        outcomes,
        key=lambda outcome: (
            outcome.source.offset if outcome.source is not None else -1,
            outcome.status != "dead-lettered",
            outcome.place.offset,
        ),
    )
