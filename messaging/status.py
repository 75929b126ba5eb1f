"""What cameras and workers say about themselves, once a second and at their end (a compacted topic)."""

from typing import Annotated

import msgspec

from messaging.cloudevents import JSON_CONTENT_TYPE, SPEC_VERSION, STATUS_TYPE, Message
from messaging.errors import MessageError
from messaging.timestamps import format_us

#: Whatever reads numbers as floats, such as a browser, still tells each of these from the next; nothing counts further.
MAX_COUNT = 2**53
#: Finite, and so are sums and multiples of many.
_MAX_FIGURE = 1e100

Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_COUNT)]
Figure = Annotated[float, msgspec.Meta(ge=-_MAX_FIGURE, le=_MAX_FIGURE)]


class CameraStatus(msgspec.Struct, frozen=True, tag_field="kind", tag="camera", kw_only=True):
    """A camera of one session.

    Attributes:
        captured: Frames captured in this session, so their sequences are 0 … captured - 1.
        sent: Frames that the broker acknowledged.
        shed: Frames given up, by reason; each has or will have a `skipped` result.
        fps_declared: The rate that was asked for or that the source names, frames/s.
        fps_delivered: Frames captured per second since the last status.
        state: `connecting`, `running`, `retrying`, `stopped` or `failed`; the last two are final.
        error: Why it is `retrying` or `failed`, one line.
    """

    camera: str
    session: str
    source: str
    state: str
    captured: Count
    sent: Count
    shed: dict[str, Count]
    fps_declared: Figure | None
    fps_delivered: Figure
    reconnects: Count
    updated_at: str
    error: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing of this session is still to come."""
        return self.state in {"stopped", "failed"}


class PartitionStatus(msgspec.Struct, frozen=True):
    """A partition that a worker holds. Offsets are None while they are not known.

    Attributes:
        first_offset: The first that the group answers for.
        position: The next that is read.
        lag: Frames that are not read yet.
        loss_horizon_s: How soon retention deletes the first of them; None where that is not to be expected.
    """

    partition: Count
    first_offset: Count | None
    position: Count | None
    lag: Count | None
    loss_horizon_s: Figure | None = None


class StepStatus(msgspec.Struct, frozen=True):
    """One step of the worker's pipeline, since its start."""

    name: str
    executions: Count
    execution_ms_mean: Figure
    waiting_ms_mean: Figure


class ShadowStatus(msgspec.Struct, frozen=True):
    """What a worker's shadow model did with frames that were classified, since its start.

    Attributes:
        agreed: Its top label was the published one; `disagreed` where not.
        dropped: It was behind, and did not look at them.
        failed: It gave no answer.
    """

    model: str
    model_digest: str
    agreed: Count
    disagreed: Count
    dropped: Count
    failed: Count


class WorkerStatus(msgspec.Struct, frozen=True, tag_field="kind", tag="worker", kw_only=True):
    """One worker of a consumer group.

    Attributes:
        first_offsets: For each partition ever assigned, the first offset it had then: the group answers for
            what follows it.
        state: `starting`, `running`, `draining`, `stopped` or `failed`.
        waiting_frames: Frames polled and not yet in a micro-batch.
        frames_in_flight: Frames polled and not yet committed.
        frames_lost: Frames that retention deleted before this worker had read them, since its start.
        utilisation: Share of the last second in which the device's places had batches, 0–1.
        bottleneck: The step with the lowest capacity; "" while nothing is known of it.
        model_changes: How often another version of the model was taken, since its start.
        model_failures: How often one could not be, and the one before stayed.
        shadow: None without a shadow model.
    """

    group: str
    host: str
    device: str
    slot: Count
    state: str
    frames_topic: str
    partitions: tuple[PartitionStatus, ...]
    first_offsets: dict[str, Count]
    model: str
    model_digest: str
    backend: str
    simulated: bool
    classified: Count
    skipped: Count
    dead_lettered: Count
    waiting_frames: Count
    frames_in_flight: Count
    batch_size_mean: Figure
    utilisation: Figure
    steps: tuple[StepStatus, ...]
    updated_at: str
    frames_lost: Count = 0
    bottleneck: str = ""
    model_changes: Count = 0
    model_failures: Count = 0
    shadow: ShadowStatus | None = None


Status = CameraStatus | WorkerStatus

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Status] = msgspec.json.Decoder(CameraStatus | WorkerStatus)


def status_key(status: Status) -> str:
    """Return the key under which the topic keeps the newest status of its subject."""
    if isinstance(status, CameraStatus):
        return f"camera/{status.camera}"
    return f"worker/{status.group}/{status.host}/{status.device}/{status.slot}"


def write_status(status: Status, number: int, made_at_us: int) -> Message:
    """Turn a status into a record for the status topic; `number` tells apart the statuses of one subject."""
    key = status_key(status)
    subject = status.camera if isinstance(status, CameraStatus) else key
    headers = [
        ("ce_specversion", SPEC_VERSION),
        ("ce_id", f"{key}/{made_at_us}-{number}".encode()),
        ("ce_source", f"/{'cameras/' + status.camera if isinstance(status, CameraStatus) else key}".encode()),
        ("ce_type", STATUS_TYPE.encode()),
        ("ce_subject", subject.encode()),
        ("ce_time", format_us(made_at_us).encode()),
        ("content-type", JSON_CONTENT_TYPE),
    ]
    return Message(key.encode(), _encoder.encode(status), headers)


def read_status(value: bytes) -> Status:
    """Read the value of a record of the status topic.

    Raises:
        MessageError: It is no such JSON object, or has a number that is out of all proportion.
    """
    try:
        return _decoder.decode(value)
    # msgspec lets text that is no UTF-8, and objects nested too deeply, out as Python's own errors.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise MessageError(f"not a status of streamer: {exc}") from exc
