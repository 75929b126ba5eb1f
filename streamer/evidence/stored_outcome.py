"""One outcome of a frame, as it stands in its topic."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from messaging.cloudevents import read_headers
from messaging.dead_letter import read_dead_letter
from messaging.errors import MessageError
from messaging.outcome import Classified, Outcome, Skipped, Timed, read_outcome
from messaging.timestamps import parse_us
from messaging.trace_context import is_traceparent
from streamer.audit.records import dead_letter_fact, result_fact
from streamer.dead_letters.stored import record_time_us

#: A result of 1,000 classes takes a tenth of it.
_MAX_RESULT_BYTES = 1024 * 1024


class RecordPlace(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.topic}-{self.partition} offset {self.offset}"


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """What one group, or the camera itself, said about a frame.

    Attributes:
        place: Where the result or the dead letter stands.
        group: Whose it is; "" where the camera says it itself.
        status: `classified`, `timed`, `skipped` or `dead-lettered`.
        reason: Why it was skipped or dead-lettered, else "".
        error: One line more about a dead letter, else "".
        sequence: None where the outcome does not say it.
        captured_at_us: When the picture was taken, µs since 1970; None where that is no time.
        made_at_us: When the outcome was made, µs since 1970; None where it does not say so, as dead letters.
        written_at_us: The record's time, in whole ms: when it was handed to Kafka, or appended where the topic says so.
        source: Where the frame was read; None for a camera's own.
        traceparent: W3C trace context of the outcome; "" without a valid one.
        replay: How many times the frame had been put back by then, where a dead letter says it.
        has_bytes: Whether it is a dead letter with the frame's bytes.
        answer: What was said about a frame that was classified or timed.
    """

    place: RecordPlace
    camera: str
    group: str
    status: str
    reason: str
    error: str
    sequence: int | None
    captured_at_us: int | None
    made_at_us: int | None
    written_at_us: int
    source: RecordPlace | None
    traceparent: str
    replay: int = 0
    has_bytes: bool = False
    answer: Classified | Timed | None = None


def read_stored_result(record: Any) -> StoredOutcome:
    """Read a record of the results topic (kafka-python's `ConsumerRecord`).

    Raises:
        MessageError: It is no result of streamer, or does not say whose.
    """
    if len(record.value or b"") > _MAX_RESULT_BYTES:
        raise MessageError("a result that is too large to be one of streamer's")
    fact, outcome = result_fact(record), read_outcome(record.value or b"")
    headers = read_headers(record.headers)
    return StoredOutcome(
        place=RecordPlace(record.topic, record.partition, record.offset),
        camera=fact.camera,
        group=fact.group or "",
        status=fact.status,
        reason=fact.reason,
        error="",
        sequence=outcome.sequence,
        captured_at_us=_time_us(outcome.captured_at),
        made_at_us=_time_us(headers.get("ce_time", "")),
        written_at_us=record_time_us(record.timestamp),
        source=RecordPlace(fact.topic, fact.partition, fact.offset) if fact.group is not None else None,
        traceparent=_traceparent(headers),
        answer=_answer(outcome),
    )


def read_stored_dead_letter(record: Any) -> StoredOutcome:
    """Read a record of the dead-letter topic (kafka-python's `ConsumerRecord`); its bytes are not kept.

    Raises:
        MessageError: It does not say whose frame it is.
    """
    fact, letter, headers = dead_letter_fact(record), read_dead_letter(record), read_headers(record.headers)
    sequence = headers.get("ce_sequence", "")
    return StoredOutcome(
        place=RecordPlace(record.topic, record.partition, record.offset),
        camera=fact.camera,
        group=letter.group,
        status=fact.status,
        reason=fact.reason,
        error=letter.error,
        sequence=int(sequence) if sequence.isascii() and sequence.isdigit() and len(sequence) <= 18 else None,
        captured_at_us=_time_us(headers.get("ce_time", "")),
        made_at_us=None,
        written_at_us=record_time_us(record.timestamp),
        source=RecordPlace(fact.topic, fact.partition, fact.offset),
        traceparent=_traceparent(headers),
        replay=letter.replay,
        has_bytes=bool(letter.data),
    )


def _answer(outcome: Outcome) -> Classified | Timed | None:
    return None if isinstance(outcome, Skipped) else outcome


def _traceparent(headers: dict[str, str]) -> str:
    text = headers.get("traceparent", "")
    return text if is_traceparent(text) else ""


def _time_us(text: str) -> int | None:
    try:
        return parse_us(text)
    except (ValueError, OverflowError):
        return None
