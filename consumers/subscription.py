"""The frames topic as a member of a consumer group: poll, pause, commit, and who this member is in its group."""

import logging
import math
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import kafka.errors
from kafka import TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.coordinator.assignors.range import RangePartitionAssignor

from consumers.errors import SubscriptionError
from consumers.positions import POSITION_ERRORS, Positions
from consumers.rebalance import Holder, RebalanceListener, commit, commit_offsets
from consumers.turns import FETCH_MAX_WAIT_MS, Turns
from messaging.errors import BrokerUnavailableError
from messaging.kafka import Kafka

log = logging.getLogger(__name__)

Assignor = Literal["range", "cooperative-sticky"]
#: A cooperative assignor must be used alone: with an eager one beside it the group would have to agree on that.
_ASSIGNORS: Final = {"range": RangePartitionAssignor, "cooperative-sticky": CooperativeStickyAssignor}
_ADVICE: Final = (
    (
        kafka.errors.InvalidSessionTimeoutError,
        " (--session-timeout has to lie between the broker's group.min.session.timeout.ms and group.max….)",
    ),
    (kafka.errors.InconsistentGroupProtocolError, " (its other members have another --assignor)"),
)
_ANSWER_TIMEOUT_MS: Final = 10_000
#: While several partitions have frames, a poll takes so many of one: smaller turns cost more polls.
_TURN_RECORDS: Final = 32


@dataclass(frozen=True, slots=True)
class SubscriptionOptions:
    """How a group reads.

    Attributes:
        start: Where a group without commits begins: `earliest`, `latest`, or a time in RFC 3339.
        session_timeout_s: A member that the broker does not hear of for so long loses its partitions.
        max_poll_interval_s: Likewise one that does not poll, or that holds a rebalance up.
        revoke_timeout_s: How long a rebalance waits for the frames in flight, their outcomes and their commit.
        assignor: `range`, or `cooperative-sticky`, under which partitions that stay are worked on all the while.
        instance_id: The name of a static member; None for one that is new at each start.
    """

    start: str = "earliest"
    session_timeout_s: float = 10.0
    max_poll_interval_s: float = 300.0
    revoke_timeout_s: float = 5.0
    assignor: Assignor = "range"
    instance_id: str | None = None


@dataclass(frozen=True, slots=True)
class Membership:
    """Who this member is in its group.

    Attributes:
        generation: Of the group; with `member` what the broker fences transactions by.
        losses: How often this member was taken for dead.
        metadata: The same as kafka-python has it.
    """

    generation: int
    member: str
    losses: int
    metadata: Any = field(compare=False)


class FrameSubscription:
    """One member of a group. All calls come from one thread, but `membership`, which any may ask for."""

    def __init__(self, cluster: Kafka, topic: str, group: str, options: SubscriptionOptions) -> None:
        """Remember what to read; `open` connects."""
        self._cluster = cluster
        self.topic = topic
        self.group = group
        self._options = options
        self._consumer: Any = None
        self._positions = Positions(cluster, topic, group, options.start)
        self._losses = 0
        self._membership = Membership(-1, "", 0, None)

    def open(self, holder: Holder) -> None:
        """Connect and join the group.

        Raises:
            BrokerUnavailableError: No broker answers.
            SubscriptionError: `start` cannot be looked up.
        """
        self._holder = holder
        self._positions.commit_starts()
        self._consumer = self._cluster.consumer(
            group=self.group,
            auto_offset_reset="none",  # see consumers/positions.py: a jump is never silent
            session_timeout_ms=round(self._options.session_timeout_s * 1000),
            heartbeat_interval_ms=max(round(self._options.session_timeout_s * 100), 100),
            max_poll_interval_ms=round(self._options.max_poll_interval_s * 1000),
            fetch_max_wait_ms=FETCH_MAX_WAIT_MS,
            group_instance_id=self._options.instance_id,
            partition_assignment_strategy=[_ASSIGNORS[self._options.assignor]],
        )
        self._turns = Turns(self._consumer)
        listener = RebalanceListener(
            self._consumer, self.topic, holder, self._note_membership, self._options.revoke_timeout_s
        )
        self._consumer.subscribe([self.topic], listener=listener)
        # It asks the broker: a member that joins before it knows the topic has the group balanced a second time.
        self._consumer.partitions_for_topic(self.topic)

    def poll(self, timeout_s: float, max_records: int, held: Mapping[int, int] | None = None) -> list[Any]:
        """Return the records (kafka-python's `ConsumerRecord`) that are there, each partition's in order.

        Args:
            timeout_s: How long to wait for one.
            max_records: How many at the most.
            held: Frames that are held of each partition: the one with the least is served first.

        Raises:
            SubscriptionError: The group or the topic cannot be read.
        """
        if self._turns.line_up(held or {}) > 1:
            max_records = min(max_records, _TURN_RECORDS)
        try:
            batches = self._consumer.poll(timeout_ms=math.ceil(timeout_s * 1000), max_records=max_records)
        except POSITION_ERRORS as exc:
            self._positions.mend(self._consumer, self._holder, exc)
            batches = {}
        except kafka.errors.KafkaError as exc:
            advice = next((text for error, text in _ADVICE if isinstance(exc, error)), "")
            raise SubscriptionError(f"group {self.group} cannot read {self.topic}{advice}", exc) from exc
        # A cooperative rebalance that moves nothing of this member's tells the listener nothing.
        if self._consumer.group_metadata().generation_id > self._membership.generation:
            self._note_membership(is_lost=False)
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
        return commit(self._consumer, self.topic, offsets)

    def commit_offsets(self, offsets: dict[int, int]) -> dict[Any, Any]:
        """Return offsets by partition as kafka-python commits them."""
        return commit_offsets(self.topic, offsets)

    def committed(self, partitions: Iterable[int]) -> dict[int, int]:
        """Ask what the group has committed of these partitions; -1 is nothing. Any thread.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        with closing(self._cluster.consumer(group=self.group)) as consumer:
            try:
                offsets = {
                    number: consumer.committed(TopicPartition(self.topic, number), timeout_ms=_ANSWER_TIMEOUT_MS)
                    for number in partitions
                }
            except kafka.errors.KafkaTimeoutError as exc:
                raise BrokerUnavailableError.at(self._cluster.bootstrap_servers) from exc
        return {number: -1 if offset is None else offset for number, offset in offsets.items()}

    @property
    def membership(self) -> Membership:
        """Who this member was when it polled last, or when partitions came or went since. Any thread."""
        return self._membership

    def _note_membership(self, *, is_lost: bool) -> None:
        """Look who this member is now; where it was taken for dead it is not who it was."""
        self._losses += is_lost
        metadata = self._consumer.group_metadata()
        self._membership = Membership(metadata.generation_id, metadata.member_id, self._losses, metadata)

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
