"""A dead letter as it stands in its topic, without its bytes, and which of them are wanted."""

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Self

from messaging.dead_letter import DeadLetter, read_dead_letter
from messaging.errors import MessageError
from messaging.frame import MAX_ID_CHARS
from messaging.timestamps import is_writable
from streamer.terminal import harmless

_PLACE = re.compile(r"(\d{1,9}):(\d{1,18})", re.ASCII)
_LIKE_A_PLACE = re.compile(r"[-+]?\d*:[-+]?\d*", re.ASCII)


class Place(NamedTuple):
    """Where a dead letter stands in its topic; as text `<partition>:<offset>`, which is its id."""

    partition: int
    offset: int

    def __str__(self) -> str:
        """Write it as people give it."""
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Read what `str` wrote; None where it is none."""
        match = _PLACE.fullmatch(text)
        return None if match is None else cls(int(match[1]), int(match[2]))


def is_identity(text: str) -> bool:
    """Tell whether a text may name a dead letter: a place, or a frame's id, and not half a place such as `0:`."""
    return bool(text) and (_LIKE_A_PLACE.fullmatch(text) is None or Place.read(text) is not None)


@dataclass(frozen=True, slots=True)
class StoredDeadLetter:
    """What is worth keeping of a dead letter while many are read.

    Attributes:
        letter: What it says; without its bytes.
        size_bytes: The frame's; 0 where they stayed behind.
        written_at_us: When the group gave the frame up, µs since 1970.
    """

    place: Place
    letter: DeadLetter
    size_bytes: int
    written_at_us: int

    @property
    def outcome(self) -> tuple[str, str]:
        """Whose outcome of which frame it is: (group, frame id)."""
        return self.letter.group, self.letter.frame_id

    @property
    def identities(self) -> tuple[str, ...]:
        """What people may name it by: its place, and its frame's id as it is and as it is shown."""
        return str(self.place), *names_of(self.letter.frame_id)

    def is_newer_than(self, other: "StoredDeadLetter") -> bool:
        """Tell whether it came later: by the log where that says it, else by the clock."""
        if self.place.partition == other.place.partition:
            return self.place.offset > other.place.offset
        return self.written_at_us > other.written_at_us


def read_stored(record: Any) -> StoredDeadLetter:
    """Read a record of the dead-letter topic (kafka-python's `ConsumerRecord`).

    Raises:
        MessageError: It does not say whose frame it is.
    """
    letter = read_dead_letter(record)
    if not letter.is_whole:
        raise MessageError("not a dead letter of streamer")
    return StoredDeadLetter(
        Place(record.partition, record.offset),
        replace(letter, data=b""),
        len(letter.data),
        record_time_us(record.timestamp),
    )


def record_time_us(timestamp_ms: int | None) -> int:
    """Return a record's time, µs since 1970; Kafka takes any number, and 0 stands for one that is no time."""
    time_us = (timestamp_ms or 0) * 1000
    return time_us if time_us >= 0 and is_writable(time_us) else 0


@dataclass(frozen=True, slots=True)
class Filters:
    """Which dead letters are wanted; what is None, or empty, does not matter.

    A name may be given as it is, or as it is shown: with its control characters escaped.

    Attributes:
        since_us: Written at that time or later, µs since 1970.
        ids: Of these frames, or at these places.
    """

    camera: str | None = None
    reason: str | None = None
    group: str | None = None
    since_us: int | None = None
    ids: Collection[str] = ()

    def wants(self, stored: StoredDeadLetter) -> bool:
        """Tell whether this one is wanted."""
        letter = stored.letter
        return (
            (self.camera is None or self.camera in names_of(letter.camera))
            and self.reason in (None, letter.reason)
            and (self.group is None or self.group in names_of(letter.group))
            and (self.since_us is None or stored.written_at_us >= self.since_us)
            and (not self.ids or any(identity in self.ids for identity in stored.identities))
        )


def names_of(name: str) -> tuple[str, ...]:
    """Return a name as it is and, where that differs, as it is shown."""
    return (name,) if name.isprintable() else (name, harmless(name, MAX_ID_CHARS))
