"""Reading a topic without a group: by `assign`, committed records only, any number of readers at a time."""

import time
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, Self

import kafka.errors
from kafka import TopicPartition

from messaging.errors import BrokerUnavailableError, TopicError
from messaging.kafka import Kafka

#: How long the broker may take to say where a partition begins or ends.
_ANSWER_TIMEOUT_S = 10.0
_RECORD_TIMEOUT_S = 30.0
#: A broker that is told to gather records answers as soon as it has this much of them.
_GATHERED_BYTES = 1024 * 1024


class TopicReader:
    """Reads all partitions of one topic, for one thread.

    Records of one partition come in order; the partitions are interleaved as they arrive.
    """

    def __init__(self, cluster: Kafka, topic: str, *, from_beginning: bool, gather_ms: int = 0) -> None:
        """Remember what to read; `open` (or `with`) connects.

        Args:
            cluster: Where the topic is.
            topic: Its name.
            from_beginning: From the oldest record that is left; else from what arrives after `open`.
            gather_ms: How long the broker may gather records, so that few large answers cost less than many small
                ones; 0 asks for each record as soon as it is there.
        """
        self._cluster = cluster
        self._topic = topic
        self._from_beginning = from_beginning
        self._gathering: dict[str, Any] = (
            {"fetch_min_bytes": _GATHERED_BYTES, "fetch_max_wait_ms": gather_ms} if gather_ms else {}
        )
        self._consumer: Any = None
        self._partitions: list[TopicPartition] = []

    def open(self) -> None:
        """Connect and go to the start.

        Raises:
            BrokerUnavailableError: No broker answers.
            TopicError: There is no such topic.
        """
        self._consumer = self._cluster.consumer(max_poll_records=500, **self._gathering)
        try:
            with self._asking():
                self._go_to_start()
        except BaseException:
            self.close()
            raise

    def _go_to_start(self) -> None:
        numbers = self._consumer.partitions_for_topic(self._topic)
        if not numbers:
            hint = ", or allow this user to Describe it" if self._cluster.security.has_identity else ""
            raise TopicError(f"there is no topic {self._topic}: run `streamer topics create`, or start a camera{hint}")
        self._partitions = [TopicPartition(self._topic, number) for number in sorted(numbers)]
        self._consumer.assign(self._partitions)
        if self._from_beginning:
            self._consumer.seek_to_beginning(*self._partitions)
            return
        self._consumer.seek_to_end(*self._partitions)
        for partition in self._partitions:  # now, not at the first poll
            if self._consumer.position(partition, timeout_ms=int(_ANSWER_TIMEOUT_S * 1000)) is None:
                raise BrokerUnavailableError.at(self._cluster.bootstrap_servers)

    def poll(self, timeout_s: float) -> list[Any]:
        """Return the records (kafka-python's `ConsumerRecord`) that are there, waiting up to `timeout_s` for one.

        While no broker answers there are none; it goes on where it was once one does.

        Raises:
            TopicError: The broker refuses.
        """
        with self._asking():
            batches = self._consumer.poll(timeout_ms=int(timeout_s * 1000))
        return [record for records in batches.values() for record in records]

    def read_to_end(self, timeout_s: float = 60.0) -> Iterator[Any]:
        """Yield every record from here to where the topic ends at this moment; what comes later is read later.

        Raises:
            BrokerUnavailableError: The end was not reached in `timeout_s` without a single new record.
            TopicError: The broker refuses.
        """
        yield from self._read_until(self._partitions, self.end_offsets(min(timeout_s, _ANSWER_TIMEOUT_S)), timeout_s)

    def read_between(
        self, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float = 60.0
    ) -> Generator[Any, None, None]:
        """Yield the records of some partitions from one offset up to, and without, another; the others wait meanwhile.

        Args:
            starts: Where to begin, by partition. What is gone by now is passed over.
            ends: Where to stop, for the same partitions; not beyond `end_offsets`.
            timeout_s: As of `read_to_end`, which raises the same.
        """
        wanted = [partition for partition in self._partitions if partition.partition in starts]
        others = [partition for partition in self._partitions if partition.partition not in starts]
        self._consumer.pause(*others)
        try:
            for partition, offset in starts.items():
                self.seek(partition, offset)
            yield from self._read_until(wanted, ends, timeout_s)
        finally:
            if self._consumer is not None:
                self._consumer.resume(*others)

    def record_at(self, partition: int, offset: int) -> Any | None:
        """Return the record (kafka-python's `ConsumerRecord`) at a place; None where there is none, or none any more.

        What `poll` returns next is not said after this. Raises as `read_to_end` does.
        """
        end = self.end_offsets().get(partition, 0)
        if not self.start_offsets().get(partition, end) <= offset < end:
            return None
        with closing(self.read_between({partition: offset}, {partition: offset + 1}, _RECORD_TIMEOUT_S)) as records:
            return next(records, None)

    def _read_until(
        self, partitions: Collection[TopicPartition], ends: Mapping[int, int], timeout_s: float
    ) -> Iterator[Any]:
        deadline_s = time.monotonic() + timeout_s
        while not all(self._has_passed(partition, ends[partition.partition]) for partition in partitions):
            records = self.poll(min(0.5, timeout_s))
            if records:
                deadline_s = time.monotonic() + timeout_s
            elif time.monotonic() > deadline_s:
                raise BrokerUnavailableError.at(self._cluster.bootstrap_servers)
            for record in records:
                if record.offset < ends[record.partition]:
                    yield record
        for partition in partitions:  # where one was read further while another had to catch up
            if self._has_passed(partition, ends[partition.partition] + 1):
                self.seek(partition.partition, ends[partition.partition])

    def _has_passed(self, partition: TopicPartition, end: int) -> bool:
        """Tell whether a partition is read up to `end`; the position counts, since markers are never returned."""
        with self._asking():
            position = self._consumer.position(partition, timeout_ms=500)
        return position is not None and position >= end

    def start_offsets(self) -> dict[int, int]:
        """Return the offset of the oldest record left in each partition; raises as `read_to_end` does."""
        with self._asking():
            offsets = self._consumer.beginning_offsets(self._partitions, timeout_ms=int(_ANSWER_TIMEOUT_S * 1000))
        return {tp.partition: offset for tp, offset in offsets.items()}

    def end_offsets(self, timeout_s: float = _ANSWER_TIMEOUT_S) -> dict[int, int]:
        """Return the offset after the newest committed record of each partition; raises as `read_to_end` does."""
        with self._asking():
            offsets = self._consumer.end_offsets(self._partitions, timeout_ms=int(timeout_s * 1000))
        return {tp.partition: offset for tp, offset in offsets.items()}

    def fetched_ends(self) -> dict[int, int]:
        """Return where each partition ended when it was last fetched, as far as that is known; nobody is asked."""
        ends = ((tp.partition, self._consumer.highwater(tp)) for tp in self._partitions)
        return {partition: end for partition, end in ends if end is not None}

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Give kafka-python's errors our names."""
        try:
            yield
        except (kafka.errors.KafkaTimeoutError, kafka.errors.KafkaConnectionError) as exc:
            raise BrokerUnavailableError.at(self._cluster.bootstrap_servers) from exc
        except kafka.errors.KafkaError as exc:
            raise TopicError(f"cannot read topic {self._topic} at {self._cluster.bootstrap_servers}: {exc}") from exc

    def seek(self, partition: int, offset: int) -> None:
        """Continue with `offset` in `partition`."""
        self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def seek_to_time(self, time_us: int) -> dict[int, int]:
        """Continue, in each partition, with the first record of that time (µs since 1970) or later.

        Returns:
            The offsets; the partition's end where all of it is older. Raises as `read_to_end` does.
        """
        offsets = self.offsets_at(time_us)
        for partition, offset in offsets.items():
            self.seek(partition, offset)
        return offsets

    def offsets_at(self, time_us: int) -> dict[int, int]:
        """Return, for each partition, the offset of its first record of that time (µs since 1970) or later.

        Where all of it is older that is the partition's end. Raises as `read_to_end` does.
        """
        timeout_ms = int(_ANSWER_TIMEOUT_S * 1000)
        with self._asking():
            times = dict.fromkeys(self._partitions, max(time_us // 1000, 0))
            found = self._consumer.offsets_for_times(times, timeout_ms=timeout_ms)
        ends = self.end_offsets()
        return {tp.partition: found[tp].offset if found.get(tp) else ends[tp.partition] for tp in self._partitions}

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
