"""The consumer's metrics: their names, units and meanings, and when they are recorded.

Every call of the OpenTelemetry SDK costs about 10 µs, so what can be counted in plain numbers is, and the SDK looks at
it when it collects; a histogram is recorded once a frame for the latency, and once a micro-batch for its parts.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, Observation

from consumers.batch import Kind
from consumers.unread import Unread
from messaging import telemetry as names
from messaging.dead_letter import REASONS
from messaging.outcome import LATENCY_PARTS, SKIPPED_SUPERSEDED, SKIPPED_TOO_OLD
from messaging.telemetry import Metric

SCOPE: Final = "streamer.consumers"
#: Instruments that are looked at within this are of one collection.
_SAME_COLLECTION_S: Final = 0.05

FRAMES: Final = Metric("streamer.frames", "counter", "{frame}", "outcomes that the broker has", ("outcome", "reason"))
END_TO_END_DURATION: Final = Metric(
    "streamer.frame.end_to_end.duration",
    "histogram",
    "s",
    "capture to acknowledged (exactly-once: committed) result, of every frame that was classified or timed",
)
BATCH_PART_DURATION: Final = Metric(
    "streamer.batch.part.duration",
    "histogram",
    "s",
    "the parts of a frame's latency, mean over the frames of each micro-batch",
    ("part",),
    (0.0005, 0.001, 0.0025, *names.DURATION_BUCKETS_S),
)
BATCH_SIZE: Final = Metric(
    "streamer.batch.size", "histogram", "{frame}", "frames in a micro-batch", (), (1, 2, 4, 8, 16, 32, 64, 128, 256)
)
QUEUE_FRAMES: Final = Metric(
    "streamer.queue.frames",
    "gauge",
    "{frame}",
    "frames that wait for a batch, and all that are not committed",
    ("queue",),
)
QUEUE_SIZE: Final = Metric("streamer.queue.size", "gauge", "By", "and their bytes", ("queue",))
QUEUE_LIMIT: Final = Metric("streamer.queue.limit", "gauge", "By", "bytes not committed, at the most")
DEVICE_UTILISATION: Final = Metric(
    "streamer.device.utilisation", "gauge", "1", "share of the last second in which the device's places had batches"
)
DEVICE_ACTIVATIONS: Final = Metric("streamer.device.activations", "gauge", "{activation}", "batches on the device")
DEVICE_SLOTS: Final = Metric("streamer.device.slots", "gauge", "{activation}", "batches it takes at a time")
DEVICE_READY: Final = Metric("streamer.device.ready", "gauge", "", "1 while the device can be given work, else 0")
LAG: Final = Metric(
    "streamer.consumer.lag",
    "gauge",
    "{frame}",
    "frames that are not read yet, of each partition held",
    ("topic", "partition"),
)
LOSS_HORIZON: Final = Metric(
    "streamer.consumer.loss_horizon",
    "gauge",
    "s",
    "time until retention deletes unread frames, of each partition held where that is to be expected",
    ("topic", "partition"),
)
FRAMES_LOST: Final = Metric(
    "streamer.consumer.frames_lost", "counter", "{frame}", "frames that were deleted before they were read", ("reason",)
)
CLOCK_SKEW: Final = Metric(
    "streamer.clock_skew", "counter", "{frame}", "frames captured in the future: a camera's clock is ahead"
)
REBALANCES: Final = Metric(
    "streamer.consumer.rebalances", "counter", "{rebalance}", "times that partitions were shared anew"
)
REBALANCE_PAUSED: Final = Metric(
    "streamer.consumer.rebalance.paused", "counter", "s", "time without partitions that a rebalance had taken"
)
LOOP: Final = Metric(
    "streamer.consumer.loop",
    "counter",
    "s",
    "time of the poll loop: waiting for frames, working, waiting for room",
    ("phase",),
)
MODEL: Final = Metric("streamer.model", "gauge", "", "1 for the model that batches get now", ("model", "digest"))
MODEL_CHANGES: Final = Metric(
    "streamer.model.changes",
    "counter",
    "{change}",
    "new versions in the model store that were taken, or failed to load",
    ("outcome",),
)
SHADOW_FRAMES: Final = Metric(
    "streamer.shadow.frames",
    "counter",
    "{frame}",
    "classified frames whose top label the shadow model gives too, or not; and those it did not get to or failed",
    ("outcome",),
)
LATE_TRACES_DROPPED: Final = Metric(
    "streamer.traces.dropped",
    "counter",
    "{frame}",
    "slow, skipped or dead-lettered frames beyond what is traced a second",
)

METRICS: Final = (
    *(FRAMES, END_TO_END_DURATION, BATCH_PART_DURATION, BATCH_SIZE, QUEUE_FRAMES, QUEUE_SIZE, QUEUE_LIMIT),
    *(DEVICE_UTILISATION, DEVICE_ACTIVATIONS, DEVICE_SLOTS, DEVICE_READY, LAG, LOSS_HORIZON, FRAMES_LOST, CLOCK_SKEW),
    *(REBALANCES, REBALANCE_PAUSED, LOOP, MODEL, MODEL_CHANGES, SHADOW_FRAMES, LATE_TRACES_DROPPED),
    *(names.CLIENT_OPERATION_DURATION, names.CLIENT_SENT_MESSAGES, names.CLIENT_CONSUMED_MESSAGES),
    names.PROCESS_DURATION,
)

#: What can become of a frame in a consumer, so that each counter stands at 0 from the start.
OUTCOMES: Final[tuple[tuple[Kind, str], ...]] = (
    ("classified", ""),
    ("timed", ""),
    ("skipped", SKIPPED_TOO_OLD),
    ("skipped", SKIPPED_SUPERSEDED),
    *(("dead-lettered", reason) for reason in REASONS),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a consumer's counters and gauges show at one moment.

    Attributes:
        outcomes: Outcomes that the broker has, by kind and reason.
        waiting: Frames that wait for a micro-batch, and their bytes.
        in_flight: Frames polled and not committed, and their bytes.
        limit_bytes: Of those, at the most.
        utilisation: Share of the last second in which the device's places had batches, 0-1.
        activations: Batches on the device.
        slots: Batches that it takes at a time.
        is_ready: Whether the device can be given work.
        loop_s: Time of the poll loop, by phase.
        rebalances: How often partitions were shared anew.
        rebalance_paused_s: Time without partitions that a rebalance had taken.
        model: Name and digest of the model that batches get.
        model_changes: How often another version was taken, or failed to load, by outcome.
        shadowed: Frames of the shadow model, by outcome; empty without one.
    """

    outcomes: Mapping[tuple[Kind, str], int]
    waiting: tuple[int, int]
    in_flight: tuple[int, int]
    limit_bytes: int
    utilisation: float
    activations: int
    slots: int
    is_ready: bool
    loop_s: Mapping[str, float]
    rebalances: int
    rebalance_paused_s: float
    model: tuple[str, str]
    model_changes: Mapping[str, int]
    shadowed: Mapping[str, int]


class ConsumerMetrics:
    """The instruments of one consumer. Any thread may record; `reading` is asked on the thread that collects."""

    def __init__(self, frames_topic: str, meters: MeterProvider | None = None) -> None:
        """Make the instruments with the provider given, else with the SDK that is set up by now."""
        self._meter = metrics.get_meter(SCOPE, meter_provider=meters)
        self._topic = frames_topic
        self._end_to_end = END_TO_END_DURATION.histogram(self._meter)
        self._parts = BATCH_PART_DURATION.histogram(self._meter)
        self._of_part = {part: {"part": part} for part in LATENCY_PARTS}
        self._batch_size = BATCH_SIZE.histogram(self._meter)
        self._process = names.PROCESS_DURATION.histogram(self._meter)
        self._operation = names.CLIENT_OPERATION_DURATION.histogram(self._meter)
        self._of_process = names.operation("process", "process", frames_topic)
        self._of_operation: dict[tuple[str, str], dict[str, str | int]] = {}
        self._consumed = names.CLIENT_CONSUMED_MESSAGES.counter(self._meter)
        self._of_poll = names.operation("poll", "receive", frames_topic)
        self._consumed.add(0, self._of_poll)
        self._skew = CLOCK_SKEW.counter(self._meter)
        self._skew.add(0)
        self._lost = FRAMES_LOST.counter(self._meter)
        self._lost.add(0, {"reason": "retention"})
        self._dropped = LATE_TRACES_DROPPED.counter(self._meter)
        self._dropped.add(0)
        self._unread: Mapping[int, Unread] = {}
        LAG.observe(self._meter, lambda _: self._by_partition(lambda unread: unread.lag))
        LOSS_HORIZON.observe(self._meter, lambda _: self._by_partition(lambda unread: unread.loss_horizon_s))

    def show(self, reading: Callable[[], Reading], results_topic: str, dead_letter_topic: str) -> None:
        """Have a consumer's figures looked at whenever metrics are collected."""
        topics = {"classified": results_topic, "timed": results_topic, "skipped": results_topic}
        taken: tuple[float, Reading] | None = None

        def now() -> Reading:
            """Return one reading for all instruments of a collection."""
            nonlocal taken
            now_s = time.monotonic()
            if taken is None or now_s - taken[0] > _SAME_COLLECTION_S:
                taken = now_s, reading()
            return taken[1]

        def sent(outcomes: Mapping[tuple[Kind, str], int]) -> dict[str, int]:
            totals = dict.fromkeys((results_topic, dead_letter_topic), 0)
            for (kind, _), count in outcomes.items():
                totals[topics.get(kind, dead_letter_topic)] += count
            return totals

        def observe(metric: Metric, values: Callable[[Reading], Iterable[tuple[float, dict[str, str]]]]) -> None:
            metric.observe(self._meter, lambda _: [Observation(*each) for each in values(now())])

        def figure(metric: Metric, value: Callable[[Reading], float]) -> None:
            observe(metric, lambda now: [(value(now), {})])

        observe(
            FRAMES,
            lambda now: [
                (count, {"outcome": kind, "reason": reason})
                for (kind, reason), count in (dict.fromkeys(OUTCOMES, 0) | dict(now.outcomes)).items()
            ],
        )
        observe(
            names.CLIENT_SENT_MESSAGES,
            lambda now: [
                (count, {names.SYSTEM: names.KAFKA_SYSTEM, names.DESTINATION_NAME: topic})
                for topic, count in sent(now.outcomes).items()
            ],
        )
        observe(QUEUE_FRAMES, lambda now: _by_queue(now, 0))
        observe(QUEUE_SIZE, lambda now: _by_queue(now, 1))
        observe(LOOP, lambda now: [(seconds, {"phase": phase}) for phase, seconds in now.loop_s.items()])
        observe(MODEL, lambda now: [(1, {"model": now.model[0], "digest": now.model[1]})])
        observe(MODEL_CHANGES, lambda now: [(count, {"outcome": each}) for each, count in now.model_changes.items()])
        observe(SHADOW_FRAMES, lambda now: [(count, {"outcome": each}) for each, count in now.shadowed.items()])
        figure(QUEUE_LIMIT, lambda now: now.limit_bytes)
        figure(DEVICE_UTILISATION, lambda now: now.utilisation)
        figure(DEVICE_ACTIVATIONS, lambda now: now.activations)
        figure(DEVICE_SLOTS, lambda now: now.slots)
        figure(DEVICE_READY, lambda now: int(now.is_ready))
        figure(REBALANCES, lambda now: now.rebalances)
        figure(REBALANCE_PAUSED, lambda now: now.rebalance_paused_s)

    def polled(self, count: int, duration_s: float) -> None:
        """Note a poll that returned frames."""
        self._consumed.add(count, self._of_poll)
        self._operation.record(duration_s, self._of_poll)

    def processed(self, frames: int, duration_s: float) -> None:
        """Note a micro-batch that came from the device."""
        self._process.record(duration_s, self._of_process)
        self._batch_size.record(frames)

    def parts(self, mean_ms: Mapping[str, float]) -> None:
        """Note the parts of the latency of a micro-batch's frames, on average."""
        for part, value_ms in mean_ms.items():
            self._parts.record(max(value_ms, 0.0) / 1000, self._of_part[part])

    def operated(self, name: str, kind: str, topic: str, duration_s: float) -> None:
        """Note a call to Kafka."""
        attributes = self._of_operation.get((name, topic))
        if attributes is None:
            attributes = self._of_operation[name, topic] = names.operation(name, kind, topic)
        self._operation.record(duration_s, attributes)

    def latency(self, latency_s: float, context: Context | None) -> None:
        """Note a frame's latency; a negative one is a clock's fault and no latency. `context` becomes an exemplar."""
        if latency_s < 0:
            self._skew.add(1)
        else:
            self._end_to_end.record(latency_s, context=context)

    def lost(self, count: int, reason: str) -> None:
        """Note frames that were deleted before they were read."""
        self._lost.add(count, {"reason": reason})

    def trace_dropped(self) -> None:
        """Note a frame that should have been traced afterwards, and was one too many."""
        self._dropped.add(1)

    def unread(self, by_partition: Mapping[int, Unread]) -> None:
        """Note what is unread of the partitions held now; what is no longer held is no longer reported."""
        self._unread = dict(by_partition)

    def _by_partition(self, value: Callable[[Unread], float | None]) -> list[Observation]:
        values = ((partition, value(unread)) for partition, unread in self._unread.items())
        return [
            Observation(each, {"topic": self._topic, "partition": str(partition)})
            for partition, each in values
            if each is not None
        ]


def _by_queue(now: Reading, index: int) -> list[tuple[float, dict[str, str]]]:
    return [(now.waiting[index], {"queue": "waiting"}), (now.in_flight[index], {"queue": "in-flight"})]
