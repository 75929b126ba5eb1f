"""Putting frames back on the frames topic."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import kafka.errors

from messaging.cloudevents import Message
from messaging.dead_letter import read_dead_letter, write_replay
from messaging.errors import BrokerUnavailableError, MessageError, MessagingError
from messaging.kafka import Kafka, close_producer
from messaging.reader import TopicReader
from messaging.topics import TopicNames, max_message_bytes
from streamer.dead_letters.errors import DeadLetterError
from streamer.dead_letters.lookup import original_of
from streamer.dead_letters.plan import ReplayPlan
from streamer.dead_letters.search import OnProgress, ignore_progress
from streamer.dead_letters.stored import Place, StoredDeadLetter

#: Frames handed to Kafka and not yet acknowledged, at the most.
_MAX_PENDING_BYTES = 16 * 1024 * 1024
_DELIVERY_TIMEOUT_MS = 30_000
#: What Kafka adds to a record.
_ROOM_BYTES = 512


@dataclass(frozen=True, slots=True)
class Failure:
    """A frame that could not be put back, and why, in one line."""

    place: Place
    frame_id: str
    error: str


@dataclass(slots=True)
class ReplayReport:
    """What a replay has done.

    Attributes:
        replayed: Dead letters whose frames are back in the log.
    """

    replayed: list[StoredDeadLetter] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)


def put_back(
    cluster: Kafka, topics: TopicNames, plan: ReplayPlan, *, on_progress: OnProgress = ignore_progress
) -> ReplayReport:
    """Put the frames of a plan back on the frames topic, each for the group whose dead letter it is.

    A frame comes back to the partition that it was read from. What cannot be put back is told in the report.

    Raises:
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers; some of the frames may be back.
    """
    try:
        with TopicReader(cluster, topics.frames, from_beginning=False) as frames:
            producer = cluster.producer(linger_ms=5, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)
            try:
                replayer = _Replayer(plan, topics.frames, frames, producer, max_message_bytes(cluster, topics.frames))
                for done, record in enumerate(_records_of(cluster, topics, plan.letters), 1):
                    on_progress(done, len(plan.letters))
                    replayer.send(record)
                report = replayer.finish()
            finally:
                close_producer(producer, 5.0)
    except (kafka.errors.KafkaTimeoutError, kafka.errors.KafkaConnectionError) as exc:
        raise BrokerUnavailableError.at(cluster.bootstrap_servers) from exc
    except kafka.errors.KafkaError as exc:
        raise MessagingError(f"cannot write to {topics.frames} at {cluster.bootstrap_servers}: {exc}") from exc
    return report


def _records_of(cluster: Kafka, topics: TopicNames, letters: Iterable[StoredDeadLetter]) -> Iterator[Any]:
    """Yield the records of dead letters, with their bytes, in the topic's order; without those that are gone."""
    wanted = {stored.place for stored in letters}
    first: dict[int, int] = {}
    for place in wanted:
        first[place.partition] = min(first.get(place.partition, place.offset), place.offset)
    with TopicReader(cluster, topics.dead_letters, from_beginning=False) as reader:
        for partition, offset in first.items():
            reader.seek(partition, offset)
        for record in reader.read_to_end():
            place = Place(record.partition, record.offset)
            if place in wanted:
                wanted.remove(place)
                yield record
            if not wanted:
                return


class _Replayer:
    """Sends one plan's frames, a bounded number of bytes at a time."""

    def __init__(
        self, plan: ReplayPlan, frames_topic: str, frames: TopicReader, producer: Any, max_message_bytes: int
    ) -> None:
        self._plan = plan
        self._topic = frames_topic
        self._frames = frames
        self._producer = producer
        self._max_message_bytes = max_message_bytes
        self._report = ReplayReport()
        self._open = {stored.place: stored for stored in plan.letters}
        self._pending: list[tuple[StoredDeadLetter, Any]] = []
        self._pending_bytes = 0

    def send(self, record: Any) -> None:
        """Send the frame of one dead letter."""
        stored = self._open.pop(Place(record.partition, record.offset))
        try:
            message = self._message(record, stored)
        except (MessageError, DeadLetterError) as exc:
            self._fail(stored, str(exc))
            return
        size_bytes = _size_bytes(message)
        if self._pending and self._pending_bytes + size_bytes > _MAX_PENDING_BYTES:
            self._settle()
        partition = stored.letter.original_partition
        is_there = partition in self._producer.partitions_for(self._topic)  # unless the topic was made anew
        future = self._producer.send(
            self._topic, message.value, message.key, message.headers, partition=partition if is_there else None
        )
        self._pending.append((stored, future))
        self._pending_bytes += size_bytes

    def finish(self) -> ReplayReport:
        """Wait for the last of them, and return what was done."""
        self._settle()
        for stored in self._open.values():
            self._fail(stored, "it is in the dead-letter topic no more")
        return self._report

    def _message(self, record: Any, stored: StoredDeadLetter) -> Message:
        letter = read_dead_letter(record)
        if letter.original_topic != self._topic:
            raise DeadLetterError(f"it is of topic {letter.original_topic}: name that with --frames-topic")
        original = None if letter.has_bytes else original_of(letter, self._frames, self._topic)
        message = write_replay(record, self._plan.number_of(stored), original)
        size_bytes = _size_bytes(message)
        if size_bytes > self._max_message_bytes:  # a producer does not survive the broker's refusal
            raise DeadLetterError(f"it takes {size_bytes} bytes, and topic {self._topic} {self._max_message_bytes}")
        return message

    def _settle(self) -> None:
        """Wait until the broker has what was sent; raises kafka-python's error where it refused."""
        self._producer.flush(_DELIVERY_TIMEOUT_MS / 1000)
        for stored, future in self._pending:
            if future.exception is not None:
                raise future.exception
            self._report.replayed.append(stored)
        self._pending, self._pending_bytes = [], 0

    def _fail(self, stored: StoredDeadLetter, error: str) -> None:
        self._report.failures.append(Failure(stored.place, stored.letter.frame_id, error))


def _size_bytes(message: Message) -> int:
    headers = sum(len(name.encode()) + len(value) for name, value in message.headers)
    return len(message.key) + len(message.value) + headers + 4 * len(message.headers) + _ROOM_BYTES
