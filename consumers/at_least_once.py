"""At-least-once: outcomes go out as they come; an offset is committed when all outcomes below it are acknowledged."""

import time
from typing import Any

import kafka.errors

from consumers.batch import Outgoing
from consumers.committer import Committer
from consumers.delivery import Delivered, Delivery, Failed
from consumers.errors import PublishError
from consumers.events import Events
from consumers.ledger import Entry
from consumers.outcomes import OutcomeWriter
from consumers.patience import Awaited
from messaging.kafka import DAY_MS, Kafka, close_producer

#: Several results go in one request; a batch of them leaves after this at the latest.
_LINGER_MS = 2
_LOOK_S = 0.01


class AtLeastOnce(Delivery):
    """Hands outcomes to an idempotent producer. After a crash, what was not yet committed is said again."""

    def __init__(self, cluster: Kafka, writer: OutcomeWriter, committer: Committer, events: Events) -> None:
        """Remember where to; `open` connects."""
        self._cluster = cluster
        self._writer = writer
        self._committer = committer
        self._events = events
        self._producer: Any = None
        self._sent = 0  # by the thread that sends
        self._acknowledged = 0  # by the producer's

    def open(self, delivered: Delivered, failed: Failed) -> None:
        """Connect; see `Delivery.open`."""
        self._delivered = delivered
        self._failed = failed
        self._writer.open()
        self._producer = self._cluster.producer(linger_ms=_LINGER_MS, delivery_timeout_ms=DAY_MS)

    def send(self, entry: Entry[Outgoing]) -> None:
        """Hand an entry's outcome over; one without is delivered at once."""
        outgoing = entry.outgoing
        if outgoing is None:
            self._delivered(entry, None)
            return
        topic, message = self._writer.write(outgoing)
        self._sent += 1
        sent_at_s = time.monotonic()
        try:
            future = self._producer.send(topic, message.value, message.key, message.headers)
        except kafka.errors.KafkaError as exc:
            self._refused(outgoing, topic, exc)
            return
        future.add_callback(self._arrived, entry, outgoing, topic, sent_at_s)
        future.add_errback(self._refused, outgoing, topic)

    def tend(self, now_s: float) -> None:
        """Commit if it is time."""
        self._committer.commit_if_due(now_s)

    @property
    def awaited(self) -> Awaited | None:
        """The acknowledgement of an outcome."""
        if self._sent == self._acknowledged:
            return None
        return Awaited("Kafka has not acknowledged any outcome", self._acknowledged)

    def finish(self, timeout_s: float) -> None:
        """Wait for what is on its way, and commit what is acknowledged."""
        deadline_s = time.monotonic() + timeout_s
        while self._sent > self._acknowledged and time.monotonic() < deadline_s - timeout_s / 2:
            time.sleep(_LOOK_S)
        self._committer.commit_now(max(deadline_s - time.monotonic(), 0.0))

    def close(self, timeout_s: float) -> None:
        """Send what is left, and let the connection go."""
        if self._producer is not None:
            close_producer(self._producer, timeout_s)
            self._producer = None

    # On the producer's thread, which swallows what a callback raises.

    def _arrived(self, entry: Entry[Outgoing], outgoing: Outgoing, topic: str, sent_at_s: float, _: Any) -> None:
        self._writer.telemetry.acknowledged(outgoing, topic, time.monotonic() - sent_at_s)
        if self._events.are_wanted:
            self._events("produced", offsets={outgoing.frame.partition: outgoing.frame.offset})
        self._committer.acknowledged(outgoing.frame)
        self._delivered(entry, outgoing)
        self._acknowledged += 1

    def _refused(self, outgoing: Outgoing, topic: str, exc: BaseException) -> None:
        """Give up: kafka-python has tried for as long as it makes sense, and its producer is of no more use."""
        self._failed(PublishError.of(outgoing.frame, topic, exc))
