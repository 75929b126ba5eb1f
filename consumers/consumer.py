"""The consumer: frames in, micro-batches through the pipeline, one outcome per frame out, then the commit."""

import logging
import time
from concurrent.futures import Future
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any

from consumers.admission import Admission
from consumers.batch import Batch, Outgoing, PolledFrame
from consumers.bisection import after_failure, after_success
from consumers.counts import Counts
from consumers.dead_letter_limits import DeadLetterLimits
from consumers.dead_letter_log import DeadLetterLog
from consumers.delivery import Delivery
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher
from consumers.errors import DeadLetterLimitError, DeviceFailedError
from consumers.events import Events
from consumers.in_flight import InFlight, PendingCommit
from consumers.ledger import Entry
from consumers.loop_time import LoopTime, RebalanceTime
from consumers.model_watch import ModelWatch
from consumers.outcomes import outcomes_of, rejections_of
from consumers.patience import Patience
from consumers.readings import Readings
from consumers.rebalance import Holder
from consumers.shadow import Shadow
from consumers.slots import Slot
from consumers.status import StatusReporter
from consumers.status_publisher import StatusPublisher
from consumers.subscription import FrameSubscription
from consumers.telemetry import ConsumerTelemetry
from engine.errors import DeviceLostError, InferenceError
from engine.pipeline.pipeline import Pipeline
from messaging.frame import Frame, read_frame
from messaging.outcome import SKIPPED_SUPERSEDED
from messaging.timestamps import now_us

log = logging.getLogger(__name__)

_MAX_POLL_RECORDS = 64
_IDLE_POLL_S = 0.2
_BUSY_POLL_S = 0.02
#: A batch that is still on its way this long after the drain will not come back.
_HUNG_AFTER_S = 2.0
_CLOSE_TIMEOUT_S = 5.0
_SHADOW_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class ConsumerOptions:
    """How a consumer works.

    Attributes:
        until_idle_s: End when no frame came and nothing was in flight for so long; None goes on for ever.
        drain_timeout_s: To finish what is in flight when told to stop.
    """

    until_idle_s: float | None = None
    drain_timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class ConsumerParts:
    """What a consumer is made of."""

    slot: Slot
    frames: FrameSubscription
    in_flight: InFlight[Outgoing]
    admission: Admission
    dispatcher: Dispatcher
    pipeline: Pipeline
    delivery: Delivery
    dead_letter_limits: DeadLetterLimits
    status: StatusPublisher
    telemetry: ConsumerTelemetry
    events: Events
    load: DeviceLoad
    watch: ModelWatch | None = None
    shadow: Shadow | None = None


class Consumer(Holder):
    """Runs the way of a frame for one device.

    Three kinds of threads meet here. The caller's runs the poll loop, commits and reports. The pipeline's decode and
    compute. One more, `outcomes`, resolves entries and publishes in each partition's order. (Exactly-once commits on
    a fourth.)
    """

    def __init__(self, parts: ConsumerParts, options: ConsumerOptions, status_topic: str) -> None:
        """Put the parts together; `run` starts them."""
        self._parts = parts
        self._options = options
        self.counts = Counts()
        #: Whether the device still held a batch at the end; its thread cannot be ended but with the process.
        self.is_hung = False
        self._in_flight = parts.in_flight
        self._delivery = parts.delivery
        self._finished: SimpleQueue[tuple[Batch, Future[Batch]] | None] = SimpleQueue()
        self._is_stopping = False
        self._is_closing = False
        self._until: Event | None = None
        self._stop_by_s: float | None = None
        self._failure: BaseException | None = None
        self._last_activity_s: float | None = None
        self._patience = Patience()
        self._status = StatusReporter(
            status_topic, parts.status, parts.frames, parts.pipeline, self.counts, parts.load, parts.telemetry
        )
        self._loop = LoopTime()
        self._rebalances = RebalanceTime()
        self._dead_letter_log = DeadLetterLog()
        #: What whoever watches may ask, from any thread.
        self.readings = Readings(
            self.counts,
            parts.dispatcher,
            parts.in_flight,
            parts.load,
            self._loop,
            self._rebalances,
            silence=lambda: self._patience.silence,
            utilisation=lambda: self._status.utilisation,
            is_draining=lambda: self._is_stopping,
        )
        parts.telemetry.show(self.readings.metrics)

    def run(self, until: Event) -> None:
        """Consume until told to stop, until idle, or until something fails for good.

        Raises:
            ConsumerError: What failed. Nothing that has no acknowledged outcome is committed.
            BrokerUnavailableError: No broker answers at the start.
            EngineError: The shadow model cannot be opened.
        """
        self._parts.dispatcher.open(lambda batch, future: self._finished.put((batch, future)), self._superseded)
        self._until = until
        publisher = Thread(target=self._publish, name="outcomes", daemon=True)
        try:
            if self._parts.shadow is not None:
                self.counts.shadow = self._parts.shadow.open()
            self._delivery.open(self._delivered, self._fail)
            self._parts.status.open()
            self._status.recall()
            self._parts.frames.open(self)
            self._parts.pipeline.start()
            publisher.start()
            if self._parts.watch is not None:
                self._parts.watch.start(self._parts.dispatcher, self._parts.load, self.counts)
            while not (until.is_set() or self._failure or self._is_idle()):
                self._turn()
            self._drain()
        except BaseException as exc:
            self._failure = self._failure or exc
            raise
        finally:
            self._shut(publisher)
        if self._failure is not None:
            raise self._failure

    def _turn(self) -> None:
        """Take frames where there is room, and do what is due."""
        room, held = self._in_flight.held()
        if room:
            timeout_s, began_ns, began_s = self._poll_timeout_s(), time.time_ns(), time.monotonic()
            self._loop.enter("poll", began_s)
            records = self._parts.frames.poll(timeout_s, min(room, _MAX_POLL_RECORDS), held)
            ended_s = time.monotonic()
            self._loop.enter("work", ended_s)
            if records:
                self._accept(records, began_ns, ended_s - began_s)
        else:
            self._loop.enter("back-pressure", time.monotonic())
            if not self._in_flight.wait_for_room(_BUSY_POLL_S):
                self._parts.frames.stay()
            self._loop.enter("work", time.monotonic())
        self._parts.dispatcher.dispatch()
        self._tend()
        self._report()

    def _tend(self) -> None:
        """Commit what is due, and warn when Kafka keeps silent."""
        now_s = time.monotonic()
        self._delivery.tend(now_s)
        self._patience.look(now_s, self._delivery.awaited or self._status.awaited)

    def _poll_timeout_s(self) -> float:
        """Return how long a poll may wait: until a batch is due, or something has to be looked after."""
        due_in_s = self._parts.dispatcher.due_in_s()
        if due_in_s is not None:
            return min(due_in_s, _BUSY_POLL_S)
        return _BUSY_POLL_S if len(self._in_flight) else _IDLE_POLL_S

    def _accept(self, records: list[Any], began_ns: int, polling_s: float) -> None:
        """Let each record in: to the batcher, or to an outcome at once."""
        polled_at_us, polled_at_s = now_us(), time.monotonic()
        self._last_activity_s = polled_at_s
        self.counts.began()
        frames = [read_frame(record) for record in records]
        self._status.read(frames)
        admitted: list[PolledFrame] = []
        for frame in frames:
            entry = self._in_flight.admit(frame.partition, frame.offset, frame.size_bytes)
            if self._parts.admission.passes_over(frame):
                self._in_flight.resolve(entry, None)
                continue
            checked = self._parts.admission.check(frame, polled_at_us)
            if isinstance(checked, Outgoing):
                self._in_flight.resolve(entry, checked)
            else:
                admitted.append(PolledFrame(entry, frame, checked, polled_at_us, polled_at_s))
        self._parts.dispatcher.add(admitted)
        self._parts.telemetry.polled(frames, began_ns, polling_s)
        if self._parts.events.are_wanted:
            self._parts.events("polled", count=len(frames), offsets=_offset_ranges(frames))
        if len(admitted) < len(frames):
            self._finished.put(None)

    def _superseded(self, polled: PolledFrame) -> None:
        """Skip a waiting frame that a newer one of its camera has made pointless."""
        self._in_flight.resolve(polled.entry, Outgoing("skipped", polled.frame, SKIPPED_SUPERSEDED))
        self._finished.put(None)

    def _publish(self) -> None:
        """Resolve what came through and publish what is next in its partition, until the queue says stop."""
        try:
            while True:
                item = self._finished.get()
                if item is not None:
                    self._resolve(*item)
                    self._parts.dispatcher.resolved(item[0])
                self._release()
                if item is None and self._is_stopping and self._finished.empty() and self._parts.dispatcher.is_idle:
                    return
        except Exception as exc:  # noqa: BLE001 - whatever it is, the consumer has to end with it
            self._fail(exc)

    def _resolve(self, batch: Batch, future: Future[Batch]) -> None:
        error = future.exception()
        if error is None:
            self._send(after_success(batch))
            outcomes = outcomes_of(batch)
            self.counts.batch(batch)
            if batch.inference is not None:
                self._parts.telemetry.processed(batch, time.monotonic())
            if self._parts.shadow is not None:
                self._parts.shadow.offer(batch)
        elif isinstance(error, InferenceError) and batch.good:
            outcomes = rejections_of(batch) + self._after_failure(batch, error)
        else:
            raise error
        for entry, outgoing in outcomes:
            self._in_flight.resolve(entry, outgoing)

    def _after_failure(self, batch: Batch, error: InferenceError) -> list[tuple[Entry[Outgoing], Outgoing]]:
        """Send the parts of a batch that the device refused; a frame that failed alone is dead-lettered."""
        health = batch.run_by.backend.health()
        # A device that was lost may be back by now: the batch was handed back all the same, and is at no fault.
        if isinstance(error, DeviceLostError) or not health.is_ready:
            raise DeviceFailedError(f"device {self._parts.status.identity.device} failed ({health.detail}): {error}")
        at_fault, batches = after_failure(batch)
        self._send(batches)
        if at_fault is not None:
            return [(at_fault.entry, Outgoing("dead-lettered", at_fault.frame, "inference-failed", str(error)))]
        log.warning("a batch of %d failed, looking for the frame at fault: %s", len(batch.good), error)
        return []

    def _send(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._parts.dispatcher.send(batch)

    def _release(self) -> None:
        for entry in self._in_flight.release():
            if self._failure is not None:
                return
            outgoing = entry.outgoing  # the delivery lets it go
            self._delivery.send(entry)
            if outgoing is not None and outgoing.kind != "skipped":
                reason = outgoing.reason if outgoing.kind == "dead-lettered" else None
                if (passed := self._parts.dead_letter_limits.note(reason)) is not None:
                    self._fail(DeadLetterLimitError(passed))

    def _delivered(self, entry: Entry[Outgoing], outgoing: Outgoing | None) -> None:
        """Note an outcome that the broker has. On a thread of the delivery's, which may swallow what this raises."""
        try:
            if outgoing is not None:
                latency_us = now_us() - outgoing.frame.captured_at_us
                digest = outgoing.batch.run_by.spec.digest if outgoing.batch is not None and outgoing.row >= 0 else ""
                self.counts.finished(outgoing.kind, outgoing.reason, latency_us / 1000, digest)
                self._parts.telemetry.finished(outgoing, latency_us / 1e6)
                if outgoing.kind == "dead-lettered":
                    self._dead_letter_log.note(outgoing, time.monotonic())
            self._in_flight.acknowledge(entry)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the consumer has to end with it
            self._fail(exc)

    def _fail(self, exc: BaseException) -> None:
        """End the run with the first failure; nothing unfinished is committed."""
        self._failure = self._failure or exc

    def _is_idle(self) -> bool:
        if self._options.until_idle_s is None or self._last_activity_s is None:
            return False
        if not self._in_flight.is_drained:
            self._last_activity_s = time.monotonic()
        return time.monotonic() - self._last_activity_s >= self._options.until_idle_s

    def _report(self, state: str = "running") -> None:
        if self._last_activity_s is None and state == "running":
            state = "starting"
        now_s = time.monotonic()
        if self._status.is_due(now_s, state):  # asked first: the figures take locks, at every turn of the loop
            self._status.report(now_s, state, self._parts.dispatcher, len(self._in_flight))

    def _drain(self) -> None:
        """Finish what is in flight, within the time-out, and commit it."""
        deadline_s = time.monotonic() + self._options.drain_timeout_s
        self._is_stopping = self._parts.dispatcher.is_draining = True
        while not self._failure and not self._in_flight.is_drained and time.monotonic() < deadline_s:
            self._parts.dispatcher.dispatch()
            self._finished.put(None)
            self._delivery.hurry()
            self._tend()
            self._loop.enter("work", time.monotonic())
            self._parts.frames.stay()  # a member that is silent in a rebalance is taken for dead
            self._in_flight.wait_until_drained(0.01)
            self._report("draining")
        if not self._failure and not self._in_flight.is_drained:
            log.warning(
                "%d frames were not finished within %.1f s; they are not committed and will be read again",
                len(self._in_flight),
                self._options.drain_timeout_s,
            )
        self._delivery.finish(max(deadline_s - time.monotonic(), 1.0))

    def _shut(self, publisher: Thread) -> None:
        """Close everything, whatever state it is in; the order keeps each part's users before it."""
        self._is_stopping = self._is_closing = True
        if self._parts.watch is not None:
            self._parts.watch.stop()
        self._parts.frames.close()
        self._parts.dispatcher.stop()
        self.is_hung = not self._parts.pipeline.close(_HUNG_AFTER_S)
        if publisher.ident is not None:
            self._finished.put(None)
            publisher.join(5.0)
        if self._parts.shadow is not None:
            self._parts.shadow.close(_SHADOW_TIMEOUT_S)
        self._delivery.close(_CLOSE_TIMEOUT_S)
        if self._parts.status.is_open:
            self._status.report(time.monotonic(), "failed" if self._failure else "stopped", self._parts.dispatcher, 0)
            self._parts.status.close(_CLOSE_TIMEOUT_S)
        if self._parts.watch is not None and not self.is_hung:
            self._parts.watch.close(_CLOSE_TIMEOUT_S)
        self._parts.slot.free()

    # What the subscription asks, on Kafka's I/O thread.

    def assigned(self, partitions: set[int]) -> None:
        """Begin these partitions' ledgers."""
        self._rebalances.given(time.monotonic())
        self._in_flight.assign(partitions)
        self._delivery.assigned()
        if partitions:
            self._last_activity_s = self._last_activity_s or time.monotonic()
            self._parts.events("assigned", partitions=sorted(partitions))

    def revoking(self, partitions: set[int]) -> None:
        """Drop what waits and is not begun; it will be polled again, here or elsewhere."""
        self._rebalances.taken(time.monotonic())
        self._parts.dispatcher.withdraw(partitions, self._in_flight.withdraw)

    def is_finished(self, partitions: set[int]) -> bool:
        """Tell whether everything begun for these partitions is acknowledged, or never will be."""
        self._delivery.hurry()
        return self._is_closing or self._failure is not None or self._in_flight.are_drained(partitions)

    def commits(self) -> dict[int, PendingCommit]:
        """Return what may be committed."""
        return self._in_flight.pending_commits()

    def is_settled(self) -> bool:
        """Hold the delivery's transactions; one that will never end is not waited for."""
        return self._delivery.hold() or self._failure is not None or self._is_closing or self._must_stop_by_now()

    def _must_stop_by_now(self) -> bool:
        """Tell whether this was told to stop, and its time to do so is over."""
        if self._until is None or not self._until.is_set():
            return False
        self._stop_by_s = self._stop_by_s or time.monotonic() + self._options.drain_timeout_s
        return time.monotonic() > self._stop_by_s

    def lost(self, partition: int, first: int, end: int) -> None:
        """Count frames that nobody can read any more, and let the watermark pass them."""
        self.counts.lost(end - first)
        self._parts.telemetry.lost(end - first, "retention")
        self._in_flight.resolve(self._in_flight.admit(partition, end - 1, 0), None)
        self._finished.put(None)

    def gave_up(self, partitions: set[int], *, is_lost: bool) -> dict[int, int]:
        """Close these partitions' ledgers, and let what still waits go."""
        self._rebalances.taken(time.monotonic())
        self._parts.dispatcher.discard(partitions)
        unfinished = self._in_flight.give_up(partitions)
        self._delivery.go_on()
        self._parts.events("lost" if is_lost else "revoked", partitions=sorted(partitions))
        return unfinished


def _offset_ranges(frames: list[Frame]) -> dict[int, list[int]]:
    """Return the first and the last offset of each partition."""
    ranges: dict[int, list[int]] = {}
    for frame in frames:
        ranges.setdefault(frame.partition, [frame.offset, frame.offset])[1] = frame.offset
    return ranges
