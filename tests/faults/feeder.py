"""Cameras of a test: frames of known content, several cameras in turn, and a ledger of what the broker took.

Also a program of its own, to be killed: `python -m tests.faults.feeder --ledger FILE …`.
"""

import argparse
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import kafka.errors

from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.timestamps import now_us
from messaging.trace_context import new_traceparent
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.faults.colours import fatal_picture, pictures, truth_of
from tests.faults.ledger import Ledger, SentFrame

_DELIVERY_TIMEOUT_MS = 120_000


@dataclass(frozen=True)
class FeedPlan:
    """What is sent.

    Attributes:
        frames: Of all cameras together.
        fps: Of all cameras together; None sends as fast as it goes.
        first_camera: The number of the first camera.
        fatal: Frames, counted over all cameras, whose picture a faulty back end chokes on.
    """

    frames: int = 2000
    fps: float | None = None
    cameras: int = 8
    first_camera: int = 0
    session: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    fatal: frozenset[int] = frozenset()

    def frame(self, number: int) -> tuple[Frame, SentFrame]:
        """Make a frame, and its line in the ledger."""
        index, sequence = self.first_camera + number % self.cameras, number // self.cameras
        is_fatal = number in self.fatal
        truth = truth_of(index, sequence)
        camera = f"camera-{index}"
        identity = frame_id(camera, self.session, sequence)
        frame = Frame(
            camera=camera,
            session=self.session,
            sequence=sequence,
            frame_id=identity,
            captured_at_us=now_us(),
            data=fatal_picture() if is_fatal else pictures()[truth],
            content_type="image/jpeg",
            traceparent=new_traceparent(),
            truth=truth,
        )
        return frame, SentFrame(identity, camera, sequence, None if is_fatal else truth)


def send_frames(
    cluster: Kafka, topic: str, plan: FeedPlan, ledger: Ledger, until: Event, opened: Callable[[], None] = lambda: None
) -> None:
    """Send the frames of a plan at its pace, and wait for the broker to have them."""
    producer = cluster.producer(linger_ms=5, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)
    opened()
    began_s = time.monotonic()
    for number in range(plan.frames):
        due_in_s = began_s + number / plan.fps - time.monotonic() if plan.fps else 0.0
        if until.wait(due_in_s) if due_in_s > 0 else until.is_set():
            break
        frame, sent = plan.frame(number)
        ledger.begin(sent)
        _send(producer, topic, frame, ledger)
    producer.flush(_DELIVERY_TIMEOUT_MS / 1000)
    producer.close()


def _send(producer: Any, topic: str, frame: Frame, ledger: Ledger) -> None:
    key, value, headers, timestamp_ms = write_frame(frame)

    def refused(exc: BaseException) -> None:
        # Whatever was tried for too long may have arrived all the same.
        if not isinstance(exc, kafka.errors.KafkaTimeoutError):
            ledger.settle(frame.frame_id, "fail")

    future = producer.send(topic, value, key, headers, timestamp_ms=timestamp_ms)
    future.add_callback(lambda _: ledger.settle(frame.frame_id, "ok"))
    future.add_errback(refused)


class Feeder:
    """Sends a plan's frames from a thread; `with` starts it, and stops it at the end."""

    def __init__(self, cluster: Kafka, topic: str, plan: FeedPlan) -> None:
        self.plan = plan
        self.ledger = Ledger()
        self._stop = Event()
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._run, args=(cluster, topic), name="feeder")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_DELIVERY_TIMEOUT_MS / 1000)

    def wait_until_acknowledged(self, frames: int, deadline_s: float = DEADLINE_S) -> None:
        """Wait until the broker has so many."""
        wait_until(lambda: self.ledger.count("ok") >= frames, f"{frames} frames are acknowledged", deadline_s)

    def finish(self, deadline_s: float = 120.0) -> None:
        """Wait until everything is sent and settled."""
        self._thread.join(deadline_s)
        assert not self._thread.is_alive(), f"only {self.ledger.count('ok')} frames were sent in {deadline_s:.0f} s"
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Send no more, and wait until what was sent is settled."""
        self._stop.set()
        self.finish()

    def _run(self, cluster: Kafka, topic: str) -> None:
        try:
            send_frames(cluster, topic, self.plan, self.ledger, self._stop)
        except BaseException as exc:  # noqa: BLE001 - raised by `finish`, in the test's own thread
            self._failure = exc


def main() -> None:
    """Be a camera that can be killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", required=True)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--fps", type=float, required=True)
    parser.add_argument("--cameras", type=int, required=True)
    parser.add_argument("--first-camera", type=int, required=True)
    arguments = parser.parse_args()
    plan = FeedPlan(arguments.frames, arguments.fps, arguments.cameras, arguments.first_camera)
    ledger = Ledger(arguments.ledger)
    try:
        send_frames(Kafka(arguments.bootstrap_servers), arguments.topic, plan, ledger, Event())
    finally:
        ledger.close()


if __name__ == "__main__":
    main()
