"""What is said about each frame: who says it, and how it is written as a result or a dead letter."""

import hashlib
import re
import socket
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from consumers.batch import Batch, Kind, Outgoing
from consumers.batch_deadline import BatchDeadline
from consumers.ledger import Entry
from consumers.telemetry import ConsumerTelemetry
from messaging.cloudevents import Message
from messaging.dead_letter import write_dead_letter
from messaging.frame import Frame
from messaging.kafka import MAX_MESSAGE_BYTES, Kafka
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


@dataclass(frozen=True, slots=True)
class ConsumerIdentity:
    """Who says it: the group, and what computes."""

    group: str
    device: str
    backend: str
    slot: int = 0
    host: str = socket.gethostname()

    def worker_name(self, slot: int) -> str:
        """Return the name of the worker in a slot beside this one's; it names that worker's transactions."""
        return f"{self.group}/{self.host}/{self.device}/{slot}"

    @property
    def member_name(self) -> str:
        """The name of a static member of the group, of the letters that Kafka allows in one."""
        name = self.worker_name(self.slot)
        legible = re.sub(r"[^A-Za-z0-9._-]", "-", name)[:180]
        return f"{legible}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


class OutcomeWriter:
    """Writes what is to be said about a frame as a record: a result, or a dead letter."""

    def __init__(
        self,
        cluster: Kafka,
        topics: TopicNames,
        identity: ConsumerIdentity,
        telemetry: ConsumerTelemetry,
        deadline: BatchDeadline,
    ) -> None:
        """Remember who says it, and who wants to know how long batches take."""
        self.identity = identity
        self.telemetry = telemetry
        self._cluster = cluster
        self._deadline = deadline
        self._topics = topics
        self._source = group_source(identity.group)
        self._max_dead_letter_bytes = MAX_MESSAGE_BYTES

    def open(self) -> None:
        """Ask what the dead-letter topic can take: no producer survives a refusal.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        self._max_dead_letter_bytes = max_message_bytes(self._cluster, self._topics.dead_letters)

    def write(self, outgoing: Outgoing) -> tuple[str, Message]:
        """Return the topic and the record."""
        if outgoing.kind == "dead-lettered":
            return self._topics.dead_letters, self._dead_letter(outgoing)
        return self._topics.results, self._result(outgoing)

    def _dead_letter(self, outgoing: Outgoing) -> Message:
        traceparent = self.telemetry.sent(outgoing.frame, self._topics.dead_letters)
        return write_dead_letter(
            outgoing.frame,
            self.identity.group,
            outgoing.reason,
            outgoing.error,
            max_message_bytes=self._max_dead_letter_bytes,
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
        traceparent = self.telemetry.sent(frame, self._topics.results)
        return write_outcome(outcome, frame.frame_id, self._source, now_us(), traceparent, frame.tracestate)

    def _answer(self, outgoing: Outgoing) -> Classified | Timed:
        batch, polled, frame, row = outgoing.batch, outgoing.polled, outgoing.frame, outgoing.row
        if batch is None or polled is None or batch.inference is None:
            raise ValueError("a classified frame has a batch with an inference")
        inference, spec = batch.inference, batch.run_by.spec
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
        outgoing.latency = LatencyParts(transport, batch_wait, decode, device_wait, computing, order_wait, total)
        batch.answered += 1
        self.telemetry.answered(batch, outgoing.latency)
        if batch.answered == len(batch.good):
            self._deadline.note(handed_over_s - batch.sent_at_s)
        shared: dict[str, Any] = {
            "camera": frame.camera,
            "sequence": frame.sequence,
            "captured_at": format_us(frame.captured_at_us),
            "group": self.identity.group,
            "model": spec.name,
            "model_digest": spec.digest,
            "device": inference.device or self.identity.device,
            "backend": inference.backend or self.identity.backend,
            "degraded": inference.is_degraded,
            "simulated": inference.simulated,
            "batch": BatchShape(len(batch.frames), batch.capacity),
            "latency_ms": outgoing.latency,
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
            Outgoing(rejected.kind, rejected.polled.frame, rejected.reason, rejected.error, rejected.polled, batch),
        )
        for rejected in batch.rejected
    ]


def _location(frame: Frame) -> FrameLocation:
    return FrameLocation(frame.topic, frame.partition, frame.offset)
