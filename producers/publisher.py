"""Sending the frames of all cameras of this process, in bounded memory, whatever the broker does."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

import kafka.errors

from messaging.cloudevents import Message
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka, close_producer
from messaging.outcome import SKIPPED_CAMERA_BUFFER_FULL, Skipped, camera_source, write_outcome
from messaging.timestamps import format_us, now_us
from messaging.topics import TopicNames
from messaging.trace_context import new_traceparent
from producers.errors import FramesRefusedError
from producers.shed import ShedFrames
from producers.telemetry import CameraTelemetry, Sending

log = logging.getLogger(__name__)

#: What is handed to kafka-python cannot be taken back, so it gets this much at a time and the rest waits here, where
#: the oldest can still be shed. Enough for several of its batches of 512 KiB.
_WINDOW_BYTES = 4 * 1024 * 1024
#: Frames that were handed over wait for a broker that went away.
_DELIVERY_TIMEOUT_MS = 24 * 3600 * 1000
_LINGER_MS = 2
_SKIPPED_AT_A_TIME = 100
_SKIPPED_BYTES = 600
_RETRY_S = 1.0
#: A broker that takes no frame for so long is away.
_SILENT_S = 5.0
_CLOSE_TIMEOUT_S = 3.0


@dataclass(slots=True)
class CameraLedger:
    """What became of one camera's frames of this session.

    Attributes:
        captured: Frames that were given a sequence.
        sent: Frames that the broker has.
        shed: Frames that were given up.
    """

    camera: str
    session: str
    captured: int = 0
    sent: int = 0
    shed: ShedFrames = field(default_factory=ShedFrames)


class FramePublisher:
    """One Kafka producer for all cameras of a process.

    `publish` may be called from any thread and never waits for the broker. While the broker is behind, frames wait
    here up to the budget; beyond it the oldest unsent frame is shed, and a `skipped` result says so as soon as the
    broker takes messages again.
    """

    def __init__(self, cluster: Kafka, topics: TopicNames, budget_bytes: int) -> None:
        """Remember where to; `open` connects.

        Args:
            cluster: Where Kafka is.
            topics: Frames go to the frames topic, what was shed to the results topic.
            budget_bytes: Unsent frames kept, at the most, those handed to kafka-python included.
        """
        self._cluster = cluster
        self._topics = topics
        self._budget_bytes = budget_bytes
        self._window_bytes = min(_WINDOW_BYTES, budget_bytes // 2)
        self._changed = Condition()
        self._unsent: deque[tuple[CameraLedger, Frame]] = deque()
        self._unsent_bytes = 0
        self._undelivered = 0
        self._handed_over_bytes = 0
        self._with_shed: dict[int, CameraLedger] = {}
        self._is_closing = False
        self._is_closed = False
        self._failure: FramesRefusedError | None = None
        self._producer: Any = None
        self._answered_s = 0.0  # when Kafka last took a frame, or was given one with none under way
        self._telemetry = CameraTelemetry(topics.frames)
        self._thread = Thread(target=self._pump, name="publisher", daemon=True)

    def open(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        self._producer = self._cluster.producer(linger_ms=_LINGER_MS, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)
        self._thread.start()

    @property
    def failure(self) -> FramesRefusedError | None:
        """Why Kafka refuses frames for good; None while it does not."""
        return self._failure

    @property
    def unsent_bytes(self) -> int:
        """The bytes of frames that the broker does not have."""
        return self._unsent_bytes + self._handed_over_bytes

    def why_not_ready(self) -> str:
        """Return, in a line, why frames do not arrive at Kafka; "" where they do. Any thread."""
        with self._changed:
            if self._failure is not None:
                return str(self._failure)
            if self._is_closing:
                return "it drains, and ends"
            silent_s = time.monotonic() - self._answered_s if self._handed_over_bytes else 0.0
        return f"Kafka has not acknowledged a frame for {silent_s:.0f} s" if silent_s > _SILENT_S else ""

    def publish(self, ledger: CameraLedger, frame: Frame) -> None:
        """Let a frame wait for its turn; the oldest unsent one goes where there is no room."""
        with self._changed:
            self._undelivered += 1
            self._unsent.append((ledger, frame))
            self._unsent_bytes += len(frame.data)
            while self._unsent_bytes + self._handed_over_bytes > self._budget_bytes and len(self._unsent) > 1:
                self._shed_oldest()
            self._changed.notify_all()

    def send_aside(self, message: Message, finished: Callable[[], None]) -> None:
        """Send a status, which waits for no frame; `finished` is called in any case."""

        def failed(exc: BaseException) -> None:
            log.warning("a status was not sent to %s: %s", self._topics.status, exc)
            finished()

        try:
            future = self._producer.send(self._topics.status, message.value, message.key, message.headers)
        except kafka.errors.KafkaError as exc:
            failed(exc)
            return
        future.add_callback(lambda _: finished())
        future.add_errback(failed)

    def drain(self, timeout_s: float) -> int:
        """Send what waits, for `timeout_s` at most. Nothing may be published after this.

        Returns:
            How many frames and notices of shed frames the broker does not have.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_empty() or self._failure is not None, timeout_s)
            return self._undelivered

    def close(self) -> None:
        """Let the connection go; what was not drained is lost. Closing twice is harmless."""
        if self._producer is None:
            return
        with self._changed:
            self._is_closing = True
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_TIMEOUT_S)
        close_producer(self._producer, _CLOSE_TIMEOUT_S)
        self._producer = None

    def _is_empty(self) -> bool:
        return not self._unsent and not self._handed_over_bytes and not self._with_shed

    def _shed_oldest(self) -> None:
        ledger, frame = self._unsent.popleft()
        self._unsent_bytes -= len(frame.data)
        if not ledger.shed.total:
            log.warning("camera %s: the broker is behind, the oldest frames are shed", ledger.camera)
        ledger.shed.add(frame.sequence, frame.captured_at_us)
        self._with_shed[id(ledger)] = ledger

    def _has_work(self) -> bool:
        if self._must_end():
            return True
        is_window_open = self._handed_over_bytes < self._window_bytes
        return is_window_open and bool(self._unsent or self._with_shed)

    def _must_end(self) -> bool:
        return self._failure is not None or self._is_closed or (self._is_closing and self._is_empty())

    def _pump(self) -> None:
        """Hand over as much as the window takes, in order. On the publisher's own thread."""
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work)
                if self._must_end():
                    return
                batch: list[tuple[CameraLedger, Frame]] = []
                while self._unsent and self._handed_over_bytes < self._window_bytes:
                    ledger, frame = self._unsent.popleft()
                    self._unsent_bytes -= len(frame.data)
                    if not self._handed_over_bytes:
                        self._answered_s = time.monotonic()  # nothing was waited for until now
                    self._handed_over_bytes += len(frame.data)
                    batch.append((ledger, frame))
                notices = self._notices()
            for ledger, frame in batch:
                self._send_frame(ledger, frame)
            for message in notices:
                self._send_notice(message)

    def _notices(self) -> list[Message]:
        """Write `skipped` results for shed frames, as far as the window reaches. With the lock."""
        messages: list[Message] = []
        for key, ledger in list(self._with_shed.items()):
            if self._handed_over_bytes >= self._window_bytes:
                break
            for sequence, captured_at_us in ledger.shed.take(_SKIPPED_AT_A_TIME):
                skipped = Skipped(
                    camera=ledger.camera,
                    sequence=sequence,
                    captured_at=format_us(captured_at_us),
                    reason=SKIPPED_CAMERA_BUFFER_FULL,
                )
                identity = frame_id(ledger.camera, ledger.session, sequence)
                source = camera_source(ledger.camera)
                messages.append(write_outcome(skipped, identity, source, now_us(), new_traceparent()))
                self._handed_over_bytes += _SKIPPED_BYTES
            if not ledger.shed:
                del self._with_shed[key]
        return messages

    def _send_frame(self, ledger: CameraLedger, frame: Frame) -> None:
        sending = self._telemetry.sending(frame)
        message = write_frame(frame)
        future = self._hand_over(self._topics.frames, message)
        if future is None:
            return
        future.add_callback(self._frame_sent, ledger, len(frame.data), sending)
        future.add_errback(self._refused, self._topics.frames, sending)

    def _send_notice(self, message: Message) -> None:
        future = self._hand_over(self._topics.results, message)
        if future is None:
            return
        future.add_callback(self._notice_sent)
        future.add_errback(self._refused, self._topics.results, None)

    def _hand_over(self, topic: str, message: Message) -> Any:
        """Give a message to kafka-python, trying again while it does not know the topic's partitions."""
        while not (self._failure or self._is_closed):
            try:
                return self._producer.send(
                    topic, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms
                )
            except kafka.errors.KafkaTimeoutError:
                with self._changed:  # the broker is away; wait, but not longer than a closing one has to
                    self._changed.wait_for(lambda: self._failure is not None or self._is_closed, _RETRY_S)
            except kafka.errors.KafkaError as exc:
                self._refused(topic, None, exc)
        return None

    def _frame_sent(self, ledger: CameraLedger, size_bytes: int, sending: Sending, _: Any) -> None:
        self._telemetry.sent(sending)
        with self._changed:
            self._answered_s = time.monotonic()
            ledger.sent += 1
            self._handed_over_bytes -= size_bytes
            self._undelivered -= 1
            self._changed.notify_all()

    def _notice_sent(self, _: Any) -> None:
        with self._changed:
            self._handed_over_bytes -= _SKIPPED_BYTES
            self._undelivered -= 1
            self._changed.notify_all()

    def _refused(self, topic: str, sending: Sending | None, exc: BaseException) -> None:
        """Give up: what is left in the window was retried by kafka-python for as long as it makes sense."""
        if sending is not None:
            self._telemetry.failed(sending, exc)
        with self._changed:
            self._failure = self._failure or FramesRefusedError(f"Kafka refuses messages for {topic}: {exc}")
            self._changed.notify_all()
