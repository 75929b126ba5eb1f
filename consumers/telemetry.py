"""What the consumer's work looks like from outside: its spans, and what is recorded in its metrics.

With no SDK set up every call is nearly free: no span is made for a frame that is not sampled, and the instruments
are the API's own, which do nothing.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, get_args

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Link, NonRecordingSpan, SpanKind, TracerProvider, set_span_in_context

from consumers.allowance import Allowance
from consumers.batch import Batch, Kind, Outgoing
from consumers.frame_spans import FrameSpans
from consumers.metrics import SCOPE, ConsumerMetrics, Reading
from consumers.unread import Unread
from messaging import telemetry as names
from messaging.frame import Frame
from messaging.outcome import LATENCY_PARTS, LatencyParts
from messaging.topics import TopicNames
from messaging.trace_context import is_sampled, span_context, traceparent_of

#: Frames traced afterwards cost 0.6 ms each with their export: so many a second take 0.3 % of a core.
_LATE_TRACES_PER_S: Final = 5.0
_LATE_TRACES_AT_ONCE: Final = 50


class ConsumerTelemetry:
    """Makes the spans and records the metrics of one consumer. Any thread may call."""

    def __init__(
        self,
        group: str,
        topics: TopicNames,
        slow_s: float | None = None,
        tracers: TracerProvider | None = None,
        meters: MeterProvider | None = None,
    ) -> None:
        """Get the tracer and the instruments from the providers given, else from the SDK that is set up by now.

        Args:
            group: The consumer group.
            topics: What the topics are called.
            slow_s: Frames that took longer are traced whatever their camera decided; None leaves it at that.
            tracers: Of spans.
            meters: Of metrics.
        """
        self._tracer = trace.get_tracer(SCOPE, tracer_provider=tracers)
        self._group = group
        self._topics = topics
        self._frames_topic = topics.frames
        self._slow_s = slow_s
        self._metrics = ConsumerMetrics(topics.frames, meters)
        self._frame_spans = FrameSpans(self._tracer, topics.frames, group)
        # Each for itself: a flood of skipped frames leaves room for the slow ones.
        self._late = {kind: Allowance(_LATE_TRACES_PER_S, _LATE_TRACES_AT_ONCE) for kind in get_args(Kind)}
        # Without an SDK there is nobody to make a span for. (The probe is never ended, and so never exported.)
        self._is_tracing = self._tracer.start_span("probe", context=Context()).get_span_context().is_valid

    def show(self, reading: Callable[[], Reading]) -> None:
        """Have a consumer's figures looked at whenever metrics are collected."""
        self._metrics.show(reading, self._topics.results, self._topics.dead_letters)

    def polled(self, frames: Sequence[Frame], began_ns: int, duration_s: float) -> None:
        """Note a poll that returned frames, from `began_ns` (wall clock): a `poll` span with its links."""
        self._metrics.polled(len(frames), duration_s)
        self._call("poll", "receive", frames, began_ns)

    def processed(self, batch: Batch, finished_at_s: float) -> None:
        """Note a finished micro-batch: a `process` span with its true times, linked to its sampled frames."""
        self._metrics.processed(len(batch.frames), finished_at_s - batch.taken_at_s)
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

    def committed(self, frames: Sequence[Frame], began_ns: int, duration_s: float) -> None:
        """Note a commit that covered these sampled frames, among others: a `commit` span, linked to them."""
        self._metrics.operated("commit", "settle", self._frames_topic, duration_s)
        self._call("commit", "settle", frames, began_ns)

    def wants(self, frame: Frame) -> bool:
        """Tell whether spans are made for this frame."""
        return self._is_tracing and is_sampled(frame.traceparent)

    def answered(self, batch: Batch, latency: LatencyParts) -> None:
        """Note the latency of one more frame of a batch; with the last one, the batch's parts. In order."""
        for part in LATENCY_PARTS:
            batch.latency_sums_ms[part] = batch.latency_sums_ms.get(part, 0.0) + getattr(latency, part)
        if batch.answered == len(batch.good):
            self._metrics.parts({part: total / batch.answered for part, total in batch.latency_sums_ms.items()})

    def acknowledged(self, outgoing: Outgoing, topic: str, duration_s: float) -> None:
        """Note that the broker has a result, so long after it was handed to the producer; of the first in a batch."""
        if outgoing.row == 0:
            self._metrics.operated("send", "send", topic, duration_s)

    def finished(self, outgoing: Outgoing, latency_s: float) -> None:
        """Note that the broker has a frame's outcome, `latency_s` after its capture."""
        is_answer = outgoing.kind in ("classified", "timed")
        is_slow = self._slow_s is not None and latency_s > self._slow_s
        context = self._trace(outgoing, is_late=is_slow or not is_answer)
        if is_answer:
            self._metrics.latency(latency_s, context)

    def _trace(self, outgoing: Outgoing, *, is_late: bool) -> Context | None:
        """Write the frame's own spans where its camera sampled it, or where it is one of those to be looked at."""
        if not self._is_tracing:
            return None
        sampled = is_sampled(outgoing.frame.traceparent)
        if not sampled:
            if not is_late or self._slow_s is None:
                return None
            if not self._late[outgoing.kind].takes(time.monotonic()):
                self._metrics.trace_dropped()
                return None
        return self._frame_spans.write(outgoing, time.time_ns(), is_sampled=sampled)

    def unread(self, by_partition: Mapping[int, Unread]) -> None:
        """Note what is unread of the partitions held now; what is no longer held is no longer reported."""
        self._metrics.unread(by_partition)

    def lost(self, count: int, reason: str) -> None:
        """Note frames that were deleted before they were read."""
        self._metrics.lost(count, reason)

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
