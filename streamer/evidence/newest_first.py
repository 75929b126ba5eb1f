"""Going back through a topic, for whoever seeks what is probably new."""

from collections.abc import Collection, Iterator
from typing import Any

from messaging.reader import TopicReader

#: Pieces double up to that many records of a partition: a look at the newest is quick, and all of it not slow.
_MAX_PIECE = 65_536


class NewestFirst:
    """Reads partitions of a topic a piece at a time, the newest piece first; for one thread.

    The records of a piece come in order, so that it is read as fast as the topic itself. What arrives after the start
    is not read.
    """

    def __init__(
        self, reader: TopicReader, partitions: Collection[int], first_piece: int, since_us: int | None = None
    ) -> None:
        """Fix where it begins and ends.

        Args:
            reader: Open; nobody else reads with it between two pieces.
            partitions: Which of the topic's.
            first_piece: Records of each partition in the first piece.
            since_us: Not further back than the first record of that time, µs since 1970.

        Raises:
            BrokerUnavailableError: No broker answers.
            TopicError: The broker refuses.
        """
        starts, ends = reader.start_offsets() if since_us is None else reader.offsets_at(since_us), reader.end_offsets()
        self._reader = reader
        self._piece = first_piece
        self._starts = {partition: starts[partition] for partition in partitions}
        self._ends = {partition: ends[partition] for partition in partitions}

    @property
    def left(self) -> int:
        """How many records are not read yet."""
        return sum(max(end - self._starts[partition], 0) for partition, end in self._ends.items())

    def piece(self) -> Iterator[Any]:
        """Yield the records (kafka-python's `ConsumerRecord`) of the next older piece; raises as `__init__`."""
        ends = {partition: end for partition, end in self._ends.items() if end > self._starts[partition]}
        starts = {partition: max(end - self._piece, self._starts[partition]) for partition, end in ends.items()}
        self._ends |= starts
        self._piece = min(self._piece * 2, _MAX_PIECE)
        if starts:
            yield from self._reader.read_between(starts, ends)

    def stop(self) -> None:
        """Leave the rest unread."""
        self._starts = dict(self._ends)

    def not_before(self, time_us: int) -> None:
        """Go no further back than the first record of that time, µs since 1970; raises as `__init__`."""
        if not self.left:
            return
        offsets = self._reader.offsets_at(time_us)
        self._starts = {partition: max(start, offsets[partition]) for partition, start in self._starts.items()}
