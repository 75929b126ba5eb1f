"""Fetching single records by their place in a topic."""

import time
from typing import Any, Self

from messaging.dead_letter import DeadLetter
from messaging.errors import BrokerUnavailableError
from messaging.frame import read_frame
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from streamer.dead_letters.errors import FrameGoneError

_POLL_S = 0.5
_TIMEOUT_S = 30.0


class RecordLookup:
    """Gets records of one topic by partition and offset; used in a `with` block, by one thread."""

    def __init__(self, cluster: Kafka, topic: str) -> None:
        """Remember where; the block connects."""
        self._cluster = cluster
        self._topic = topic
        # At the end, so that nothing comes but what is sought.
        self._reader = TopicReader(cluster, topic, from_beginning=False)

    def __enter__(self) -> Self:
        """Connect; raises as `TopicReader.open`."""
        self._reader.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._reader.close()

    def at(self, partition: int, offset: int) -> Any | None:
        """Return the record (kafka-python's `ConsumerRecord`) at a place; None where there is none, or none any more.

        Raises:
            BrokerUnavailableError: No broker answers.
            TopicError: The broker refuses.
        """
        end = self._reader.end_offsets().get(partition, 0)
        if not self._reader.start_offsets().get(partition, end) <= offset < end:
            return None
        self._reader.seek(partition, offset)
        try:
            return self._next(partition, offset)
        finally:
            self._reader.seek(partition, end)

    def _next(self, partition: int, offset: int) -> Any | None:
        deadline_s = time.monotonic() + _TIMEOUT_S
        while time.monotonic() < deadline_s:
            for record in self._reader.poll(_POLL_S):
                if record.partition == partition and record.offset >= offset:
                    return record if record.offset == offset else None
        raise BrokerUnavailableError.at(self._cluster.bootstrap_servers)


def original_of(letter: DeadLetter, frames: RecordLookup, frames_topic: str) -> Any:
    """Return the record of the frame that a dead letter is about.

    Args:
        letter: The dead letter.
        frames: Looks in the frames topic.
        frames_topic: What that is called; no other is looked into, whatever the dead letter says.

    Raises:
        FrameGoneError: It is not there, or not any more, or cannot be read.
        BrokerUnavailableError: No broker answers.
    """
    where = f"{letter.original_topic}-{letter.original_partition} offset {letter.original_offset}"
    record = None
    if letter.original_topic == frames_topic:
        record = frames.at(letter.original_partition, letter.original_offset)
    frame = None if record is None else read_frame(record)
    if frame is not None and frame.unread is not None:
        raise FrameGoneError(f"its bytes cannot be had at {where}: {frame.unread}")
    if frame is None or frame.frame_id != letter.frame_id:
        raise FrameGoneError(f"its bytes are gone: the dead letter has none, and the frame is no more at {where}")
    return record
