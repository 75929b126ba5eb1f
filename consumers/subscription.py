"""The frames topic as a member of a consumer group: poll, pause, commit, and what a rebalance does to all that.

kafka-python runs rebalance listeners on its I/O thread. A synchronous listener that commits breaks the consumer for
good, so this one is asynchronous; and partitions that are kept keep their in-memory position, so the frames that a
revoke threw away have to be sought again.
"""

import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import kafka.errors
from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.structs import OffsetAndMetadata

from consumers.errors import SubscriptionError
from messaging.kafka import Kafka
from messaging.timestamps import parse_us

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.01
_START_TIMEOUT_MS = 10_000


class Holder(ABC):
    """What a subscription asks of whoever works on its frames. Called on Kafka's I/O thread; must not block."""

    @abstractmethod
    def assigned(self, partitions: set[int]) -> None:
        """Take note of partitions that are ours from now on."""

    @abstractmethod
    def revoking(self, partitions: set[int]) -> None:
        """Begin nothing new for these partitions."""

    @abstractmethod
    def is_finished(self, partitions: set[int]) -> bool:
        """Tell whether everything begun for these partitions is acknowledged."""

    @abstractmethod
    def commits(self) -> dict[int, tuple[int, int]]:
        """Return the offsets that may be committed, and how many frames each covers."""

    @abstractmethod
    def gave_up(self, partitions: set[int]) -> dict[int, int]:
        """Forget these partitions; return the first unfinished offset of each that had any frame."""


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """How a group reads.

    Attributes:
        start: Where a group without commits begins: `earliest`, `latest`, or a time in RFC 3339.
        revoke_timeout_s: How long a rebalance waits for the frames in flight.
    """

    start: str = "earliest"
    session_timeout_s: float = 10.0
    revoke_timeout_s: float = 5.0


class FrameSubscription:
    """One member of a group. All calls come from one thread."""

    def __init__(self, cluster: Kafka, topic: str, group: str, options: SubscriptionOptions) -> None:
        """Remember what to read; `open` connects."""
        self._cluster = cluster
        self.topic = topic
        self.group = group
        self._options = options
        self._consumer: Any = None

    def open(self, holder: Holder) -> None:
        """Connect and join the group.

        Raises:
            BrokerUnavailableError: No broker answers.
            SubscriptionError: `start` cannot be looked up.
        """
        is_time = self._options.start not in ("earliest", "latest")
        if is_time:
            self._commit_start(parse_us(self._options.start) // 1000)
        self._consumer = self._cluster.consumer(
            group=self.group,
            auto_offset_reset="earliest" if is_time else self._options.start,
            session_timeout_ms=round(self._options.session_timeout_s * 1000),
            heartbeat_interval_ms=max(round(self._options.session_timeout_s * 100), 100),
        )
        listener = _Listener(self._consumer, self.topic, holder, self._options.revoke_timeout_s)
        self._consumer.subscribe([self.topic], listener=listener)

    def poll(self, timeout_s: float, max_records: int) -> list[Any]:
        """Return the records (kafka-python's `ConsumerRecord`) that are there, each partition's in order.

        Raises:
            SubscriptionError: The group or the topic cannot be read.
        """
        try:
            batches = self._consumer.poll(timeout_ms=math.ceil(timeout_s * 1000), max_records=max_records)
        except kafka.errors.KafkaError as exc:
            raise SubscriptionError(f"group {self.group} cannot read {self.topic}: {exc}") from exc
        return [record for records in batches.values() for record in records]

    def stay(self) -> None:
        """Take part in the group's life without taking frames: for back pressure."""
        partitions = self._consumer.assignment()
        self._consumer.pause(*partitions)
        try:
            for record in self.poll(0.0, 1):  # assigned in this very poll, and so not yet paused
                self._consumer.seek(TopicPartition(record.topic, record.partition), record.offset)
        finally:
            self._consumer.resume(*(set(self._consumer.assignment()) & set(partitions)))

    def commit(self, offsets: dict[int, int]) -> Any:
        """Begin to commit; the future (kafka-python's) tells the end on Kafka's I/O thread."""
        return self._consumer.commit_async(_commit_offsets(self.topic, offsets))

    def positions(self) -> dict[int, tuple[int | None, int | None]]:
        """Return for each partition held the next offset and the log's end, as far as known without asking."""
        known: dict[int, tuple[int | None, int | None]] = {}
        for partition in self._consumer.assignment():
            try:
                position = self._consumer.position(partition, timeout_ms=0)
                known[partition.partition] = (position, self._consumer.highwater(partition))
            except (kafka.errors.KafkaError, AssertionError):
                known[partition.partition] = (None, None)
        return known

    def close(self) -> None:
        """Leave the group; closing twice is harmless."""
        if self._consumer is not None:
            try:
                self._consumer.close(timeout_ms=5000)
            except kafka.errors.KafkaError as exc:
                log.warning("leaving group %s: %s", self.group, exc)
            self._consumer = None

    def _commit_start(self, timestamp_ms: int) -> None:
        """Commit the offsets of a time for those partitions that the group has no commit of."""
        with closing(self._cluster.consumer(group=self.group)) as consumer:
            try:
                numbers = consumer.partitions_for_topic(self.topic)
                partitions = [TopicPartition(self.topic, number) for number in sorted(numbers)]
                consumer.assign(partitions)
                new = [tp for tp in partitions if consumer.committed(tp, timeout_ms=_START_TIMEOUT_MS) is None]
                found = consumer.offsets_for_times(dict.fromkeys(new, timestamp_ms), timeout_ms=_START_TIMEOUT_MS)
                ends = consumer.end_offsets(new, timeout_ms=_START_TIMEOUT_MS)
                starts = {tp.partition: found[tp].offset if found.get(tp) else ends[tp] for tp in new}
                if starts:
                    consumer.commit(_commit_offsets(self.topic, starts), timeout_ms=_START_TIMEOUT_MS)
            except (kafka.errors.UnknownMemberIdError, kafka.errors.CommitFailedError):
                log.warning("group %s has members already: it goes on where it is, not at --from", self.group)
            except kafka.errors.KafkaError as exc:
                raise SubscriptionError(
                    f"group {self.group} cannot begin {self.topic} at {self._options.start}: {exc}"
                ) from exc


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Finishes and commits what is in flight before partitions go, and seeks what was dropped when they stay."""

    def __init__(self, consumer: Any, topic: str, holder: Holder, timeout_s: float) -> None:
        self._consumer = consumer
        self._topic = topic
        self._holder = holder
        self._timeout_s = timeout_s
        self._unfinished: dict[int, int] = {}

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Seek the partitions that were here before to their first unfinished frame."""
        partitions = {tp.partition for tp in assigned}
        for number in partitions & set(self._unfinished):
            self._consumer.seek(TopicPartition(self._topic, number), self._unfinished[number])
        # Whatever went elsewhere comes back with the offsets that its next owner committed.
        self._unfinished.clear()
        self._holder.assigned(partitions)
        if partitions:
            log.info("assigned partitions %s of %s", sorted(partitions), self._topic)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish and commit, within the time-out, then let the partitions go."""
        partitions = {tp.partition for tp in revoked}
        if not partitions:
            return
        self._holder.revoking(partitions)
        deadline_s = time.monotonic() + self._timeout_s
        while not self._holder.is_finished(partitions) and time.monotonic() < deadline_s:
            # Kafka's own loop sleeps, so heartbeats go on.
            await self._consumer._net.sleep(_CHECK_INTERVAL_S)  # noqa: SLF001 - there is no public way
        commits = {number: offset for number, (offset, _) in self._holder.commits().items() if number in partitions}
        if commits:
            try:
                await self._consumer.commit_async(_commit_offsets(self._topic, commits))
            except kafka.errors.KafkaError as exc:
                log.warning("partitions %s went before their offsets were committed: %s", sorted(partitions), exc)
        self._unfinished |= self._holder.gave_up(partitions)
        log.info("gave up partitions %s of %s", sorted(partitions), self._topic)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Drop everything: another member has the partitions already, and a commit would be refused."""
        partitions = {tp.partition for tp in lost}
        self._holder.revoking(partitions)
        self._unfinished |= self._holder.gave_up(partitions)
        log.warning("lost partitions %s of %s: this member was taken for dead", sorted(partitions), self._topic)


def _commit_offsets(topic: str, offsets: dict[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()}
