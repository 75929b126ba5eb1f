"""The frames that are counted together, and what a group said about them."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from streamer.audit.facts import SessionFact
from streamer.audit.ranges import RangeSet

#: (camera, session) for a camera's newest session, whose frames are told apart by their sequence;
#: (camera, partition) for all others, whose frames are told apart by their offset.
StreamKey = tuple[str, str | int]
#: A piece of a partition's log: (partition, how many of the marks lie at or below it).
Piece = tuple[int, int]
#: (status, reason).
Kind = tuple[str, str]

_MAX_REASONS = 64


def union(sets: Iterable[RangeSet]) -> RangeSet:
    """Return the numbers that are in any of the sets."""
    return RangeSet([each for numbers in sets for each in numbers.ranges()])


class Kinds:
    """Numbers, each of one kind."""

    def __init__(self) -> None:
        """Begin with none."""
        self.all = RangeSet()
        self.by_kind: dict[Kind, RangeSet] = {}

    def put(self, number: int, kind: Kind) -> bool:
        """Give a number its kind; False where it had one, which is replaced."""
        if kind not in self.by_kind and len(self.by_kind) >= _MAX_REASONS:
            kind = (kind[0], "other")  # reasons come from outside, and are not to fill the memory
        is_new = self.all.add(number)
        if not is_new:
            for numbers in self.by_kind.values():
                numbers.discard(number)
        self.by_kind.setdefault(kind, RangeSet()).add(number)
        return is_new


@dataclass(slots=True)
class Stream:
    """Frames of one camera that are told apart by one number.

    Attributes:
        name: Stands before the number in a frame's name.
        session: Of a camera's newest session; None for all other frames.
        logged: The numbers in the log, by piece of the log.
        skipped: What the camera itself said that it gave up.
    """

    camera: str
    name: str
    session: SessionFact | None = None
    logged: dict[Piece, RangeSet] = field(default_factory=dict)
    skipped: Kinds = field(default_factory=Kinds)

    def ids(self, numbers: Iterable[int]) -> list[str]:
        """Return the frames' ids."""
        return [f"{self.name}{number}" for number in numbers]


@dataclass(frozen=True, slots=True)
class Replay:
    """A dead letter that was put back for one group.

    Attributes:
        number: The frame's in its stream; of a frame that is told apart by its offset, the replay's own offset.
    """

    frame_id: str
    number: int
    partition: int
    offset: int


@dataclass(slots=True)
class Repeats:
    """Outcomes beyond the first, counted; a few are named."""

    count: int = 0
    ids: dict[str, None] = field(default_factory=dict)

    def note(self, frame_id: str, max_named: int) -> None:
        """Count one."""
        self.count += 1
        if len(self.ids) < max_named:
            self.ids[frame_id] = None


@dataclass(slots=True)
class Answers:
    """What one group said about one stream.

    Attributes:
        elsewhere: Outcomes of frames that had one, read at another place of the log, with the frame's id: those of
            replays are no duplicates.
        replays: Dead letters of this stream that were put back for this group.
        dead: Of frames told apart by offset, the offset of a dead letter by the frame's id.
    """

    kinds: Kinds = field(default_factory=Kinds)
    repeats: Repeats = field(default_factory=Repeats)
    elsewhere: dict[tuple[int, int], str] = field(default_factory=dict)
    replays: list[Replay] = field(default_factory=list)
    dead: dict[str, int] = field(default_factory=dict)
