"""A producer of Kafka transactions whose every call comes to an end.

kafka-python 3.0.12 waits without a time-out for what ends a transaction, and can wait for ever: after a broker was
killed and started again, the answer to a request may never be handed on. Here a transaction has its time, the same
after which the broker aborts it; beyond that the producer is of no more use.
"""

import time
from collections.abc import Iterable
from typing import Any

import kafka.errors

from messaging.cloudevents import Message
from messaging.errors import (
    BrokerUnavailableError,
    FencedProducerError,
    MessagingError,
    StuckTransactionError,
)
from messaging.kafka import DAY_MS, Kafka, close_producer


class Transactions:
    """One transaction after the other, for one thread. What the broker refuses raises `kafka.errors.KafkaError`."""

    def __init__(self, cluster: Kafka, transactional_id: str, timeout_s: float) -> None:
        """Connect, and end whatever an earlier owner of the id left open.

        Args:
            cluster: Where the topics are.
            transactional_id: Whoever asks for the same one later fences this producer.
            timeout_s: The broker aborts a transaction that is open for longer.

        Raises:
            BrokerUnavailableError: No broker answers.
            MessagingError: The broker refuses: the id is not allowed here, or the time-out is beyond its limit.
        """
        self._timeout_s = timeout_s
        self._began_s = 0.0
        self._producer = cluster.producer(
            linger_ms=0,  # whoever commits waits for all of them
            delivery_timeout_ms=DAY_MS,
            transactional_id=transactional_id,
            transaction_timeout_ms=round(timeout_s * 1000),
        )
        self._manager = self._producer._transaction_manager  # noqa: SLF001 - no public call has a time-out
        # After INVALID_PRODUCER_EPOCH kafka-python asks for a new epoch: a fenced producer would fence its successor.
        self._manager._supports_epoch_bump = lambda: False  # noqa: SLF001 - there is no public way
        try:
            self._producer.init_transactions()
        except BaseException as exc:
            self.close(0.0)
            if isinstance(exc, kafka.errors.KafkaTimeoutError):
                raise BrokerUnavailableError.at(cluster.bootstrap_servers) from exc
            if isinstance(exc, kafka.errors.KafkaError):
                raise MessagingError(f"Kafka refuses transactions of {transactional_id}: {exc}") from exc
            raise

    def begin(self) -> None:
        """Begin a transaction; its time counts from here."""
        self._began_s = time.monotonic()
        self._producer.begin_transaction()

    def send(self, topic: str, message: Message) -> Any:
        """Send a record in it; the future is kafka-python's."""
        try:
            return self._producer.send(topic, message.value, message.key, message.headers)
        except kafka.errors.KafkaTimeoutError as exc:
            raise kafka.errors.KafkaTimeoutError(f"topic {topic} is not there, or Kafka is away") from exc

    def wait_for(self, futures: Iterable[Any]) -> None:
        """Wait until the broker has these records.

        Raises:
            StuckTransactionError: It did not answer in the transaction's time.
        """
        # Not `flush`: it fails where a request is too large and is sent again in parts.
        for future in futures:
            try:
                future.get(max(self._left_s(), 0.001))
            except kafka.errors.KafkaTimeoutError as exc:
                if future.is_done:
                    raise
                raise self._stuck("a record") from exc

    def send_offsets(self, offsets: dict[Any, Any], group_metadata: Any) -> None:
        """Add a group's offsets to it.

        Raises:
            StuckTransactionError: The broker did not answer in the transaction's time.
        """
        self._finish(self._manager.send_offsets_to_transaction(offsets, group_metadata), "the offsets")

    def commit(self) -> None:
        """Commit it.

        Raises:
            StuckTransactionError: The broker did not answer in the transaction's time; it may be committed.
        """
        self._finish(self._manager.begin_commit(), "the commit")

    def abort(self) -> None:
        """Abort it, and be ready for the next.

        Raises:
            StuckTransactionError: The broker did not answer in the transaction's time.
            FencedProducerError: There is nothing to abort any more.
        """
        why = self._manager.last_error
        try:
            self._finish(self._manager.begin_abort(), "the end")
        except kafka.errors.KafkaError as exc:
            why = why or self._manager.last_error or exc
            if isinstance(why, (kafka.errors.ProducerFencedError, kafka.errors.InvalidProducerEpochError)):
                raise FencedProducerError(str(why), has_outlived=self._left_s() <= 0) from exc
            raise StuckTransactionError(f"a transaction cannot be aborted ({exc}): {why}") from exc
        # kafka-python keeps offsets that were refused, and would commit them with the next transaction.
        self._manager._pending_txn_offset_commits.clear()  # noqa: SLF001 - there is no public way

    @property
    def error(self) -> BaseException | None:
        """Why the transaction cannot be committed; None where it can."""
        error: BaseException | None = self._manager.last_error
        return error

    def close(self, timeout_s: float) -> None:
        """Let the connection go, for `timeout_s` at most; an open transaction stays open."""
        close_producer(self._producer, timeout_s)

    def _left_s(self) -> float:
        return self._began_s + self._timeout_s - time.monotonic()

    def _finish(self, result: Any, what: str) -> None:
        self._producer._sender.wakeup()  # noqa: SLF001 - as kafka-python's own calls do
        if not result.wait(timeout_ms=max(self._left_s() * 1000, 1.0)):
            raise self._stuck(what)

    def _stuck(self, what: str) -> StuckTransactionError:
        return StuckTransactionError(f"Kafka did not acknowledge {what} of a transaction within {self._timeout_s:g} s")
