"""What an audit says."""

from typing import Self

import msgspec

#: So many ids are named; the rest are counted.
MAX_NAMED = 20


class Tally(msgspec.Struct, kw_only=True):
    """Where frames ended. The first line is the sum of the others, `duplicates` alone stands outside of it.

    Attributes:
        published: Frames that the group answers for: captured by a camera of ours, or in the log.
        skipped_reasons: `skipped` by reason; likewise `dead_letter_reasons`.
        in_flight: In the log at or beyond the group's committed offset.
        unsent: Captured, and not in the log, by a camera that has not said that it ended.
        not_checkable: Removed by retention before this audit.
        missing: Without the outcome that they should have.
        duplicates: Outcomes beyond the first one of a frame; at-least-once allows them.
        missing_ids: The first of them; likewise `duplicate_ids`.
        unsent_ranges: The first of them, `<camera>/<session>/<first>-<last>`.
    """

    published: int = 0
    classified: int = 0
    timed: int = 0
    skipped: int = 0
    dead_lettered: int = 0
    in_flight: int = 0
    unsent: int = 0
    not_checkable: int = 0
    missing: int = 0
    duplicates: int = 0
    skipped_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    dead_letter_reasons: dict[str, int] = msgspec.field(default_factory=dict)
    missing_ids: list[str] = msgspec.field(default_factory=list)
    duplicate_ids: list[str] = msgspec.field(default_factory=list)
    unsent_ranges: list[str] = msgspec.field(default_factory=list)

    def count(self, status: str, reason: str, frames: int) -> None:
        """Add frames that have an outcome."""
        if frames == 0:
            return
        if status == "classified":
            self.classified += frames
        elif status == "timed":
            self.timed += frames
        elif status == "skipped":
            self.skipped += frames
            self.skipped_reasons[reason] = self.skipped_reasons.get(reason, 0) + frames
        else:
            self.dead_lettered += frames
            self.dead_letter_reasons[reason] = self.dead_letter_reasons.get(reason, 0) + frames

    def add(self, other: "Tally") -> Self:
        """Add another one to this one, and return this one."""
        for name in Tally.__struct_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            if isinstance(mine, int):
                setattr(self, name, mine + more)
            elif isinstance(mine, list):
                mine.extend(more[: MAX_NAMED - len(mine)])
            else:
                for reason, frames in more.items():
                    mine[reason] = mine.get(reason, 0) + frames
        return self


class CameraReport(Tally, kw_only=True):
    """One camera's frames, as one group answers for them."""

    camera: str


class GroupReport(Tally, kw_only=True):
    """One group's frames.

    Attributes:
        accuracy: Share of its classifications that carry a truth and agree with it; None without any.
    """

    group: str
    accuracy: float | None = None
    cameras: list[CameraReport] = msgspec.field(default_factory=list)


class AuditReport(msgspec.Struct, kw_only=True):
    """The whole audit.

    Attributes:
        unreadable: Records that are no result, dead letter or status of streamer; they were left out.
    """

    groups: list[GroupReport]
    unreadable: int = 0

    @property
    def is_conserved(self) -> bool:
        """Whether no group misses an outcome."""
        return not any(group.missing for group in self.groups)
