"""A frame: one encoded picture of one camera, and how it travels.

A frame made by somebody else's producer is as good as ours: each header that is missing or cannot be read falls
back by itself to what the record says (see `read_frame`).
"""

from dataclasses import dataclass
from typing import Any

from messaging.cloudevents import FRAME_TYPE, SPEC_VERSION, Message, read_headers
from messaging.stand_in import UnreadHeaders
from messaging.timestamps import format_us, is_writable, now_us, parse_us
from messaging.trace_context import is_traceparent, new_traceparent

_MAX_SEQUENCE_DIGITS = 18
#: What a header may hold to be believed; it travels on in key, headers and value of the outcome, which have to fit
#: into a message as well.
_MAX_NAME_CHARS = 200
MAX_ID_CHARS = 1000
_MAX_CHARS = {"ce_subject": _MAX_NAME_CHARS, "ce_truth": 200, "content-type": 100}
_MAX_KEY_BYTES = 200
#: Kafka's own limit.
MAX_TOPIC_CHARS = 249
#: A camera without a name is called `<topic>-<partition>`.
MAX_CAMERA_CHARS = max(_MAX_NAME_CHARS, MAX_TOPIC_CHARS + len("-2147483647"))
#: More replays than this are not believed.
MAX_REPLAY = 99_999_999


@dataclass(slots=True)
class Frame:
    """One encoded picture of a camera.

    Attributes:
        camera: The camera's name.
        session: New at each start of the camera; None where another producer gave no such id.
        sequence: Counts from 0 within the session; the record's offset where the producer gave none.
        frame_id: `<camera>/<session>/<sequence>`, the CloudEvents id.
        captured_at_us: The capture time, µs since 1970 UTC.
        data: The encoded picture.
        content_type: A hint; the bytes decide.
        traceparent: W3C trace context of this frame; always set.
        tracestate: The vendor part of the trace context.
        has_remote_context: Whether the trace context came with the frame; else it was begun when it was read.
        truth: The label that the source knows to be right.
        replay_for: The group that a replayed dead letter is meant for; others pass over it.
        replay: How many times the frame was put back, 0 for a live one.
        topic: Where it was read, "" for one not yet sent; likewise `partition` and `offset`, -1.
        headers: The record's headers as they came, for a dead letter.
        unread: Why the frame could not be read, in one line, where its record stands in for it; else None.
    """

    camera: str
    session: str | None
    sequence: int
    frame_id: str
    captured_at_us: int
    data: bytes
    content_type: str
    traceparent: str
    tracestate: str | None = None
    has_remote_context: bool = True
    truth: str | None = None
    replay_for: str | None = None
    replay: int = 0
    topic: str = ""
    partition: int = -1
    offset: int = -1
    headers: tuple[tuple[str, bytes | None], ...] = ()
    unread: str | None = None

    @property
    def size_bytes(self) -> int:
        """The memory that the frame takes: its picture, and the headers that it came with."""
        return len(self.data) + sum(len(name) + len(value or b"") for name, value in self.headers)


def frame_id(camera: str, session: str, sequence: int) -> str:
    """Return the id of a camera's frame."""
    return f"{camera}/{session}/{sequence}"


def write_frame(frame: Frame) -> Message:
    """Turn a camera's frame into a record for the frames topic, keyed by camera."""
    camera = frame.camera.encode()
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", frame.frame_id.encode()),
        ("ce_source", b"/cameras/" + camera),
        ("ce_type", FRAME_TYPE.encode()),
        ("ce_subject", camera),
        ("ce_time", format_us(frame.captured_at_us).encode()),
        ("ce_sequence", str(frame.sequence).encode()),
        ("content-type", frame.content_type.encode()),
        ("traceparent", frame.traceparent.encode()),
    ]
    if frame.tracestate:
        headers.append(("tracestate", frame.tracestate.encode()))
    if frame.truth:
        headers.append(("ce_truth", frame.truth.encode()))
    return Message(camera, frame.data, headers, frame.captured_at_us // 1000)


def read_frame(record: Any) -> Frame:
    """Read a record of the frames topic (kafka-python's `ConsumerRecord`); never fails.

    The fall-backs, each for itself, where a header is missing, empty, no UTF-8, too long or wrong: camera = record
    key, else `<topic>-<partition>`; capture time = record timestamp, else now; sequence = offset; id =
    `<camera>/<topic>-<partition>/<offset>`; a frame without trace context begins a trace of its own.
    """
    texts = {
        name: text
        for name, text in read_headers(record.headers).items()
        if len(text) <= _MAX_CHARS.get(name, MAX_ID_CHARS)
    }
    topic: str = record.topic
    partition: int = record.partition
    offset: int = record.offset
    camera = texts.get("ce_subject") or _text_of_key(record.key) or f"{topic}-{partition}"
    traceparent = texts.get("traceparent")
    has_context = traceparent is not None and is_traceparent(traceparent)
    sequence_text = texts.get("ce_sequence", "")
    has_sequence = (
        0 < len(sequence_text) <= _MAX_SEQUENCE_DIGITS and sequence_text.isascii() and sequence_text.isdigit()
    )
    identity = texts.get("ce_id") or f"{camera}/{topic}-{partition}/{offset}"
    return Frame(
        camera=camera,
        session=_session_of(identity, camera, sequence_text) if has_sequence else None,
        sequence=int(sequence_text) if has_sequence else offset,
        frame_id=identity,
        captured_at_us=_capture_time_us(texts.get("ce_time"), record.timestamp),
        data=record.value or b"",
        content_type=texts.get("content-type", ""),
        traceparent=traceparent if has_context and traceparent else new_traceparent(),
        tracestate=texts.get("tracestate") if has_context else None,
        has_remote_context=has_context,
        truth=texts.get("ce_truth") or None,
        replay_for=texts.get("ce_replayfor") or None,
        replay=_replay_of(texts.get("ce_replay", "")),
        topic=topic,
        partition=partition,
        offset=offset,
        headers=tuple(record.headers),
        unread=record.headers.why if isinstance(record.headers, UnreadHeaders) else None,
    )


def _text_of_key(key: bytes | None) -> str:
    """Read a key as text, bytes that are no UTF-8 escaped, so that different keys stay different cameras."""
    text = key.decode(errors="backslashreplace") if key and len(key) <= _MAX_KEY_BYTES else ""
    # Longer than it could come back as, in the headers of a replay.
    return text if len(text) <= _MAX_NAME_CHARS else ""


def _replay_of(text: str) -> int:
    """Return how many times a frame was put back; 0 where that cannot be believed."""
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(MAX_REPLAY))
    return int(text) if is_number else 0


def _session_of(identity: str, camera: str, sequence: str) -> str | None:
    """Return the session in `<camera>/<session>/<sequence>`; None where the id is of another form."""
    prefix, suffix = f"{camera}/", f"/{sequence}"
    if identity.startswith(prefix) and identity.endswith(suffix) and len(identity) > len(prefix) + len(suffix):
        return identity[len(prefix) : -len(suffix)]
    return None


def _capture_time_us(text: str | None, timestamp_ms: int | None) -> int:
    """Return the capture time, else the record's time, else now; µs since 1970."""
    if text:
        try:
            return parse_us(text)
        except ValueError:
            pass
    # Kafka takes any number; one beyond the year 9999 could be written nowhere.
    if timestamp_ms is not None and timestamp_ms >= 0 and is_writable(timestamp_ms * 1000):
        return timestamp_ms * 1000
    return now_us()
