"""What can be seen from Kafka, as pages show it: plain values, copied out of the site at one moment."""

from dataclasses import dataclass

from messaging.outcome import LatencyParts
from messaging.status import CameraStatus, WorkerStatus


@dataclass(frozen=True, slots=True)
class LedgerView:
    """What became of a camera's frames in one group, since this program watches.

    Attributes:
        skipped: By reason, the camera's own included.
        dead_lettered: By reason.
    """

    classified: int
    timed: int
    skipped: dict[str, int]
    dead_lettered: dict[str, int]


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """One outcome: of the stream of results, and under a camera's picture.

    Attributes:
        frame_id: Its `ce_id`.
        group: Whose it is; "" where the camera says it itself.
        status: `classified`, `timed`, `skipped` or `dead-lettered`.
        label: "" where there is none.
        score: A probability; None where there is none.
        reason: Of a frame that was skipped or dead-lettered, else "".
        captured_at_us: µs since 1970.
        latency_ms: None where the outcome has no parts.
        trace_id: 32 hexadecimal digits, or "".
        topic: Of the frame, with its partition and offset; "" and -1 where unknown.
        number: Grows with each outcome that is seen.
    """

    frame_id: str
    camera: str
    sequence: int
    group: str
    status: str
    label: str
    score: float | None
    reason: str
    truth: str
    is_degraded: bool
    device: str
    captured_at_us: int
    latency_ms: LatencyParts | None
    trace_id: str
    topic: str
    partition: int
    offset: int
    number: int = 0


@dataclass(frozen=True, slots=True)
class CameraView:
    """A camera, as far as anything is known of it; one that only sends frames has no status.

    Attributes:
        status: What it last said about itself.
        status_age_s: How long ago it said so; None without a status.
        outcome: That of its newest frame, in the group that was asked for.
        picture_number: That of its picture, as in `PictureView`; 0 where there is none.
        ledgers: By group.
    """

    name: str
    status: CameraStatus | None
    status_age_s: float | None
    outcome: OutcomeView | None
    picture_number: int
    ledgers: dict[str, LedgerView]


@dataclass(frozen=True, slots=True)
class PictureView:
    """A camera's newest picture that has an outcome, with that; or one that waits for too long already, without.

    Attributes:
        number: Grows with each new picture of the camera, and where a picture that was shown gets its outcome.
        data: The encoded image, as the camera sent it.
    """

    number: int
    frame_id: str
    data: bytes
    captured_at_us: int
    outcome: OutcomeView | None


@dataclass(frozen=True, slots=True)
class SecondView:
    """What one group did in one second.

    Attributes:
        at_s: The second, s since 1970.
        outcomes: By status.
        latency_ms: Mean of each part and of the total over the frames that have parts; None without any.
        total_p95_ms: 95th percentile of the total; None without any.
    """

    at_s: int
    outcomes: dict[str, int]
    latency_ms: LatencyParts | None
    total_p95_ms: float | None


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker, its name as in its status's key, and how long ago it said something."""

    name: str
    status: WorkerStatus
    age_s: float


@dataclass(frozen=True, slots=True)
class DeadLetterView:
    """A dead letter; `place` is where it stands in its topic, as `streamer dlq` writes it (`0:17`)."""

    place: str
    camera: str
    frame_id: str
    group: str
    reason: str
    error: str
    dead_lettered_at_us: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TotalsView:
    """What was seen since this program watches.

    Attributes:
        outcomes: By status.
        unreadable: Records that are nothing of streamer's.
        passed_over: Results and frames that came faster than they could be read.
        cameras_left_out: Names of cameras for which there was no room; likewise of groups and workers.
    """

    outcomes: dict[str, int]
    unreadable: int
    passed_over: int
    cameras_left_out: int
    groups_left_out: int
    workers_left_out: int


@dataclass(frozen=True, slots=True)
class StateView:
    """Whether Kafka can be read.

    Attributes:
        is_connected: Whether a broker answers.
        problem: What is wrong, and what to do, in one line; "" where nothing is.
    """

    is_connected: bool
    problem: str
