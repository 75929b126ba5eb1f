"""Exactly-once: outcomes and the offsets of their frames in one Kafka transaction per commit interval."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Any, TypeVar

import kafka.errors

from consumers.batch import Outgoing
from consumers.delivery import Delivered, Delivery, Failed
from consumers.errors import ConsumerError, FencedError, PublishError
from consumers.events import Events
from consumers.in_flight import InFlight
from consumers.ledger import Entry
from consumers.outcomes import OutcomeWriter
from consumers.patience import Awaited
from consumers.slots import Slot, Slots
from consumers.subscription import FrameSubscription, Membership
from consumers.wakefulness import Wakefulness
from messaging.cloudevents import Message
from messaging.errors import BrokerUnavailableError, FencedProducerError, MessagingError, StuckTransactionError
from messaging.kafka import Kafka
from messaging.transactions import Transactions

log = logging.getLogger(__name__)

#: A transaction that fails for a reason that time does not heal is tried so often.
_MAX_FAILURES = 3
_RETRY_S = 0.5

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class TransactionOptions:
    """How transactions are made.

    Attributes:
        interval_s: Outcomes wait this long for company at the most.
        timeout_s: The broker aborts a transaction that is open for longer.
        early_frames: So many finished outcomes wait no longer.
        session_s: A worker that stands still for so long is taken for dead.
    """

    interval_s: float = 0.25
    timeout_s: float = 30.0
    early_frames: int = 64
    session_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _Finished:
    """A released entry and what is said about it; without a topic there is nothing to say."""

    entry: Entry[Outgoing]
    outgoing: Outgoing | None
    topic: str = ""
    message: Message | None = None


class ExactlyOnce(Delivery):
    """Commits on a thread of its own, `transactions`, while decoding and inference go on.

    Finished outcomes wait here until they are committed; they count as in flight until then, and so are bounded in
    bytes. After an abort the same outcomes go into the next transaction. Those of partitions that were given up in the
    meantime are dropped: whoever holds them now begins at the last commit.
    """

    def __init__(
        self,
        cluster: Kafka,
        writer: OutcomeWriter,
        frames: FrameSubscription,
        in_flight: InFlight[Outgoing],
        events: Events,
        slots: tuple[Slots, Slot],
        options: TransactionOptions,
    ) -> None:
        """Put it together; `open` connects.

        Args:
            cluster: Where the topics are.
            writer: Writes outcomes as records.
            frames: Whose offsets are committed.
            in_flight: Where they come from.
            events: Notes what was sent and committed.
            slots: The group's on this machine, and this worker's own, which names its transactions.
            options: How often, and how long.
        """
        self._cluster = cluster
        self._writer = writer
        self._frames = frames
        self._in_flight = in_flight
        self._telemetry = writer.telemetry
        self._events = events
        self._slots, self._slot = slots
        self._options = options
        self._changed = Condition()
        self._waiting: deque[_Finished] = deque()
        self._is_committing = False
        self._is_open = False  # whether the broker may have a transaction of this worker's
        self._may_be_committed = False
        self._is_held = False
        self._must_look_for_the_dead = True
        self._is_hurried = False
        self._is_closing = False
        self._has_failed = False
        self._failures = 0
        self._next_s = 0.0
        self._next_try_s = 0.0
        self._wakefulness = Wakefulness(options.session_s, time.monotonic())
        self._awaited: Awaited | None = None
        self._calls = 0
        self._thread = Thread(target=self._run, name="transactions", daemon=True)

    def open(self, delivered: Delivered, failed: Failed) -> None:
        """Connect, and end what an earlier holder of the slot left open; see `Delivery.open`."""
        self._delivered = delivered
        self._failed = failed
        self._writer.open()
        self._slot.begin_transactions()
        self._transactions = self._transactions_of(self._slot)
        self._thread.start()

    def send(self, entry: Entry[Outgoing]) -> None:
        """Let an entry's outcome wait for the next transaction."""
        outgoing = entry.outgoing
        topic, message = self._writer.write(outgoing) if outgoing is not None else ("", None)
        with self._changed:
            self._waiting.append(_Finished(entry, outgoing, topic, message))
            if len(self._waiting) in (1, self._options.early_frames):
                self._changed.notify_all()

    def tend(self, now_s: float) -> None:
        """Watch whether this process stood still."""
        with self._changed:
            self._wakefulness.awake(now_s)

    @property
    def awaited(self) -> Awaited | None:
        """The answer to a call."""
        return self._awaited

    def hurry(self) -> None:
        """Commit what waits at once."""
        with self._changed:
            self._wakefulness.awake(time.monotonic())  # the poll loop waits for a rebalance, and does not stand still
            self._is_hurried = True
            self._changed.notify_all()

    def hold(self) -> bool:
        """Begin no further transaction; tell whether none is under way."""
        with self._changed:
            self._wakefulness.awake(time.monotonic())  # as above
            self._is_held = True
            return self._has_failed or not self._is_committing

    def go_on(self) -> None:
        """Let transactions begin again."""
        with self._changed:
            self._is_held = False
            self._changed.notify_all()

    def assigned(self) -> None:
        """Look for transactions that a dead worker left open: they hold back everybody who reads committed data."""
        with self._changed:
            self._must_look_for_the_dead = True
            self._changed.notify_all()

    def finish(self, timeout_s: float) -> None:
        """Commit what waits."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._has_failed or not (self._waiting or self._is_committing), timeout_s)
            if self._waiting and not self._has_failed:
                log.warning(
                    "%d outcomes were not committed within %.1f s; their frames will be read again",
                    len(self._waiting),
                    timeout_s,
                )

    def close(self, timeout_s: float) -> None:
        """Let the connection go; a transaction that is still open is ended by whoever takes the slot next."""
        if self._thread.ident is None or self._is_closing:
            return
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        self._transactions.close(timeout_s)
        if not self._is_open:
            self._slot.end_transactions()

    # On the thread of its own.

    def _run(self) -> None:
        try:
            while self._wait_until_due():
                if self._must_look_for_the_dead:
                    self._end_what_the_dead_left_open()
                else:
                    self._commit()
        except (ConsumerError, MessagingError) as exc:
            self._end(exc)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the consumer has to end with it
            self._end(ConsumerError(f"the transactions of {self._transactional_id(self._slot)} ended: {exc}"))

    def _end(self, exc: ConsumerError | MessagingError) -> None:
        """Commit nothing more, and let nobody wait for it."""
        self._failed(exc)
        with self._changed:
            self._has_failed = True
            self._changed.notify_all()

    def _wait_until_due(self) -> bool:
        """Wait until there is something to do; False once it is to end."""
        with self._changed:
            while not self._is_closing:
                if self._must_look_for_the_dead:
                    return True
                if self._is_held or not self._waiting:
                    self._is_hurried = False
                    self._changed.wait()
                    continue
                is_early = self._is_hurried or len(self._waiting) >= self._options.early_frames
                left_s = max(self._next_try_s, 0.0 if is_early else self._next_s) - time.monotonic()
                if left_s <= 0:
                    self._is_hurried = False
                    return True
                self._changed.wait(left_s)
        return False

    def _commit(self) -> None:
        """Commit what waits in one transaction; on an error that can be aborted it waits again."""
        # First of all: frames that are still held after this were held by this generation of the group, or an older
        # one, and then the broker refuses the offsets.
        membership = self._frames.membership
        with self._changed:
            if self._is_held:
                return
            self._next_s = time.monotonic() + self._options.interval_s
            finished = [each for each in self._waiting if not each.entry.ledger.is_closed]
            self._waiting = deque(finished)
            if not finished:
                self._changed.notify_all()
                return
            self._is_committing = True
        began = time.time_ns(), time.monotonic()
        offsets = {each.entry.ledger.partition: each.entry.offset + 1 for each in finished}
        sent: list[tuple[_Finished, Any]] = []
        try:
            try:
                self._transact(finished, offsets, membership, sent)
            except (StuckTransactionError, kafka.errors.KafkaError) as exc:
                self._failures += 1
                if not self._recover(exc, offsets, membership, sent):
                    return
            self._failures = 0
            if self._events.are_wanted:
                self._events("committed", offsets=offsets)
            self._note(finished, began)
        finally:
            with self._changed:
                self._is_committing = False
                self._changed.notify_all()

    def _transact(
        self,
        finished: list[_Finished],
        offsets: dict[int, int],
        membership: Membership,
        sent: list[tuple[_Finished, Any]],
    ) -> None:
        """Send outcomes and offsets in one transaction.

        Args:
            finished: The outcomes.
            offsets: What is read on from, by partition.
            membership: Whose offsets they are.
            sent: Takes each outcome that was sent, and its future.

        Raises:
            StuckTransactionError: Kafka did not answer in time.
            kafka.errors.KafkaError: The transaction is still open.
        """
        transactions = self._transactions
        self._is_open, self._may_be_committed = True, False
        with self._calling("begin_transaction"):
            transactions.begin()
        with self._calling("send"):
            sent.extend(
                (each, transactions.send(each.topic, each.message)) for each in finished if each.message is not None
            )
            transactions.wait_for(future for _, future in sent)
        if self._events.are_wanted:
            self._events("produced", offsets={number: offset - 1 for number, offset in offsets.items()})
        with self._calling("send_offsets_to_transaction"):
            transactions.send_offsets(self._frames.commit_offsets(offsets), membership.metadata)
        self._may_be_committed = True
        with self._calling("commit_transaction"):
            transactions.commit()
        self._is_open = False

    def _recover(
        self, exc: Exception, offsets: dict[int, int], membership: Membership, sent: list[tuple[_Finished, Any]]
    ) -> bool:
        """End the transaction, and see whether it can go on; return whether it was committed after all.

        Raises:
            FencedError: Another worker has this one's partitions or its transactional id.
            PublishError: An outcome is refused, again and again.
            MessagingError: The broker refuses.
        """
        failed = ((each, future.exception) for each, future in sent if future.failed())
        refusals = [PublishError.of(each.outgoing.frame, each.topic, error) for each, error in failed if each.outgoing]
        why = self._transactions.error or exc
        if isinstance(exc, StuckTransactionError):
            return self._renew(exc, offsets)
        try:
            with self._calling("abort_transaction"):
                self._transactions.abort()
        except FencedProducerError as fenced:
            self._is_open = False  # whoever fenced it ended it
            if fenced.has_outlived:
                return self._renew(fenced, offsets)
            raise FencedError(
                f"transactional id {self._transactional_id(self._slot)} was taken over by another worker (those of one "
                "host need one --state-directory): this one ends, and nothing of its open transaction is published"
            ) from exc
        except StuckTransactionError as stuck:
            return self._renew(stuck, offsets)
        self._is_open = False
        if isinstance(why, (kafka.errors.CommitFailedError, kafka.errors.FencedInstanceIdError)):
            self._wait_for_another_membership(membership, why)
            return False
        log.warning("a transaction was aborted and is tried again: %s", why)
        if not isinstance(why, kafka.errors.RetriableError) and self._failures >= _MAX_FAILURES:
            raise next(iter(refusals), PublishError(f"transactions were aborted again and again: {why}")) from exc
        with self._changed:
            self._next_s = self._next_try_s = time.monotonic() + _RETRY_S * min(self._failures, _MAX_FAILURES)
        # kafka-python counts on from what was refused, and the broker would refuse whatever follows in its partition.
        return self._renew(refusals[0], offsets) if refusals else False

    def _renew(self, why: Exception, offsets: dict[int, int]) -> bool:
        """Put a new producer in the place of one that is of no more use, which ends its transaction.

        Returns:
            Whether that transaction was committed after all: its offsets say so.
        """
        log.warning("%s; a new producer takes over, as soon as Kafka answers", why)
        self._transactions.close(0.0)
        with self._calling("init_transactions"):
            renewed = self._until_kafka_answers(lambda: self._transactions_of(self._slot))
            if renewed is None:
                return False
            self._transactions, self._is_open = renewed, False
            if not self._may_be_committed:
                return False
            committed = self._until_kafka_answers(lambda: self._frames.committed(offsets))
        return committed is not None and all(committed[number] >= offset for number, offset in offsets.items())

    def _until_kafka_answers(self, ask: Callable[[], Answer]) -> Answer | None:
        """Ask until there is an answer; None once this is to end."""
        while not self._is_closing:
            try:
                return ask()
            except BrokerUnavailableError as exc:
                log.debug("Kafka is asked again: %s", exc)
                with self._changed:
                    self._changed.wait_for(lambda: self._is_closing, _RETRY_S)
        return None

    def _wait_for_another_membership(self, refused: Membership, why: BaseException) -> None:
        """Wait until this member knows what the group knows: a rebalance is over, or it was taken for dead.

        Raises:
            FencedError: It was taken for dead in the middle of a transaction because it stood still.
        """
        with self._changed:
            self._is_committing = False  # a rebalance under way waits for that, and this for the rebalance
            while not self._is_closing and self._frames.membership == refused:
                self._changed.wait(0.02)
            pause_s = self._wakefulness.pause_s(time.monotonic())
        if self._frames.membership.losses == refused.losses:
            return
        if pause_s:
            raise FencedError(
                f"this worker stood still for {pause_s:.1f} s, and group {self._frames.group} gave its "
                f"partitions to another: it ends, and nothing of its open transaction is published ({why})"
            )
        # It was Kafka that stood still: whatever is held again begins at the last commit.
        log.warning("group %s took this worker for dead; what it had in flight is dropped", self._frames.group)

    def _note(self, finished: list[_Finished], began: tuple[int, float]) -> None:
        """Tell the consumer what is committed for good."""
        frames = [each.outgoing.frame for each in finished if each.outgoing is not None]
        began_ns, began_s = began
        sampled = [frame for frame in frames if self._telemetry.wants(frame)]
        self._telemetry.committed(sampled, began_ns, time.monotonic() - began_s)
        with self._changed:
            for _ in finished:  # they stand first: what came meanwhile stands behind them
                self._waiting.popleft()
        for each in finished:
            self._delivered(each.entry, each.outgoing)
        self._in_flight.committed(self._in_flight.pending_commits())

    def _end_what_the_dead_left_open(self) -> None:
        with self._changed:
            self._must_look_for_the_dead = False
        try:
            with self._slots.left_open() as left_open:
                for slot in left_open:
                    name = self._transactional_id(slot)
                    with self._calling(f"init_transactions of {name}"):
                        self._transactions_of(slot).close(self._options.timeout_s)
                    slot.end_transactions()
                    log.info("ended whatever the worker in slot %d left open", slot.number)
        except (MessagingError, kafka.errors.KafkaError, OSError) as exc:
            log.warning("a dead worker's transaction may stay open for %g s: %s", self._options.timeout_s, exc)

    def _transactions_of(self, slot: Slot) -> Transactions:
        return Transactions(self._cluster, self._transactional_id(slot), self._options.timeout_s)

    def _transactional_id(self, slot: Slot) -> str:
        return self._writer.identity.worker_name(slot.number)

    @contextmanager
    def _calling(self, call: str) -> Iterator[None]:
        """Let the poll loop see what this thread waits for."""
        self._calls += 1
        self._awaited = Awaited(f"Kafka has not answered {call}", self._calls)
        try:
            yield
        finally:
            self._awaited = None
