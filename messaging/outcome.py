"""What becomes of a frame: the JSON objects of the results topic.

Every frame ends, per group, in exactly one place: one of these, or a dead letter.
"""

import msgspec

from messaging.cloudevents import CLASSIFICATION_TYPE, JSON_CONTENT_TYPE, SPEC_VERSION, Message
from messaging.errors import MessageError
from messaging.timestamps import format_us

SKIPPED_TOO_OLD = "too-old"
SKIPPED_SUPERSEDED = "superseded"
SKIPPED_CAMERA_BUFFER_FULL = "camera-buffer-full"


class ClassScore(msgspec.Struct, frozen=True):
    """One class of the answer. `score` is a probability."""

    label: str
    score: float


class BatchShape(msgspec.Struct, frozen=True):
    """How full the micro-batch was: frames in it, and frames that it could hold."""

    size: int
    capacity: int


class FrameLocation(msgspec.Struct, frozen=True):
    """Where the frame stands in the frames topic."""

    topic: str
    partition: int
    offset: int


class LatencyParts(msgspec.Struct, frozen=True):
    """Where a frame's time went, in ms. The parts tile `total`: capture to hand-over to the producer.

    Attributes:
        transport: Capture until this program polled it; below zero where the camera's clock is ahead.
        batch_wait: Until its micro-batch was taken up for decoding.
        decode: Decoding of the whole micro-batch.
        device_wait: Until the device began with it.
        inference: On the device.
        order_wait: Labelling, and waiting for earlier frames of its partition.
        total: The sum.
    """

    transport: float
    batch_wait: float
    decode: float
    device_wait: float
    inference: float
    order_wait: float
    total: float


#: The names of the parts, in the order of a frame's way.
LATENCY_PARTS: tuple[str, ...] = LatencyParts.__struct_fields__[:-1]


class Timed(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="status", tag="timed", kw_only=True):
    """A frame that a simulated card took its time over without computing an answer."""

    camera: str
    sequence: int
    captured_at: str
    group: str
    model: str
    model_digest: str
    device: str
    backend: str
    simulated: bool
    batch: BatchShape
    latency_ms: LatencyParts
    source: FrameLocation
    truth: str | None = None
    degraded: bool = False


class Classified(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="status", tag="classified", kw_only=True):
    """A frame and the classes that the model gave it, best first."""

    camera: str
    sequence: int
    captured_at: str
    group: str
    label: str
    score: float
    classes: tuple[ClassScore, ...]
    model: str
    model_digest: str
    device: str
    backend: str
    simulated: bool
    batch: BatchShape
    latency_ms: LatencyParts
    source: FrameLocation
    truth: str | None = None
    degraded: bool = False


class Skipped(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="status", tag="skipped", kw_only=True):
    """A frame that nobody will look at, and why. A camera's own has no group and counts for every group."""

    camera: str
    sequence: int
    captured_at: str
    reason: str
    group: str | None = None
    source: FrameLocation | None = None


Outcome = Classified | Timed | Skipped

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Outcome] = msgspec.json.Decoder(Classified | Timed | Skipped)
_TYPE = CLASSIFICATION_TYPE.encode()


def group_source(group: str) -> bytes:
    """Return the `ce_source` of what a consumer group says."""
    return f"/groups/{group}".encode()


def camera_source(camera: str) -> bytes:
    """Return the `ce_source` of what a camera says itself."""
    return f"/cameras/{camera}".encode()


def write_outcome(
    outcome: Outcome, frame_id: str, source: bytes, made_at_us: int, traceparent: str, tracestate: str | None = None
) -> Message:
    """Turn an outcome into a record for the results topic, keyed by camera.

    Args:
        outcome: What became of the frame.
        frame_id: The frame's own id.
        source: `group_source` or `camera_source`.
        made_at_us: When the outcome was made, µs since 1970.
        traceparent: Carries the frame's trace id.
        tracestate: The vendor part of it.
    """
    camera = outcome.camera.encode()
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", frame_id.encode()),
        ("ce_source", source),
        ("ce_type", _TYPE),
        ("ce_subject", camera),
        ("ce_time", format_us(made_at_us).encode()),
        ("content-type", JSON_CONTENT_TYPE),
        ("traceparent", traceparent.encode()),
    ]
    if tracestate:
        headers.append(("tracestate", tracestate.encode()))
    return Message(camera, _encoder.encode(outcome), headers)


def read_outcome(value: bytes) -> Outcome:
    """Read the value of a record of the results topic.

    Raises:
        MessageError: It is no such JSON object.
    """
    try:
        return _decoder.decode(value)
    # msgspec lets text that is no UTF-8, and objects nested too deeply, out as Python's own errors.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise MessageError(f"not a result of streamer: {exc}") from exc
