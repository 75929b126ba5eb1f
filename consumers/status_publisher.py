"""Sending a worker's reports: beside its outcomes, so that neither can break the other's producer."""

import logging
from collections.abc import Callable
from typing import Any

import kafka.errors

from consumers.outcomes import ConsumerIdentity
from messaging.cloudevents import Message
from messaging.kafka import DAY_MS, Kafka, close_producer

log = logging.getLogger(__name__)

_LINGER_MS = 0


class StatusPublisher:
    """One producer for what is no frame's outcome."""

    def __init__(self, cluster: Kafka, identity: ConsumerIdentity) -> None:
        """Remember where to; `open` connects."""
        self.cluster = cluster
        self.identity = identity
        self._producer: Any = None

    def open(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        self._producer = self.cluster.producer(linger_ms=_LINGER_MS, delivery_timeout_ms=DAY_MS)

    @property
    def is_open(self) -> bool:
        """Whether it is connected."""
        return self._producer is not None

    def send(self, topic: str, message: Message, finished: Callable[[], None]) -> None:
        """Send a report; `finished` is called in any case."""

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
