"""What a group answers for: from where it was first assigned, up to where it has committed."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping

from streamer.audit.facts import GroupFact
from streamer.audit.ranges import RangeSet
from streamer.audit.streams import Piece


class Marks:
    """The offsets, of all groups, that cut each partition's log into pieces.

    Frames are kept by piece, so that no frame's offset has to be remembered.
    """

    def __init__(self, duties: Iterable[GroupFact]) -> None:
        """Take the ends of what each group answers for."""
        marks: dict[int, set[int]] = {}
        for duty in duties:
            for offsets in (duty.first_offsets, duty.committed):
                for partition, offset in offsets.items():
                    marks.setdefault(partition, set()).add(offset)
        self._marks = {partition: sorted(offsets) for partition, offsets in marks.items()}

    def piece(self, partition: int, offset: int) -> Piece:
        """Return the piece of the log that a record stands in."""
        return partition, bisect_right(self._marks.get(partition, ()), offset)


class Duty:
    """One group's part of the log, by the pieces of `Marks` that were made with it."""

    def __init__(self, fact: GroupFact, marks: Marks, sources: Mapping[int, RangeSet]) -> None:
        """Take the group's offsets, and the offsets that it has outcomes for."""
        self._committed = fact.committed
        self._sources = sources
        self._begun = {p: marks.piece(p, offset)[1] for p, offset in fact.first_offsets.items()}
        self._done = {p: marks.piece(p, offset)[1] for p, offset in fact.committed.items()}

    def has_begun(self, piece: Piece) -> bool:
        """Tell whether the group was there already; it was where nobody knows when it came."""
        partition, number = piece
        return number >= self._begun.get(partition, 0)

    def is_in_flight(self, piece: Piece) -> bool:
        """Tell whether the group has yet to commit; without any commit everything is in flight."""
        partition, number = piece
        done = self._done.get(partition)
        return done is None or number >= done

    def is_committed(self, partition: int, offset: int) -> bool:
        """Tell whether the group is through with a record."""
        return offset < self._committed.get(partition, 0)

    def has_source(self, partition: int, offset: int) -> bool:
        """Tell whether the group has an outcome for a record."""
        return partition in self._sources and offset in self._sources[partition]
