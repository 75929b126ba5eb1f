"""Going through the dead-letter topic."""

import heapq
from collections.abc import Callable, Iterable, Iterator

from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.topics import TopicNames
from streamer.dead_letters.stored import Filters, StoredDeadLetter, read_stored

#: Told how many records were read, and how many there are.
OnProgress = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """Show nothing."""
    del done, total


class DeadLetterReader:
    """Reads the dead letters that there are at this moment, each partition's in order; for one thread.

    Attributes:
        seen: Dead letters so far, wanted or not; with `Filters.since_us` those before it are not read.
        unreadable: Records so far that are no dead letters of streamer; they are left out.
    """

    def __init__(self, cluster: Kafka, topics: TopicNames, on_progress: OnProgress = ignore_progress) -> None:
        """Remember what to read; nothing is connected before `read`."""
        self._cluster = cluster
        self._topics = topics
        self._on_progress = on_progress
        self.seen = 0
        self.unreadable = 0

    def read(self, filters: Filters) -> Iterator[StoredDeadLetter]:
        """Yield the dead letters that are wanted.

        Raises:
            BrokerUnavailableError: No broker answers.
            TopicError: There is no such topic, or it cannot be read.
        """
        with TopicReader(self._cluster, self._topics.dead_letters, from_beginning=True) as reader:
            starts = reader.start_offsets() if filters.since_us is None else reader.seek_to_time(filters.since_us)
            total = sum(reader.end_offsets().values()) - sum(starts.values())
            for done, record in enumerate(reader.read_to_end(), 1):
                self._on_progress(done, max(total, done))
                try:
                    stored = read_stored(record)
                except MessageError:
                    self.unreadable += 1
                    continue
                self.seen += 1
                if filters.wants(stored):
                    yield stored


def newest(letters: Iterable[StoredDeadLetter], limit: int) -> tuple[list[StoredDeadLetter], int]:
    """Return the newest dead letters, newest last, and how many there are in all; no more than `limit` are kept."""
    kept: list[tuple[int, int, StoredDeadLetter]] = []
    number = 0
    for number, stored in enumerate(letters, 1):
        heapq.heappush(kept, (stored.written_at_us, number, stored))
        if len(kept) > limit:
            heapq.heappop(kept)
    return [stored for _, _, stored in sorted(kept)], number
