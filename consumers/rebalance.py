"""What a rebalance does to frames in flight.

kafka-python runs these on its I/O thread. A synchronous listener that commits breaks the consumer for good, so this
one is asynchronous; and under an eager assignor partitions that are kept keep their in-memory position, so the frames
that a revoke threw away have to be sought again. A cooperative one takes only what moves, and forgets its position.
"""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Protocol

import kafka.errors
from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.future import Future
from kafka.structs import OffsetAndMetadata

from consumers.in_flight import PendingCommit

log = logging.getLogger(__name__)

_CHECK_INTERVAL_S = 0.01


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
    def commits(self) -> dict[int, PendingCommit]:
        """Return what may be committed, by partition."""

    @abstractmethod
    def is_settled(self) -> bool:
        """Begin no further transaction, until partitions are given up; tell whether none is under way."""

    @abstractmethod
    def lost(self, partition: int, first: int, end: int) -> None:
        """Account for frames that are gone before they were polled: offsets `first` to `end` - 1.

        Called on the thread that polls.
        """

    @abstractmethod
    def gave_up(self, partitions: set[int], *, is_lost: bool) -> dict[int, int]:
        """Forget these partitions; return the first unfinished offset of each that had any frame.

        Args:
            partitions: Which.
            is_lost: Whether another member has them already.
        """


class NoteMembership(Protocol):
    """Takes note of who this member is."""

    def __call__(self, *, is_lost: bool) -> None:
        """Look; with `is_lost` this member was taken for dead."""


class RebalanceListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Finishes and commits what is in flight before partitions go, and seeks what was dropped when they stay."""

    def __init__(
        self, consumer: Any, topic: str, holder: Holder, note_membership: NoteMembership, timeout_s: float
    ) -> None:
        """Remember whom to tell.

        Args:
            consumer: kafka-python's.
            topic: Its one topic.
            holder: Who works on the frames.
            note_membership: Told when the member's generation may have changed.
            timeout_s: One deadline for finishing, publishing and committing what is in flight.
        """
        self._consumer = consumer
        self._topic = topic
        self._holder = holder
        self._note_membership = note_membership
        self._timeout_s = timeout_s
        self._unfinished: dict[int, int] = {}
        self._left: tuple[int, str] = (-1, "")  # the generation and the member at the last eager rebalance

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Seek the partitions that stayed to their first unfinished frame."""
        partitions = {tp.partition for tp in assigned}
        # kafka-python keeps an answer that came too late, and would begin where the group stood then.
        self._consumer._coordinator._offset_fetch_futures.clear()  # noqa: SLF001 - there is no public way
        generation, member = self._identity()
        # Whatever went elsewhere, also while this member was left out of the group, begins where others committed it.
        stayed = partitions & set(self._unfinished) if (generation - 1, member) == self._left else set()
        for number in stayed:
            self._consumer.seek(TopicPartition(self._topic, number), self._unfinished[number])
        self._unfinished.clear()
        self._note_membership(is_lost=False)
        self._holder.assigned(partitions)
        if partitions:
            log.info("assigned partitions %s of %s", sorted(partitions), self._topic)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Finish and commit, within the time-out, then let the partitions go."""
        partitions = {tp.partition for tp in revoked}
        if not partitions:
            return
        deadline_s = time.monotonic() + self._timeout_s
        # A cooperative rebalance has happened by now: the group has a new generation, and these are gone from ours.
        is_eager = partitions <= {tp.partition for tp in self._consumer.assignment()}
        left = self._identity()
        self._note_membership(is_lost=False)
        self._holder.revoking(partitions)
        while not self._holder.is_finished(partitions) and time.monotonic() < deadline_s:
            await self._sleep()
        await self._commit(partitions, deadline_s)
        # Whether a transaction arrives decides where these partitions are read on: nobody may guess.
        while not self._holder.is_settled():
            await self._sleep()
        unfinished = self._holder.gave_up(partitions, is_lost=False)
        if is_eager:
            self._unfinished |= unfinished
            self._left = left
            # With their positions, which kafka-python would keep.
            self._consumer._subscription.assign_from_subscribed([])  # noqa: SLF001 - there is no public way
        log.info("gave up partitions %s of %s", sorted(partitions), self._topic)

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Drop everything: another member has the partitions already, and a commit would be refused."""
        partitions = {tp.partition for tp in lost}
        self._holder.gave_up(partitions, is_lost=True)
        self._note_membership(is_lost=True)
        log.warning("lost partitions %s of %s: this member was taken for dead", sorted(partitions), self._topic)

    async def _commit(self, partitions: set[int], deadline_s: float) -> None:
        commits = {number: commit.offset for number, commit in self._holder.commits().items() if number in partitions}
        if not commits:
            return
        try:
            future = commit(self._consumer, self._topic, commits)
            while not future.is_done and time.monotonic() < deadline_s:
                await self._sleep()
            if future.is_done and not future.failed():
                return
            why = future.exception if future.is_done else f"no answer within {self._timeout_s:g} s"
        except kafka.errors.KafkaError as exc:
            why = exc
        log.warning(
            "partitions %s went before their offsets were committed, and the next owner repeats their last frames: %s",
            sorted(partitions),
            why,
        )

    def _identity(self) -> tuple[int, str]:
        metadata = self._consumer.group_metadata()
        return metadata.generation_id, metadata.member_id

    async def _sleep(self) -> None:
        """Let kafka-python's own loop go on, heartbeats included."""
        await self._consumer._net.sleep(_CHECK_INTERVAL_S)  # noqa: SLF001 - there is no public way


def commit(consumer: Any, topic: str, offsets: dict[int, int]) -> Any:
    """Begin to commit; the future (kafka-python's) tells the end on Kafka's I/O thread."""
    if consumer._coordinator.coordinator_unknown():  # noqa: SLF001 - there is no public way
        # kafka-python's own future would be that of the look-up: done before the commit, which may fail unheard.
        return Future().failure(kafka.errors.CoordinatorNotAvailableError())
    return consumer.commit_async(commit_offsets(topic, offsets))


def commit_offsets(topic: str, offsets: dict[int, int]) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return offsets by partition as kafka-python commits them."""
    return {TopicPartition(topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()}
