"""The frame itself, where it stands in the frames topic."""

from dataclasses import dataclass
from typing import Any

from engine.errors import ImageError
from engine.images.header import ImageHeader, ImageLimits, read_header
from messaging.frame import read_frame
from messaging.reader import TopicReader
from streamer.dead_letters.stored import record_time_us
from streamer.evidence.stored_outcome import RecordPlace

_LOG_APPEND_TIME = 1


@dataclass(frozen=True, slots=True)
class FrameReading:
    """A record of a frame: one that was sent, or one that was put back for a group.

    Attributes:
        missing: Why it cannot be read at its place; "" where it can, and then the rest is known.
        size_bytes: Of the encoded picture.
        header: What the picture's first bytes say; None where they are no picture's that is decoded.
        captured_at_us: µs since 1970.
        appended_at_us: When the broker appended it, µs since 1970; None where the topic keeps the sender's time.
        replay: How many times it was put back with this one; 0 for the frame as it was sent.
        replay_for: The group that it was put back for; "" for the frame as it was sent.
        traceparent: W3C trace context that came with the frame; "" where none did.
    """

    place: RecordPlace
    missing: str = ""
    camera: str = ""
    sequence: int = -1
    size_bytes: int = 0
    header: ImageHeader | None = None
    captured_at_us: int = 0
    appended_at_us: int | None = None
    replay: int = 0
    replay_for: str = ""
    traceparent: str = ""


def read_reading(record: Any) -> FrameReading:
    """Read a record of the frames topic (kafka-python's `ConsumerRecord`); never fails."""
    frame = read_frame(record)
    is_appended = record.timestamp_type == _LOG_APPEND_TIME
    return FrameReading(
        place=RecordPlace(frame.topic, frame.partition, frame.offset),
        missing=frame.unread or "",
        camera=frame.camera,
        sequence=frame.sequence,
        size_bytes=len(frame.data),
        header=_header(frame.data),
        captured_at_us=frame.captured_at_us,
        appended_at_us=record_time_us(record.timestamp) if is_appended else None,
        replay=frame.replay,
        replay_for=frame.replay_for or "",
        traceparent=frame.traceparent if frame.has_remote_context else "",
    )


def frame_record(frames: TopicReader, frames_topic: str, place: RecordPlace, frame_id: str) -> Any | str:
    """Return the record (kafka-python's `ConsumerRecord`) of a frame at a place, or a line that says why there is none.

    Args:
        frames: Looks in the frames topic.
        frames_topic: What that is called; no other is looked into, whatever an outcome says.
        place: Where the frame was read.
        frame_id: Whose record it has to be.

    Raises:
        BrokerUnavailableError: No broker answers.
        TopicError: The broker refuses.
    """
    if place.topic != frames_topic:
        return f"it is of topic {place.topic}: name that with --frames-topic"
    record = frames.record_at(place.partition, place.offset)
    if record is None:
        return "retention has removed it"
    frame = read_frame(record)
    if frame.unread is not None:
        return frame.unread
    return record if frame.frame_id == frame_id else "another frame stands there by now"


def _header(data: bytes) -> ImageHeader | None:
    try:
        return read_header(data, ImageLimits())
    except ImageError:
        return None
