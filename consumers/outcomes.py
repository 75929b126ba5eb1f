"""Saying what became of each frame: results and dead letters, in each partition's order."""

import logging
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import kafka.errors
import numpy as np

from consumers.batch import Batch, Kind, Outgoing
from consumers.errors import PublishError
from consumers.ledger import Entry
from consumers.telemetry import ConsumerTelemetry
from engine.models.spec import ClassifierSpec
from messaging.cloudevents import Message
from messaging.dead_letter import write_dead_letter
from messaging.frame import Frame
from messaging.kafka import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES, Kafka, close_producer
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Outcome,
    Skipped,
    Timed,
    group_source,
    write_outcome,
)
from messaging.timestamps import format_us, now_us
from messaging.topics import TopicNames, max_message_bytes

log = logging.getLogger(__name__)

#: Results wait for a broker that went away; what bounds them is the bound on frames in flight.
_DELIVERY_TIMEOUT_MS = 24 * 3600 * 1000
#: Several results go in one request; a batch of them leaves after this at the latest.
_LINGER_MS = 2


@dataclass(frozen=True, slots=True)
class ConsumerIdentity:
    """Who says it: the group, and what computes."""

    group: str
    device: str
    backend: str
    spec: ClassifierSpec
    slot: int = 0
    host: str = socket.gethostname()


Acknowledged = Callable[[Entry[Outgoing], Outgoing], None]
Failed = Callable[[PublishError], None]


class OutcomePublisher:
    """Writes outcomes and hands them to a Kafka producer.

    `send` comes from one thread, in order; the callbacks come from the producer's own thread and must be short.
    """

    def __init__(
        self, cluster: Kafka, topics: TopicNames, identity: ConsumerIdentity, telemetry: ConsumerTelemetry
    ) -> None:
        """Remember where to; `open` connects."""
        self.cluster = cluster
        self._topics = topics
        self.identity = identity
        self._telemetry = telemetry
        self._source = group_source(identity.group)
        self._producer: Any = None
        self._max_dead_letter_bytes = MAX_FRAME_BYTES

    def open(self, acknowledged: Acknowledged, failed: Failed) -> None:
        """Connect.

        Args:
            acknowledged: Called for every outcome that the broker has.
            failed: Called where an outcome was refused for good.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        self._acknowledged = acknowledged
        self._failed = failed
        # What the topic's own limit leaves for a frame's bytes; an idempotent producer does not survive a refusal.
        limit = max_message_bytes(self.cluster, self._topics.dead_letters)
        self._max_dead_letter_bytes = max(limit - (MAX_MESSAGE_BYTES - MAX_FRAME_BYTES), 0)
        self._producer = self.cluster.producer(linger_ms=_LINGER_MS, delivery_timeout_ms=_DELIVERY_TIMEOUT_MS)

    def send(self, entry: Entry[Outgoing]) -> None:
        """Publish an entry's outcome; where there is nothing to publish it is acknowledged at once."""
        outgoing = entry.outgoing
        if outgoing is None:
            raise ValueError("an entry without an outcome is acknowledged, not sent")
        if outgoing.kind == "dead-lettered":
            topic = self._topics.dead_letters
            message = self._dead_letter(outgoing)
        else:
            topic = self._topics.results
            message = self._result(outgoing)
        self._hand_over(entry, outgoing, topic, message)

    def send_aside(self, topic: str, message: Message, finished: Callable[[], None]) -> None:
        """Publish something that is no frame's outcome: the worker's status; `finished` is called in any case."""

        def failed(exc: BaseException) -> None:
            log.warning("the worker's status was not sent to %s: %s", topic, exc)
            finished()

        try:
            future = self._producer.send(topic, message.value, message.key, message.headers)
        except kafka.errors.KafkaError as exc:
            failed(exc)
            return
        future.add_callback(lambda _: finished())
        future.add_errback(failed)

    def close(self, timeout_s: float) -> None:
        """Send what is left, for `timeout_s` at most; closing twice is harmless."""
        if self._producer is not None:
            close_producer(self._producer, timeout_s)
            self._producer = None

    def _hand_over(self, entry: Entry[Outgoing], outgoing: Outgoing, topic: str, message: Message) -> None:
        try:
            future = self._producer.send(topic, message.value, message.key, message.headers)
        except kafka.errors.KafkaError as exc:
            self._refused(entry, outgoing, topic, exc)
            return
        future.add_callback(self._delivered, entry, outgoing)
        future.add_errback(self._refused, entry, outgoing, topic)

    def _delivered(self, entry: Entry[Outgoing], outgoing: Outgoing, _: Any) -> None:
        self._acknowledged(entry, outgoing)

    def _refused(self, entry: Entry[Outgoing], outgoing: Outgoing, topic: str, exc: BaseException) -> None:
        """Give up: kafka-python has tried for as long as it makes sense, and its producer is of no more use."""
        del entry
        frame = outgoing.frame
        self._failed(
            PublishError(
                f"Kafka refused the outcome of frame {frame.frame_id} "
                f"({frame.topic}-{frame.partition} offset {frame.offset}) on {topic}: {exc}"
            )
        )

    def _dead_letter(self, outgoing: Outgoing) -> Message:
        traceparent = self._telemetry.sent(outgoing.frame, self._topics.dead_letters)
        return write_dead_letter(
            outgoing.frame,
            self.identity.group,
            outgoing.reason,
            outgoing.error,
            max_value_bytes=self._max_dead_letter_bytes,
            traceparent=traceparent,
        )

    def _result(self, outgoing: Outgoing) -> Message:
        frame = outgoing.frame
        outcome: Outcome
        if outgoing.kind == "skipped":
            outcome = Skipped(
                camera=frame.camera,
                sequence=frame.sequence,
                captured_at=format_us(frame.captured_at_us),
                reason=outgoing.reason,
                group=self.identity.group,
                source=_location(frame),
            )
        else:
            outcome = self._answer(outgoing)
        traceparent = self._telemetry.sent(frame, self._topics.results)
        return write_outcome(outcome, frame.frame_id, self._source, now_us(), traceparent, frame.tracestate)

    def _answer(self, outgoing: Outgoing) -> Classified | Timed:
        batch, polled, frame, row = outgoing.batch, outgoing.polled, outgoing.frame, outgoing.row
        if batch is None or polled is None or batch.inference is None:
            raise ValueError("a classified frame has a batch with an inference")
        inference, spec = batch.inference, self.identity.spec
        handed_over_s = time.monotonic()
        transport_ms = (polled.polled_at_us - frame.captured_at_us) / 1000
        moments = (
            polled.polled_at_s,
            batch.taken_at_s,
            batch.decoded_at_s,
            inference.started_at_s,
            inference.finished_at_s,
            handed_over_s,
        )
        parts = [transport_ms, *((after - before) * 1000 for before, after in pairwise(moments))]
        transport, batch_wait, decode, device_wait, computing, order_wait = (round(part, 3) for part in parts)
        total = round(transport + batch_wait + decode + device_wait + computing + order_wait, 3)
        shared: dict[str, Any] = {
            "camera": frame.camera,
            "sequence": frame.sequence,
            "captured_at": format_us(frame.captured_at_us),
            "group": self.identity.group,
            "model": spec.name,
            "model_digest": spec.digest,
            "device": self.identity.device,
            "backend": self.identity.backend,
            "simulated": inference.simulated,
            "batch": BatchShape(len(batch.frames), batch.capacity),
            "latency_ms": LatencyParts(transport, batch_wait, decode, device_wait, computing, order_wait, total),
            "source": _location(frame),
            "truth": frame.truth,
        }
        if batch.top is None or batch.scores is None:
            return Timed(**shared)
        classes = tuple(
            ClassScore(spec.labels[index], round(score, 6))
            for index, score in zip(batch.top[row].tolist(), batch.scores[row].tolist(), strict=True)
        )
        return Classified(label=classes[0].label, score=classes[0].score, classes=classes, **shared)


def outcomes_of(batch: Batch) -> list[tuple[Entry[Outgoing], Outgoing]]:
    """Return what is to be said about each frame of a batch that came through the pipeline."""
    kind: Kind = "timed" if batch.top is None else "classified"
    unanswered = set() if batch.scores is None else set(np.flatnonzero(np.isnan(batch.scores[:, 0])).tolist())
    answered = [
        (
            polled.entry,
            Outgoing("dead-lettered", polled.frame, "inference-failed", "the model's answer is not a number"),
        )
        if row in unanswered
        else (polled.entry, Outgoing(kind, polled.frame, polled=polled, batch=batch, row=row))
        for row, polled in enumerate(batch.good)
    ]
    return answered + rejections_of(batch)


def rejections_of(batch: Batch) -> list[tuple[Entry[Outgoing], Outgoing]]:
    """Return what is to be said about the frames of a batch that did not reach the device."""
    return [
        (
            rejected.polled.entry,
            Outgoing(rejected.kind, rejected.polled.frame, rejected.reason, rejected.error),
        )
        for rejected in batch.rejected
    ]


def _location(frame: Frame) -> FrameLocation:
    return FrameLocation(frame.topic, frame.partition, frame.offset)
