"""What became of made-up frames, as it stands in the topics, without a broker."""

from typing import Any

from messaging.dead_letter import write_dead_letter
from messaging.frame import Frame
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Outcome,
    Skipped,
    Timed,
    camera_source,
    group_source,
    write_outcome,
)
from messaging.timestamps import format_us
from streamer.evidence.stored_outcome import StoredOutcome, read_stored_dead_letter, read_stored_result
from tests.fakes.records import TIME_US, TRACEPARENT, record_of

LATENCY = LatencyParts(4.1, 8.0, 0.6, 0.1, 5.2, 0.0, 18.0)


def frame(**changes: Any) -> Frame:
    """A frame as it was read from the log."""
    values: dict[str, Any] = {
        "camera": "a",
        "session": "s",
        "sequence": 1,
        "frame_id": "a/s/1",
        "captured_at_us": TIME_US,
        "data": b"bytes",
        "content_type": "image/jpeg",
        "traceparent": TRACEPARENT,
        "topic": "frames",
        "partition": 3,
        "offset": 10,
    }
    return Frame(**values | changes)


def classified(of: Frame, group: str = "g", **changes: Any) -> Classified:
    values: dict[str, Any] = {
        "camera": of.camera,
        "sequence": of.sequence,
        "captured_at": format_us(of.captured_at_us),
        "group": group,
        "label": "scratch",
        "score": 0.983,
        "classes": (ClassScore("scratch", 0.983), ClassScore("ok", 0.011)),
        "model": "workpiece",
        "model_digest": "sha256:0",
        "device": "0",
        "backend": "onnxruntime",
        "simulated": False,
        "batch": BatchShape(3, 8),
        "latency_ms": LATENCY,
        "source": FrameLocation(of.topic, of.partition, of.offset),
    }
    return Classified(**values | changes)


def timed(of: Frame, group: str = "g") -> Timed:
    answer = classified(of, group)
    return Timed(**{name: getattr(answer, name) for name in Timed.__struct_fields__})


def skipped(of: Frame, reason: str = "too-old", group: str | None = None) -> Skipped:
    """By a group, or by the camera itself, which says no more of its place."""
    source = FrameLocation(of.topic, of.partition, of.offset) if group is not None else None
    captured_at = format_us(of.captured_at_us)
    return Skipped(
        camera=of.camera, sequence=of.sequence, captured_at=captured_at, reason=reason, group=group, source=source
    )


def stored(of: Frame, outcome: Outcome, *, held_ms: int = 0, offset: int = 0, partition: int = 0) -> StoredOutcome:
    """An outcome that was made 18 ms after the capture, and written `held_ms` later, into a results topic."""
    source = group_source(outcome.group) if outcome.group is not None else camera_source(outcome.camera)
    made_at_us = of.captured_at_us + 18_000
    message = write_outcome(outcome, of.frame_id, source, made_at_us, of.traceparent)
    timestamp_ms = made_at_us // 1000 + held_ms
    return read_stored_result(
        record_of(message, topic="results", partition=partition, offset=offset, timestamp=timestamp_ms)
    )


def stored_dead(of: Frame, group: str = "g", reason: str = "truncated", *, held_ms: int = 0) -> StoredOutcome:
    message = write_dead_letter(of, group, reason, f"it is {reason}", max_message_bytes=10**7)
    timestamp_ms = of.captured_at_us // 1000 + 18 + held_ms
    return read_stored_dead_letter(record_of(message, topic="dead", partition=0, offset=7, timestamp=timestamp_ms))
