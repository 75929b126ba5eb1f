"""Dead letters: frames that cannot be classified, with their bytes, their headers and the reason."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from messaging.cloudevents import DEAD_LETTER_TYPE, FRAME_TYPE, SPEC_VERSION, Message, read_headers, replace_headers
from messaging.errors import MessageError
from messaging.frame import MAX_CAMERA_CHARS, MAX_ID_CHARS, MAX_REPLAY, MAX_TOPIC_CHARS, Frame, read_frame
from messaging.stand_in import UNREAD_HEADER
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

_MAX_REASON_CHARS = 50
_MAX_ERROR_CHARS = 500
#: Our own headers take no more: an id, a camera, a group and a truth of the longest that are believed, and the error.
_OUR_BYTES = 12 * 1024
#: So that a frame of `messaging.kafka.MAX_FRAME_BYTES`, which leaves 64 KiB of a message, keeps its bytes.
_MAX_HEADER_BYTES = 52 * 1024
_MAX_NUMBER_DIGITS = 18
#: What a dead letter says beside its frame's own headers.
_ABOUT_IT = frozenset({"group", "reason", "error", "original-topic", "original-partition", "original-offset"})


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter as it was read.

    Attributes:
        frame_id: The frame's id; with `group` the identity of this outcome.
        group: The consumer group that could not classify it.
        reason: One of `REASONS`; of others their first 50 characters.
        error: One line about what was wrong, its first 500 characters.
        original_topic: Where the frame stands, with `original_partition` and `original_offset`.
        replay: How many times the frame had been put back by then; 0 for a live one.
    """

    camera: str
    frame_id: str
    group: str
    reason: str
    error: str
    original_topic: str
    original_partition: int
    original_offset: int
    replay: int
    data: bytes

    @property
    def is_whole(self) -> bool:
        """Whether it says whose frame it is, and where that stands; else it is none of ours."""
        names_are_there = self.frame_id and self.group and self.original_topic
        names_are_believed = (
            max(len(self.frame_id), len(self.group)) <= MAX_ID_CHARS
            and len(self.camera) <= MAX_CAMERA_CHARS
            and len(self.original_topic) <= MAX_TOPIC_CHARS
        )
        return bool(names_are_there and names_are_believed and min(self.original_partition, self.original_offset) >= 0)

    @property
    def has_bytes(self) -> bool:
        """Whether the frame's bytes are here; else they are where the frame stands. An empty frame's are none."""
        return bool(self.data) or self.reason == "empty"


def write_dead_letter(
    frame: Frame, group: str, reason: str, error: str, *, max_message_bytes: int, traceparent: str | None = None
) -> Message:
    """Turn a frame into a record for the dead-letter topic, keyed by camera.

    What does not fit into `max_message_bytes` stays behind, the frame's bytes or its headers or both: `original-*`
    points at them.
    """
    camera = frame.camera.encode()
    changes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": frame.frame_id.encode(),
        "ce_type": DEAD_LETTER_TYPE.encode(),
        "ce_subject": camera,
        "ce_time": format_us(frame.captured_at_us).encode(),
        "ce_sequence": str(frame.sequence).encode(),
        "traceparent": (traceparent or frame.traceparent).encode(),
        "group": group.encode(),
        "reason": reason.encode(),
        "error": _one_line(error).encode(errors="backslashreplace"),
        "original-topic": frame.topic.encode(),
        "original-partition": str(frame.partition).encode(),
        "original-offset": str(frame.offset).encode(),
    }
    room_bytes = max_message_bytes - _OUR_BYTES
    header_bytes = frame.size_bytes - len(frame.data)
    theirs = _without_unread(frame.headers) if header_bytes <= min(_MAX_HEADER_BYTES, room_bytes) else []
    if not read_headers(theirs).get("ce_source"):
        changes["ce_source"] = b"/cameras/" + camera
    if frame.truth:
        changes["ce_truth"] = frame.truth.encode()
    if frame.replay:
        changes["ce_replay"] = str(frame.replay).encode()
    value = frame.data if len(frame.data) <= room_bytes - (header_bytes if theirs else 0) else b""
    return Message(camera, value, replace_headers(theirs, changes))


def read_dead_letter(record: Any) -> DeadLetter:
    """Read a record of the dead-letter topic (kafka-python's `ConsumerRecord`); what is missing is empty or -1."""
    texts = read_headers(record.headers)
    return DeadLetter(
        camera=texts.get("ce_subject", ""),
        frame_id=texts.get("ce_id", ""),
        group=texts.get("group", ""),
        reason=texts.get("reason", "")[:_MAX_REASON_CHARS],
        error=texts.get("error", "")[:_MAX_ERROR_CHARS],
        original_topic=texts.get("original-topic", ""),
        original_partition=_number(texts.get("original-partition")),
        original_offset=_number(texts.get("original-offset")),
        replay=max(_number(texts.get("ce_replay")), 0),
        data=record.value or b"",
    )


def write_replay(record: Any, replay: int, original: Any = None) -> Message:
    """Turn a dead letter back into its frame, for the one group that could not classify it.

    Camera, id, sequence and capture time are what they were, though the frame's producer gave none of them and they
    came from its place in the log. Its own headers come back; what the dead letter said about it does not.

    Args:
        record: The dead letter (kafka-python's `ConsumerRecord`).
        replay: How many times the frame is put back with this one.
        original: The frame's own record, where its bytes had to stay behind.

    Raises:
        MessageError: The dead letter does not say whose frame it is, or `original` is another frame.
    """
    letter = read_dead_letter(record)
    if not letter.is_whole:
        raise MessageError("not a dead letter of streamer")
    place = {
        "topic": letter.original_topic,
        "partition": letter.original_partition,
        "offset": letter.original_offset,
    }
    frame = read_frame(record._replace(**place))
    value, theirs = frame.data, [each for each in frame.headers if each[0] not in _ABOUT_IT]
    if original is not None:
        if read_frame(original).frame_id != letter.frame_id:
            raise MessageError(
                f"another frame stands at {letter.original_topic}-{letter.original_partition} "
                f"offset {letter.original_offset}"
            )
        value, theirs = original.value or b"", original.headers
    changes = {
        "ce_specversion": SPEC_VERSION,
        "ce_id": frame.frame_id.encode(),
        "ce_type": FRAME_TYPE.encode(),
        "ce_subject": frame.camera.encode(),
        "ce_time": format_us(frame.captured_at_us).encode(),
        "ce_sequence": str(frame.sequence).encode(),
        "traceparent": frame.traceparent.encode(),
        "ce_replayfor": letter.group.encode(),
        "ce_replay": str(min(replay, MAX_REPLAY)).encode(),
    }
    return Message(frame.camera.encode(), value, replace_headers(_without_unread(theirs), changes))


def _without_unread(headers: Iterable[tuple[str, bytes | None]]) -> list[tuple[str, bytes | None]]:
    """Leave out what a stand-in says of itself: it stays where it was read."""
    return [each for each in headers if each[0] != UNREAD_HEADER]


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_MAX_ERROR_CHARS]


def _number(text: str | None) -> int:
    is_number = text is not None and len(text) <= _MAX_NUMBER_DIGITS and text.isascii() and text.isdigit()
    return int(text) if text is not None and is_number else -1
