"""Dead letters: frames that cannot be classified, with their bytes, their headers and the reason."""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from messaging.cloudevents import DEAD_LETTER_TYPE, SPEC_VERSION, Message, read_headers, replace_headers
from messaging.frame import Frame
from messaging.timestamps import format_us

Reason = Literal[
    "empty",
    "too-large",
    "not-an-image",
    "truncated",
    "too-many-pixels",
    "too-many-scans",
    "unsupported",
    "inference-failed",
]
REASONS: tuple[str, ...] = get_args(Reason)

_MAX_ERROR_CHARS = 500
#: A frame of `MAX_FRAME_BYTES` leaves 64 KiB of a message; our own headers take less than 8.
_MAX_HEADER_BYTES = 56 * 1024
_MAX_NUMBER_DIGITS = 18


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it was read.

    Attributes:
        frame_id: The frame's id; with `group` the identity of this outcome.
        group: The consumer group that could not classify it.
        reason: One of `REASONS`.
        error: One line about what was wrong.
        original_topic: Where the frame stands, with `original_partition` and `original_offset`.
    """

    camera: str
    frame_id: str
    group: str
    reason: str
    error: str
    original_topic: str
    original_partition: int
    original_offset: int
    data: bytes


def write_dead_letter(
    frame: Frame, group: str, reason: str, error: str, *, max_value_bytes: int, traceparent: str | None = None
) -> Message:
    """Turn a frame into a record for the dead-letter topic, keyed by camera.

    Bytes over `max_value_bytes` stay behind, and so do headers that would not fit beside them: `original-*` points
    at both.
    """
    camera = frame.camera.encode()
    changes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": frame.frame_id.encode(),
        "ce_type": DEAD_LETTER_TYPE.encode(),
        "ce_subject": camera,
        "ce_time": format_us(frame.captured_at_us).encode(),
        "traceparent": (traceparent or frame.traceparent).encode(),
        "group": group.encode(),
        "reason": reason.encode(),
        "error": _one_line(error).encode(errors="backslashreplace"),
        "original-topic": frame.topic.encode(),
        "original-partition": str(frame.partition).encode(),
        "original-offset": str(frame.offset).encode(),
    }
    theirs = frame.headers if frame.size_bytes - len(frame.data) <= _MAX_HEADER_BYTES else ()
    if not read_headers(theirs).get("ce_source"):
        changes["ce_source"] = b"/cameras/" + camera
    value = frame.data if len(frame.data) <= max_value_bytes else b""
    return Message(camera, value, replace_headers(theirs, changes))


def read_dead_letter(record: Any) -> DeadLetter:
    """Read a record of the dead-letter topic (kafka-python's `ConsumerRecord`); what is missing is empty or -1."""
    texts = read_headers(record.headers)
    return DeadLetter(
        camera=texts.get("ce_subject", ""),
        frame_id=texts.get("ce_id", ""),
        group=texts.get("group", ""),
        reason=texts.get("reason", ""),
        error=texts.get("error", ""),
        original_topic=texts.get("original-topic", ""),
        original_partition=_number(texts.get("original-partition")),
        original_offset=_number(texts.get("original-offset")),
        data=record.value or b"",
    )


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_ERROR_CHARS]


def _number(text: str | None) -> int:
    is_number = text is not None and len(text) <= _MAX_NUMBER_DIGITS and text.isascii() and text.isdigit()
    return int(text) if text is not None and is_number else -1
