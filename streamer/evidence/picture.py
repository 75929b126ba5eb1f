"""Fetching the picture behind an outcome."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any

from messaging.cloudevents import read_headers
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.topics import TopicNames
from streamer.evidence.errors import PictureGoneError
from streamer.evidence.reading import frame_record
from streamer.evidence.stored_outcome import RecordPlace, StoredOutcome
from streamer.evidence.way import FrameWay
from streamer.terminal import harmless


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded picture as its camera sent it, and the record that it was taken from: of the frame, or a dead letter.

    Attributes:
        data: Never empty; it may be anything, and no picture at all.
    """

    data: bytes
    place: RecordPlace


def fetch_picture(cluster: Kafka, topics: TopicNames, way: FrameWay, shown: StoredOutcome | None = None) -> Picture:
    """Fetch a frame's picture: from where the outcome says that it was read, else from wherever it still stands.

    Args:
        cluster: Where the topics are.
        topics: What they are called.
        way: What is known of the frame.
        shown: The outcome that the picture is shown with.

    Raises:
        PictureGoneError: It is nowhere any more, it was never sent, or the frame is empty.
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    name, why = f"frame {harmless(way.frame_id)}", ""
    with ExitStack() as stack:
        open_reader = cache(lambda topic: stack.enter_context(TopicReader(cluster, topic, from_beginning=False)))
        for place in dict.fromkeys(_places(way, shown)):
            if place.topic == topics.dead_letters:
                record = _dead_letter(open_reader(place.topic), place, way.frame_id)
            else:
                record = frame_record(open_reader(topics.frames), topics.frames, place, way.frame_id)
            if isinstance(record, str):
                why = why or f"{record} ({place})"
            elif record.value:
                return Picture(record.value, place)
            else:
                why = f"it is empty ({place})"
    if not why:
        raise PictureGoneError(f"{name} has no picture: its camera gave it up and never sent it")
    raise PictureGoneError(f"the picture of {name} cannot be had: {harmless(why, 500)}")


def _places(way: FrameWay, shown: StoredOutcome | None) -> Iterator[RecordPlace]:
    """Yield where the picture may stand, the outcome's own places first."""
    outcomes = [outcome for group in way.groups.values() for outcome in reversed(group)]
    for outcome in [shown, *outcomes] if shown is not None else outcomes:
        if outcome.source is not None:
            yield outcome.source
        if outcome.has_bytes:
            yield outcome.place
    for reading in way.readings:
        yield reading.place


def _dead_letter(reader: TopicReader, place: RecordPlace, frame_id: str) -> Any | str:
    record = reader.record_at(place.partition, place.offset)
    if record is None or read_headers(record.headers).get("ce_id") != frame_id:
        return "retention has removed it"
    return record
