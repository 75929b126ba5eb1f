"""The consumer's spans and metrics: their names, and when they are made.

With no SDK set up every call is nearly free: no span is made for a frame that is not sampled, and the instruments
are the API's own, which do nothing.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, TracerProvider, set_span_in_context

from consumers.batch import Batch, Kind
from consumers.unread import Unread
from messaging import telemetry as names
from messaging.frame import Frame
from messaging.trace_context import is_sampled, span_context, traceparent_of

SCOPE: Final = "streamer.consumers"
#: Seconds from capture to the acknowledged result, of every frame that was classified.
END_TO_END_DURATION: Final = "streamer.frame.end_to_end.duration"
#: Frames by `outcome` and `reason`.
FRAMES: Final = "streamer.frames"
#: Frames whose capture time lies in the future: a camera's clock is ahead.
CLOCK_SKEW: Final = "streamer.clock_skew"
#: Frames that were deleted before they were read, by `reason`.
FRAMES_LOST: Final = "streamer.consumer.frames_lost"
#: Frames that are not read yet, of each partition held.
LAG: Final = "streamer.consumer.lag"
#: Seconds until retention deletes the first of them, of each partition held where that is to be expected.
LOSS_HORIZON: Final = "streamer.consumer.loss_horizon"
#: Frames in a micro-batch.
BATCH_SIZE: Final = "streamer.batch.size"
#: Seconds from taking up a micro-batch to its labels. Source: the messaging conventions.
PROCESS_DURATION: Final = "messaging.process.duration"

_DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)


class ConsumerTelemetry:
    """Makes the spans and records the metrics of one consumer. Any thread may call."""

    def __init__(
        self,
        group: str,
        frames_topic: str,
        tracers: TracerProvider | None = None,
        meters: MeterProvider | None = None,
    ) -> None:
        """Get the tracer and the instruments from the providers given, else from the SDK that is set up by now."""
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracers)
        self._group = group
        self._frames_topic = frames_topic
        self._process_attributes = names.operation("process", "process", frames_topic) | {names.GROUP_NAME: group}
        # Without an SDK there is nobody to make a span for. (The probe is never ended, and so never exported.)
        self._is_tracing = self._tracer.start_span("probe", context=Context()).get_span_context().is_valid
        meter = metrics.get_meter(SCOPE, meter_provider=meters)
        self._end_to_end = meter.create_histogram(
            END_TO_END_DURATION,
            unit="s",
            description="capture to acknowledged result",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS_S,
        )
        self._process = meter.create_histogram(
            PROCESS_DURATION,
            unit="s",
            description="a micro-batch from decoding to labels",
            explicit_bucket_boundaries_advisory=_DURATION_BUCKETS_S,
        )
        self._batch_size = meter.create_histogram(BATCH_SIZE, unit="{frame}", description="frames in a micro-batch")
        self._frames = meter.create_counter(FRAMES, unit="{frame}", description="frames by outcome and reason")
        self._skew = meter.create_counter(CLOCK_SKEW, unit="{frame}", description="frames captured in the future")
        self._lost = meter.create_counter(FRAMES_LOST, unit="{frame}", description="frames deleted before being read")
        self._unread: Mapping[int, Unread] = {}
        meter.create_observable_gauge(
            LAG, [self._observe_lag], unit="{frame}", description="frames not read yet, by partition"
        )
        meter.create_observable_gauge(
            LOSS_HORIZON, [self._observe_loss_horizon], unit="s", description="time until unread frames are deleted"
        )

    def polled(self, frames: Sequence[Frame], began_ns: int) -> None:
        """Note a poll that returned frames, since `began_ns` (wall clock): a `poll` span with its links."""
        self._call("poll", "receive", frames, began_ns)

    def processed(self, batch: Batch, finished_at_s: float) -> None:
        """Note a finished micro-batch: a `process` span with its true times, linked to its sampled frames."""
        self._process.record(finished_at_s - batch.taken_at_s, self._process_attributes)
        self._batch_size.record(len(batch.frames))
        if not self._is_tracing:
            return
        frames = [polled.frame for polled in batch.frames]
        links = self._links(frames)
        if not links and all(frame.has_remote_context for frame in frames):
            return  # every frame's producer has decided against it
        now_ns, now_s = time.time_ns(), time.monotonic()
        span = self._tracer.start_span(
            f"process {self._frames_topic}",
            context=Context(),
            kind=SpanKind.CONSUMER,
            attributes=self._attributes("process", "process", self._frames_topic, len(frames)),
            links=links,
            start_time=now_ns - int((now_s - batch.taken_at_s) * 1e9),
        )
        span.end(now_ns - int((now_s - finished_at_s) * 1e9))

    def sent(self, frame: Frame, topic: str) -> str:
        """Note that a frame's outcome is handed over: a `send` span in the frame's own trace, where it is sampled.

        Returns:
            The `traceparent` for the outcome: its trace id is the frame's.
        """
        if not self._is_tracing or not is_sampled(frame.traceparent):
            return frame.traceparent
        parent = set_span_in_context(NonRecordingSpan(span_context(frame.traceparent, frame.tracestate)), Context())
        attributes = names.operation("send", "send", topic) | {names.KAFKA_MESSAGE_KEY: frame.camera}
        span = self._tracer.start_span(f"send {topic}", context=parent, kind=SpanKind.PRODUCER, attributes=attributes)
        span.end()
        return traceparent_of(span) or frame.traceparent

    def committed(self, frames: Sequence[Frame], began_ns: int) -> None:
        """Note a commit that covered these sampled frames: a `commit` span, linked to them."""
        self._call("commit", "settle", frames, began_ns)

    def wants(self, frame: Frame) -> bool:
        """Tell whether spans are made for this frame."""
        return self._is_tracing and is_sampled(frame.traceparent)

    def finished(self, frame: Frame, kind: Kind, reason: str, latency_s: float) -> None:
        """Note that the broker has a frame's outcome, `latency_s` after its capture."""
        self._frames.add(1, {"outcome": kind, "reason": reason} if reason else {"outcome": kind})
        if kind not in ("classified", "timed"):
            return
        if latency_s < 0:
            self._skew.add(1)  # a negative latency is a clock's fault and no latency
            return
        context = None
        if self.wants(frame):  # the exemplar ties the figure to the frame's trace
            context = set_span_in_context(NonRecordingSpan(span_context(frame.traceparent)), Context())
        self._end_to_end.record(latency_s, {names.GROUP_NAME: self._group}, context=context)

    def unread(self, by_partition: Mapping[int, Unread]) -> None:
        """Note what is unread of the partitions held now; what is no longer held is no longer reported."""
        self._unread = dict(by_partition)

    def lost(self, count: int, reason: str) -> None:
        """Note frames that were deleted before they were read."""
        self._lost.add(count, {"reason": reason, names.GROUP_NAME: self._group})

    def _observe_lag(self, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(unread.lag, self._of_partition(partition))
            for partition, unread in self._unread.items()
            if unread.lag is not None
        ]

    def _observe_loss_horizon(self, _: CallbackOptions) -> list[Observation]:
        return [
            Observation(unread.loss_horizon_s, self._of_partition(partition))
            for partition, unread in self._unread.items()
            if unread.loss_horizon_s is not None
        ]

    def _of_partition(self, partition: int) -> dict[str, str]:
        return {
            names.DESTINATION_NAME: self._frames_topic,
            names.PARTITION_ID: str(partition),
            names.GROUP_NAME: self._group,
        }

    def _call(self, name: str, kind: str, frames: Sequence[Frame], began_ns: int) -> None:
        """Make the span of a call to Kafka that ends now, linked to its sampled frames; without any there is none."""
        if not self._is_tracing or not (links := self._links(frames)):
            return
        span = self._tracer.start_span(
            f"{name} {self._frames_topic}",
            context=Context(),
            kind=SpanKind.CLIENT,
            attributes=self._attributes(name, kind, self._frames_topic, len(frames)),
            links=links,
            start_time=began_ns,
        )
        span.end()

    def _attributes(self, name: str, kind: str, destination: str, count: int) -> dict[str, str | int]:
        return names.operation(name, kind, destination) | {
            names.GROUP_NAME: self._group,
            names.BATCH_MESSAGE_COUNT: count,
        }

    @staticmethod
    def _links(frames: Iterable[Frame]) -> list[Link]:
        sampled = [frame for frame in frames if is_sampled(frame.traceparent)]
        return [
            Link(span_context(frame.traceparent, frame.tracestate), {names.KAFKA_OFFSET: frame.offset})
            for frame in sampled[: names.MAX_LINKS]
        ]
