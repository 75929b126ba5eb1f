"""Reading a topic without a group: by `assign`, committed records only, any number of readers at a time."""

import time
from collections.abc import Iterator
from typing import Any, Self

import kafka.errors
from kafka import TopicPartition

from messaging.errors import BrokerUnavailableError, TopicError
from messaging.kafka import Kafka


class TopicReader:
    """Reads all partitions of one topic, for one thread.

    Records of one partition come in order; the partitions are interleaved as they arrive.
    """

    def __init__(self, cluster: Kafka, topic: str, *, from_beginning: bool) -> None:
        """Remember what to read; `open` (or `with`) connects.

        Args:
            cluster: Where the topic is.
            topic: Its name.
            from_beginning: From the oldest record that is left; else from what arrives after `open`.
        """
        self._cluster = cluster
        self._topic = topic
        self._from_beginning = from_beginning
        self._consumer: Any = None
        self._partitions: list[TopicPartition] = []

    def open(self) -> None:
        """Connect and go to the start.

        Raises:
            BrokerUnavailableError: No broker answers.
            TopicError: There is no such topic.
        """
        self._consumer = self._cluster.consumer(max_poll_records=500)
        try:
            numbers = self._consumer.partitions_for_topic(self._topic)
            if not numbers:
                raise TopicError(f"there is no topic {self._topic}: run `streamer topics create`, or start a camera")
            self._partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
            self._consumer.assign(self._partitions)
            if self._from_beginning:
                self._consumer.seek_to_beginning(*self._partitions)
            else:
                self._consumer.seek_to_end(*self._partitions)
                for partition in self._partitions:  # now, not at the first poll
                    self._consumer.position(partition, timeout_ms=10_000)
        except kafka.errors.KafkaTimeoutError as exc:
            self.close()
            raise BrokerUnavailableError.at(self._cluster.bootstrap_servers) from exc
        except BaseException:
            self.close()
            raise

    def poll(self, timeout_s: float) -> list[Any]:
        """Return the records (kafka-python's `ConsumerRecord`) that are there, waiting up to `timeout_s` for one."""
        batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [record for records in batches.values() for record in records]

    def read_to_end(self, timeout_s: float = 60.0) -> Iterator[Any]:
        """Yield every record from here to where the topic ends at this moment.

        Raises:
            BrokerUnavailableError: The end was not reached in `timeout_s` without a single new record.
        """
        ends: dict[TopicPartition, int] = self._consumer.end_offsets(self._partitions)
        deadline = time.monotonic() + timeout_s
        while any(self._consumer.position(partition) < ends[partition] for partition in self._partitions):
            records = self.poll(0.5)
            if records:
                deadline = time.monotonic() + timeout_s
            elif time.monotonic() > deadline:
                raise BrokerUnavailableError.at(self._cluster.bootstrap_servers)
            for record in records:
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record

    def start_offsets(self) -> dict[int, int]:
        """Return the offset of the oldest record left in each partition."""
        return {tp.partition: offset for tp, offset in self._consumer.beginning_offsets(self._partitions).items()}

    def end_offsets(self) -> dict[int, int]:
        """Return the offset after the newest committed record of each partition."""
        return {tp.partition: offset for tp, offset in self._consumer.end_offsets(self._partitions).items()}

    def seek(self, partition: int, offset: int) -> None:
        """Continue with `offset` in `partition`."""
        self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def close(self) -> None:
        """Let the connection go; closing twice is harmless."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def __enter__(self) -> Self:
        """Connect for a `with` block."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
