"""Where a group reads on: at its commits; without one at --from; and behind what retention has removed, never silently.

kafka-python is told to choose no position of its own (`auto_offset_reset="none"`), so a poll raises where there is
none to go on at.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any, Final

import kafka.errors
from kafka import TopicPartition

from consumers.errors import SubscriptionError
from consumers.rebalance import Holder, commit_offsets
from messaging.errors import BrokerUnavailableError
from messaging.kafka import Kafka
from messaging.timestamps import parse_us

log = logging.getLogger(__name__)

_START_TIMEOUT_MS: Final = 10_000
#: While it is asked where to go on, nothing is polled.
_MEND_TIMEOUT_MS: Final = 2_000
_SETTLE_S: Final = 0.01

#: What a poll raises where a partition has no position, or one that the log does not have.
POSITION_ERRORS: Final = (
    kafka.errors.NoOffsetForPartitionError,
    kafka.errors.OffsetOutOfRangeError,
    kafka.errors.LogTruncationError,
)


class Positions:
    """Gives a group's partitions their positions. All calls come from the thread that polls."""

    def __init__(self, cluster: Kafka, topic: str, group: str, start: str) -> None:
        """Remember where to begin: `earliest`, `latest`, or a time in RFC 3339."""
        self._cluster = cluster
        self._topic = topic
        self._group = group
        self._start = start

    def commit_starts(self) -> None:
        """Commit where to begin for the partitions that the group has no commit of, before it is joined.

        From then on the group answers for what follows, whoever of its members reads it, and however late.

        Raises:
            BrokerUnavailableError: No broker answers.
            SubscriptionError: The positions cannot be looked up or committed.
        """
        with closing(self._cluster.consumer(group=self._group)) as consumer:
            try:
                partitions = [TopicPartition(self._topic, n) for n in consumer.partitions_for_topic(self._topic)]
                consumer.assign(partitions)
                # One request for all: what another worker commits meanwhile is seen as a whole, or not at all.
                committed = consumer._coordinator.fetch_committed_offsets(partitions, _START_TIMEOUT_MS)  # noqa: SLF001
                new = [tp for tp in partitions if tp not in committed]
                starts = self._look_up(consumer, new, _START_TIMEOUT_MS, has_begun=bool(committed))
                if starts:
                    consumer.commit(_by_number(self._topic, starts), timeout_ms=_START_TIMEOUT_MS)
            except (kafka.errors.UnknownMemberIdError, kafka.errors.CommitFailedError):
                log.debug("group %s has members by now: they have committed where it begins", self._group)
            except kafka.errors.KafkaTimeoutError as exc:
                raise BrokerUnavailableError.at(self._cluster.bootstrap_servers) from exc
            except kafka.errors.KafkaError as exc:
                raise SubscriptionError(
                    f"group {self._group} cannot begin {self._topic} at {self._start}", exc
                ) from exc

    def mend(self, consumer: Any, holder: Holder, error: kafka.errors.KafkaError) -> None:
        """Give the partitions that a poll raised one of `POSITION_ERRORS` about a position to go on at.

        Where the broker does not say in time, nothing changes and the next poll raises the same.

        Raises:
            SubscriptionError: The broker refuses to say.
        """
        try:
            if isinstance(error, kafka.errors.NoOffsetForPartitionError):
                self._begin(consumer, error.args[0])
            elif isinstance(error, kafka.errors.OffsetOutOfRangeError):
                for partition, position in error.args[0].items():
                    self._leave(consumer, holder, partition, position)
            else:
                for partition, divergent in error.divergent_offsets.items():
                    self._go_back(consumer, holder, partition, divergent.offset if divergent is not None else None)
        except kafka.errors.KafkaError as exc:
            if not isinstance(exc, kafka.errors.KafkaTimeoutError | kafka.errors.RetriableError):
                raise SubscriptionError(f"group {self._group} cannot read {self._topic} on", exc) from exc
            log.debug("where to read %s on is asked again: %s", self._topic, exc)

    def _begin(self, consumer: Any, partitions: Iterable[TopicPartition]) -> None:
        """Begin partitions without a commit, which came after the group had begun."""
        for partition, offset in self._look_up(consumer, list(partitions), _MEND_TIMEOUT_MS, has_begun=True).items():
            consumer.seek(partition, offset)
            log.info("group %s begins %s at offset %d", self._group, _name(partition), offset)

    def _leave(self, consumer: Any, holder: Holder, partition: TopicPartition, position: int) -> None:
        """Go on from a position that the log does not have."""
        first = consumer.beginning_offsets([partition], timeout_ms=_MEND_TIMEOUT_MS)[partition]
        if position < first:
            log.warning(
                "%s: %d frames are lost, offsets %d to %d: they were deleted before group %s had read them, by "
                "retention or by hand; it goes on at %d. Keep frames for longer, add workers (--workers), or shed "
                "(--policy freshest)",
                _name(partition),
                first - position,
                position,
                first - 1,
                self._group,
                first,
            )
            consumer.seek(partition, first)
            holder.lost(partition.partition, position, first)
            return
        end = consumer.end_offsets([partition], timeout_ms=_MEND_TIMEOUT_MS)[partition]
        if position > end:
            self._go_back(consumer, holder, partition, None)

    def _go_back(self, consumer: Any, holder: Holder, partition: TopicPartition, offset: int | None) -> None:
        """Go back in a log that ends before the position: to where it parted, or to its beginning."""
        target = offset
        if target is None:
            target = consumer.beginning_offsets([partition], timeout_ms=_MEND_TIMEOUT_MS)[partition]
        log.warning(
            "%s ends before the position of group %s: the topic was deleted and made anew, or its log was cut in an "
            "unclean election; the group reads on from offset %d, and may repeat frames",
            _name(partition),
            self._group,
            target,
        )
        # What is in flight has offsets that now belong to other frames, or to none; so has a commit under way.
        while not holder.is_settled():
            time.sleep(_SETTLE_S)
        holder.revoking({partition.partition})
        holder.gave_up({partition.partition}, is_lost=True)
        holder.assigned({partition.partition})
        consumer.seek(partition, target)

    def _look_up(
        self, consumer: Any, partitions: list[TopicPartition], timeout_ms: int, *, has_begun: bool
    ) -> dict[TopicPartition, int]:
        """Return where to begin. What came after a group had begun at `latest` is read from its first frame."""
        start = self._start
        if not partitions:
            return {}
        if start == "earliest" or (start == "latest" and has_begun):
            return dict(consumer.beginning_offsets(partitions, timeout_ms=timeout_ms))
        ends = dict(consumer.end_offsets(partitions, timeout_ms=timeout_ms))
        if start == "latest":
            return ends
        times = dict.fromkeys(partitions, parse_us(start) // 1000)
        found = consumer.offsets_for_times(times, timeout_ms=timeout_ms)
        return {tp: found[tp].offset if found.get(tp) else ends[tp] for tp in partitions}


def _by_number(topic: str, offsets: Mapping[TopicPartition, int]) -> dict[Any, Any]:
    return commit_offsets(topic, {tp.partition: offset for tp, offset in offsets.items()})


def _name(partition: TopicPartition) -> str:
    return f"partition {partition.partition} of {partition.topic}"
