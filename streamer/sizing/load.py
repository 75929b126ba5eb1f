"""Cameras that are played by one process: encoded pictures, true capture times, an even pace."""

import random
import time
from pathlib import Path
from typing import Any, Final, Self

import kafka.errors
import msgspec

from engine.spread import Spread
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka, close_producer
from messaging.reader import TopicReader
from messaging.timestamps import now_us
from messaging.topics import TopicNames
from messaging.trace_context import new_traceparent
from streamer.sizing.errors import TrialError

#: Frames that are due within so long are captured at once: to wake up for each would cost more than to send it.
_TICK_S: Final = 0.005
_LINGER_MS: Final = 2
#: Frames without a result, at the least, where frames go out as fast as results come back.
_FEWEST_WAITING: Final = 32
#: How often it is looked at the results then, over how long their rate is taken, and how fast ours follows.
_LOOK_S: Final = 0.25
_RATE_LOOKS: Final = 4
_FOLLOW_S: Final = 0.5
_FIRST_FPS: Final = 200.0
_FLUSH_TIMEOUT_S: Final = 20.0


class LoadOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be played.

    Attributes:
        pictures: Files with encoded pictures.
        fps: Of each camera; None for as fast as results come back.
        age_s: How old results are to be then: so many frames are kept waiting.
        warm_s: Results count from then on, where frames go out as fast as results come back.
        seconds: For how long, with that.
        session: Of all the cameras, new each time.
    """

    bootstrap_servers: str
    pictures: list[str]
    cameras: int
    fps: float | None
    age_s: float
    warm_s: float
    seconds: float
    session: str


class LoadReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was played.

    Attributes:
        captured: Frames.
        sent: Of these, what Kafka has.
        late_p99_ms: How late frames were captured; the process is too slow where that is much.
        result_fps: Results/s, where frames went out as fast as results came back; else 0.
        cpu_us: Of this process, for each frame.
    """

    captured: int
    sent: int
    late_p99_ms: float
    result_fps: float
    cpu_us: float


def play(order: LoadOrder) -> LoadReport:
    """Play the cameras.

    Raises:
        BrokerUnavailableError: No broker answers.
        TrialError: A picture cannot be read, or Kafka does not take the frames.
    """
    try:
        pictures = [Path(path).read_bytes() for path in order.pictures]
    except OSError as exc:
        raise TrialError(f"a picture of the trial cannot be read: {exc}") from exc
    cluster, topics = Kafka(order.bootstrap_servers), TopicNames()
    cpu_s = time.process_time()
    with PlayedCameras(cluster, topics.frames, order, pictures) as cameras:
        if order.fps is None:
            with _Results(cluster, topics.results) as results:
                fps = _as_answered(cameras, order, results)
        else:
            fps = 0.0
            _paced(cameras, order.fps, order)
        sent = cameras.flush()
    captured = cameras.captured
    return LoadReport(
        captured=captured,
        sent=sent,
        late_p99_ms=round(cameras.late_ms.percentile(0.99), 3),
        result_fps=round(fps, 2),
        cpu_us=round((time.process_time() - cpu_s) / max(captured, 1) * 1e6, 1),
    )


class PlayedCameras:
    """The cameras of a trial, for one thread."""

    def __init__(self, cluster: Kafka, topic: str, order: LoadOrder, pictures: list[bytes]) -> None:
        """Remember what they see; `with` connects."""
        self.late_ms = Spread()
        self._cluster = cluster
        self._topic = topic
        self._session = order.session
        self._pictures = pictures
        self._sequences = [0] * order.cameras
        self._producer: Any = None
        self._sent: list[Any] = []

    @property
    def captured(self) -> int:
        """Frames so far."""
        return sum(self._sequences)

    def capture(self, number: int, late_s: float) -> None:
        """Take a camera's picture now, and send it."""
        camera, sequence = f"camera-{number}", self._sequences[number]
        self._sequences[number] += 1
        self.late_ms.add(late_s * 1e3)
        frame = Frame(
            camera=camera,
            session=self._session,
            sequence=sequence,
            frame_id=frame_id(camera, self._session, sequence),
            captured_at_us=now_us(),
            data=self._pictures[(number + sequence) % len(self._pictures)],
            content_type="image/jpeg",
            traceparent=new_traceparent(),
        )
        message = write_frame(frame)
        self._sent.append(
            self._producer.send(
                self._topic, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms
            )
        )

    def flush(self) -> int:
        """Wait until Kafka has all that was sent; return how much that is.

        Raises:
            TrialError: It does not take it.
        """
        try:
            self._producer.flush(_FLUSH_TIMEOUT_S)
        except kafka.errors.KafkaError as exc:
            raise TrialError(f"Kafka does not take the frames of the trial: {exc}") from exc
        return sum(future.succeeded() for future in self._sent)

    def __enter__(self) -> Self:
        """Connect."""
        self._producer = self._cluster.producer(linger_ms=_LINGER_MS)
        return self

    def __exit__(self, *_: object) -> None:
        """Let the connection go."""
        close_producer(self._producer, 1.0)


def _paced(cameras: PlayedCameras, fps: float, order: LoadOrder) -> None:
    """Capture each frame when it is due; each camera begins at a time by chance."""
    chance = random.Random(order.cameras)  # noqa: S311 - no secret
    phases = sorted((chance.random() / fps, number) for number in range(order.cameras))
    began_s, turn = time.monotonic(), 0
    while True:
        for phase_s, number in phases:
            due_s = phase_s + turn / fps
            if due_s >= order.seconds:
                return
            while (late_s := time.monotonic() - began_s - due_s) < 0:
                time.sleep(max(-late_s, _TICK_S))
            cameras.capture(number, late_s)
        turn += 1


def _as_answered(cameras: PlayedCameras, order: LoadOrder, results: "_Results") -> float:
    """Capture at an even pace at which results are just so old; return results/s."""
    began_s = last_s = time.monotonic()
    looks = [(began_s, 0)]
    rate_fps, due, number = _FIRST_FPS, 0.0, 0
    while (now_s := time.monotonic()) < began_s + order.seconds:
        due, last_s = due + rate_fps * (now_s - last_s), now_s
        while due >= 1:
            cameras.capture(number % order.cameras, 0.0)
            due, number = due - 1, number + 1
        if now_s >= looks[-1][0] + _LOOK_S:
            looks.append((now_s, count := results.count()))
            (before_s, before) = looks[max(len(looks) - 1 - _RATE_LOOKS, 0)]
            answered_fps = (count - before) / (now_s - before_s)
            wanted = max(answered_fps * order.age_s, _FEWEST_WAITING)
            rate_fps = max(answered_fps + (wanted - (number - count)) / _FOLLOW_S, 0.0)
        time.sleep(_TICK_S)
    first_s, first = next((look for look in looks if look[0] >= began_s + order.warm_s), looks[0])
    ended_s, last = looks[-1]
    return (last - first) / max(ended_s - first_s, _TICK_S)


class _Results:
    """Counts the results since it began."""

    def __init__(self, cluster: Kafka, topic: str) -> None:
        self._reader = TopicReader(cluster, topic, from_beginning=False)

    def count(self) -> int:
        return sum(self._reader.end_offsets().values()) - self._start

    def __enter__(self) -> Self:
        self._reader.open()
        self._start = sum(self._reader.end_offsets().values())
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
