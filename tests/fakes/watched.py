"""What a watcher sees, made up: frames, results, statuses and views, without a broker."""

from typing import Any

from messaging.dead_letter import write_dead_letter
from messaging.frame import Frame, write_frame
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Skipped,
    camera_source,
    group_source,
    write_outcome,
)
from messaging.status import CameraStatus, WorkerStatus, write_status
from messaging.timestamps import format_us
from streamer.watch.views import OutcomeView
from tests.fakes.records import TIME_US, TRACEPARENT, record_of

NOW_S = TIME_US / 1_000_000
JPEG = b"\xff\xd8\xff"
PARTS = LatencyParts(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 21.0)


def frame(camera: str = "line-1", sequence: int = 0, data: bytes = JPEG, **changes: Any) -> Frame:
    """The frame at partition 3 whose offset is its sequence."""
    settings: dict[str, Any] = {
        "camera": camera,
        "session": "s",
        "sequence": sequence,
        "frame_id": f"{camera}/s/{sequence}",
        "captured_at_us": TIME_US + sequence,
        "data": data,
        "content_type": "image/jpeg",
        "traceparent": TRACEPARENT,
        "topic": "frames",
        "partition": 3,
        "offset": sequence,
    }
    return Frame(**settings | changes)


def frame_record(camera: str = "line-1", sequence: int = 0, data: bytes = JPEG, **changes: Any) -> Any:
    return record_of(write_frame(frame(camera, sequence, data)), **{"offset": sequence} | changes)


def classified(camera: str = "line-1", sequence: int = 0, **changes: Any) -> Classified:
    settings: dict[str, Any] = {
        "camera": camera,
        "sequence": sequence,
        "captured_at": format_us(TIME_US + sequence),
        "group": "g",
        "label": "bolt",
        "score": 0.75,
        "classes": (ClassScore("bolt", 0.75),),
        "model": "m",
        "model_digest": "d",
        "device": "0",
        "backend": "onnxruntime",
        "simulated": False,
        "batch": BatchShape(1, 8),
        "latency_ms": PARTS,
        "source": FrameLocation("frames", 3, sequence),
    }
    return Classified(**settings | changes)


def result_record(camera: str = "line-1", sequence: int = 0, **changes: Any) -> Any:
    outcome = classified(camera, sequence, **changes)
    source = group_source(outcome.group)
    return record_of(write_outcome(outcome, f"{camera}/s/{sequence}", source, TIME_US, TRACEPARENT))


def shed_record(camera: str = "line-1", sequence: int = 0, reason: str = "camera-buffer-full") -> Any:
    """What a camera says of a frame that it gave up."""
    skipped = Skipped(camera=camera, sequence=sequence, captured_at=format_us(TIME_US + sequence), reason=reason)
    frame_id = f"{camera}/s/{sequence}"
    return record_of(write_outcome(skipped, frame_id, camera_source(camera), TIME_US, TRACEPARENT))


def dead_letter_record(camera: str = "line-1", sequence: int = 0, **changes: Any) -> Any:
    message = write_dead_letter(
        frame(camera, sequence, b"bytes"), "g", "truncated", "it ends early", max_message_bytes=1_000_000
    )
    return record_of(message, **{"timestamp": TIME_US // 1000, "topic": "dead-letters", "partition": 0} | changes)


def camera_status(camera: str = "line-1", **changes: Any) -> CameraStatus:
    settings: dict[str, Any] = {
        "camera": camera,
        "session": "s",
        "source": "synthetic:workpiece",
        "state": "running",
        "captured": 5,
        "sent": 5,
        "shed": {},
        "fps_declared": 5.0,
        "fps_delivered": 5.0,
        "reconnects": 0,
        "updated_at": format_us(TIME_US),
    }
    return CameraStatus(**settings | changes)


def worker_status(**changes: Any) -> WorkerStatus:
    settings: dict[str, Any] = {
        "group": "g",
        "host": "h",
        "device": "0",
        "slot": 0,
        "state": "running",
        "frames_topic": "frames",
        "partitions": (),
        "first_offsets": {},
        "model": "m",
        "model_digest": "d",
        "backend": "onnxruntime",
        "simulated": False,
        "classified": 5,
        "skipped": 0,
        "dead_lettered": 0,
        "waiting_frames": 0,
        "frames_in_flight": 0,
        "batch_size_mean": 1.0,
        "utilisation": 0.5,
        "steps": (),
        "updated_at": format_us(TIME_US),
    }
    return WorkerStatus(**settings | changes)


def status_record(status: CameraStatus | WorkerStatus, **changes: Any) -> Any:
    return record_of(write_status(status, 1, TIME_US), **changes)


def outcome_view(camera: str = "line-1", sequence: int = 0, **changes: Any) -> OutcomeView:
    settings: dict[str, Any] = {
        "frame_id": f"{camera}/s/{sequence}",
        "camera": camera,
        "sequence": sequence,
        "group": "g",
        "status": "classified",
        "label": "bolt",
        "score": 0.75,
        "reason": "",
        "truth": "",
        "is_degraded": False,
        "device": "0",
        "captured_at_us": TIME_US + sequence,
        "latency_ms": PARTS,
        "trace_id": "",
        "topic": "frames",
        "partition": 3,
        "offset": sequence,
        "number": sequence + 1,
    }
    return OutcomeView(**settings | changes)
