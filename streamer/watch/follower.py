"""Following one topic: from a while ago, over what comes, through whatever happens to the broker."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from messaging.errors import MessagingError, TopicError
from messaging.kafka import Kafka
from messaging.reader import TopicReader

#: A broker that was away, or a topic that may be made by now, is tried again after this; anything else later, since a
#: wrong password does not become right, and may lock the user out.
_SOON_S = 2.0
_LATER_S = 15.0
#: How long the broker may take to say that it is there.
_SIGN_OF_LIFE_S = 3.0
_NOTE_EVERY_S = 1.0
_SECONDS_TO_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Following:
    """How a topic is followed.

    Attributes:
        age_s: Begin with records of that age; None for any age.
        records: Begin that many before the end of each partition at the most; None for any number.
        behind_s: Leave out what lies between, where reading is so much behind; None to read all.
        gather_ms: How long the broker may gather records.
    """

    age_s: float | None = None
    records: int | None = None
    behind_s: float | None = None
    gather_ms: int = 200


def start_offset(first: int, end: int, at_age: int | None, records: int | None, read_up_to: int | None) -> int:
    """Return where to begin in a partition.

    Args:
        first: Of the oldest record that is left.
        end: Where it ends.
        at_age: Where the records begin that are young enough; None for all.
        records: How many before the end at the most; None for all.
        read_up_to: Where reading ended before, if it did; beyond the end it was another topic of the same name.
    """
    start = max(first, first if at_age is None else at_age, first if records is None else end - records)
    return start if read_up_to is None or read_up_to > end else max(start, read_up_to)


class Lateness:
    """Tells whether reading is behind: a partition is not read up to where it ended that long ago."""

    def __init__(self, behind_s: float) -> None:
        """Begin with nothing known."""
        self._behind_s = behind_s
        self._ends: deque[tuple[float, Mapping[int, int]]] = deque()

    def is_late(self, read_up_to: Mapping[int, int], ends: Mapping[int, int], now_s: float) -> bool:
        """Note where partitions end now, and tell whether one of those that were just read is late.

        One that gives no records is not late: it may end in what is never returned, such as a transaction's marker.
        """
        if not self._ends or now_s - self._ends[-1][0] >= _NOTE_EVERY_S:
            self._ends.append((now_s, ends))
        while len(self._ends) > 1 and now_s - self._ends[1][0] >= self._behind_s:
            self._ends.popleft()
        noted_s, noted = self._ends[0]
        return now_s - noted_s >= self._behind_s and any(
            offset < noted.get(partition, 0) for partition, offset in read_up_to.items()
        )

    def clear(self) -> None:
        """Forget what was noted, since reading went on elsewhere."""
        self._ends.clear()


class Follower:
    """Follows one topic, for one thread; where something fails it says so, and tries again.

    Attributes:
        problem: What is wrong, in one line; "" where nothing is.
        is_behind: Whether there is more to read at once, as far as that is known.
        passed_over: Records that were left out because reading was behind.
    """

    def __init__(self, cluster: Kafka, topic: str, following: Following) -> None:
        """Remember what to follow; nothing is connected before `open`."""
        self._cluster = cluster
        self._topic = topic
        self._following = following
        self._reader: TopicReader | None = None
        self._lateness = None if following.behind_s is None else Lateness(following.behind_s)
        self._retry_s = 0.0
        #: Where the partitions ended when they were opened: what was written later was written about when it is read.
        self._ends: dict[int, int] = {}
        self._read_up_to: dict[int, int] = {}
        self.problem = ""
        self.is_behind = False
        self.passed_over = 0

    @property
    def is_open(self) -> bool:
        """Whether the topic is being read."""
        return self._reader is not None

    def open(self, now_s: float) -> bool | None:
        """Open, if that is due.

        Returns:
            Whether a broker answered and let us in, be it that there is no such topic; None where it was not asked.
        """
        if self._reader is not None or 0 < self._retry_s - now_s <= _LATER_S:  # clocks may be set back
            return None
        reader = TopicReader(self._cluster, self._topic, from_beginning=False, gather_ms=self._following.gather_ms)
        try:
            reader.open()
            self._reader, self.problem = reader, ""
            self._go_to_start(reader, now_s)
        except MessagingError as exc:
            self._fail(exc, now_s)
            return isinstance(exc, TopicError)
        return True

    def _go_to_start(self, reader: TopicReader, now_s: float) -> None:
        starts, age_s = reader.start_offsets(), self._following.age_s
        at_age = {} if age_s is None else reader.offsets_at(int((now_s - age_s) * _SECONDS_TO_US))
        self._ends = reader.end_offsets()
        for partition, end in self._ends.items():
            known = self._read_up_to.get(partition)
            start = start_offset(starts[partition], end, at_age.get(partition), self._following.records, known)
            reader.seek(partition, start)
            self._read_up_to[partition] = start
        self.is_behind = self._is_before(self._ends)
        if self._lateness is not None:
            self._lateness.clear()

    def poll(self, timeout_s: float, now_s: float) -> list[tuple[Any, float]]:
        """Return what is there, waiting up to `timeout_s` for it, and when each record was written, s since 1970."""
        records: list[Any] = []
        if self._reader is None:
            return []
        try:
            records = self._reader.poll(timeout_s)
            self._note(self._reader, records, now_s)
        except MessagingError as exc:
            self._fail(exc, now_s)
        return [(record, self._written_s(record, now_s)) for record in records]

    def _note(self, reader: TopicReader, records: list[Any], now_s: float) -> None:
        if not records:
            self.is_behind = False
            return
        read_up_to = {record.partition: record.offset + 1 for record in records}
        self._read_up_to |= read_up_to
        ends = reader.fetched_ends()
        self.is_behind = self._is_before(ends)
        if self._lateness is not None and self._lateness.is_late(read_up_to, ends, now_s):
            before = sum(self._read_up_to.values())
            self._go_to_start(reader, now_s)
            self.passed_over += max(sum(self._read_up_to.values()) - before, 0)

    def _is_before(self, ends: Mapping[int, int]) -> bool:
        # The last offset may be a transaction's marker, which is never returned.
        return any(end - self._read_up_to.get(partition, end) > 1 for partition, end in ends.items())

    def _written_s(self, record: Any, now_s: float) -> float:
        """Return when a record was written: by its own clock where it was there before us, else now."""
        if record.offset >= self._ends.get(record.partition, 0) or record.timestamp is None:
            return now_s
        return min(max(float(record.timestamp) / 1000, 0.0), now_s)

    def ask(self, now_s: float) -> str:
        """Ask the broker for a sign of life; return "", or in one line why there is none."""
        if self._reader is None:
            return self.problem
        try:
            self._reader.end_offsets(_SIGN_OF_LIFE_S)
        except TopicError as exc:
            self._fail(exc, now_s)
        except MessagingError as exc:
            return str(exc)
        return ""

    def _fail(self, error: MessagingError, now_s: float) -> None:
        self.close()
        self.problem = str(error)
        self._retry_s = now_s + (_SOON_S if error.retriable or isinstance(error, TopicError) else _LATER_S)

    def close(self) -> None:
        """Let the connection go; closing twice is harmless, and it may be opened again."""
        self.problem = ""
        self.is_behind = False
        if self._reader is not None:
            self._reader.close()
            self._reader = None
