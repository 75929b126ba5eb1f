import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind

from consumers.batch import Batch
from consumers.telemetry import CLOCK_SKEW, END_TO_END_DURATION, FRAMES_LOST, LAG, LOSS_HORIZON, ConsumerTelemetry
from consumers.unread import Unread
from messaging import telemetry as names
from messaging.frame import Frame
from streamer.telemetry import link_sampler
from tests.unit.test_freshness import polled

_SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
_NOT_SAMPLED = f"00-{'c' * 32}-{'d' * 16}-00"


def telemetry() -> tuple[ConsumerTelemetry, InMemorySpanExporter, InMemoryMetricReader]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(sampler=link_sampler(ParentBased(ALWAYS_OFF)))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return ConsumerTelemetry("group", "frames", tracers, MeterProvider([reader])), exporter, reader


def frame(traceparent: str, sequence: int = 0) -> Frame:
    made = polled("a", sequence).frame
    made.traceparent = traceparent
    return made


def batch(*frames: Frame) -> Batch:
    members = [polled("a", number) for number in range(len(frames))]
    for member, given in zip(members, frames, strict=True):
        member.frame = given
    return Batch(members, 8, good=members, taken_at_s=time.monotonic() - 0.5, decoded_at_s=time.monotonic())


def figures(reader: InMemoryMetricReader) -> dict[str, float]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        metric.name: sum(getattr(point, "count", getattr(point, "value", 0)) for point in metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }


def test_a_batch_span_is_recorded_if_one_of_its_frames_is_sampled_and_links_to_it() -> None:
    made, exporter, _ = telemetry()
    made.processed(batch(frame(_NOT_SAMPLED), frame(_SAMPLED)), time.monotonic())
    (span,) = exporter.get_finished_spans()
    assert span.name == "process frames"
    assert span.kind is SpanKind.CONSUMER
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["a" * 32]
    assert span.start_time is not None
    assert span.end_time is not None
    assert 0.4e9 < span.end_time - span.start_time < 2e9, "its true times, though it is made afterwards"
    assert dict(span.attributes or {})["messaging.batch.message_count"] == 2


def test_a_batch_without_a_sampled_frame_makes_no_span() -> None:
    made, exporter, _ = telemetry()
    made.processed(batch(frame(_NOT_SAMPLED)), time.monotonic())
    made.polled([frame(_NOT_SAMPLED)], time.time_ns())
    made.committed([], time.time_ns())
    assert not exporter.get_finished_spans()


def test_a_result_of_a_sampled_frame_is_sent_in_the_frames_own_trace() -> None:
    made, exporter, _ = telemetry()
    given = frame(_SAMPLED)
    traceparent = made.sent(given, "results")
    (span,) = exporter.get_finished_spans()
    assert span.parent is not None
    assert span.context is not None
    assert f"{span.parent.span_id:016x}" == "b" * 16
    assert traceparent == f"00-{'a' * 32}-{span.context.span_id:016x}-01"
    assert made.sent(frame(_NOT_SAMPLED), "results") == _NOT_SAMPLED


def test_every_classified_frame_is_in_the_histogram_and_a_clock_ahead_is_counted_apart() -> None:
    made, _, reader = telemetry()
    for traceparent, latency_s in ((_SAMPLED, 0.02), (_NOT_SAMPLED, 0.03), (_NOT_SAMPLED, -5.0)):
        made.finished(frame(traceparent), "classified", "", latency_s)
    made.finished(frame(_SAMPLED), "skipped", "too-old", 3.0)
    found = figures(reader)
    assert found[END_TO_END_DURATION] == 2
    assert found[CLOCK_SKEW] == 1


def test_without_an_sdk_a_frame_keeps_its_trace_context() -> None:
    made = ConsumerTelemetry("group", "frames")
    assert made.sent(frame(_SAMPLED), "results") == _SAMPLED
    assert not made.wants(frame(_SAMPLED))


def gauges(reader: InMemoryMetricReader) -> dict[str, dict[str, float]]:
    data = reader.get_metrics_data()
    return {
        metric.name: {
            str((point.attributes or {})[names.PARTITION_ID]): point.value for point in metric.data.data_points
        }
        for resource in (data.resource_metrics if data is not None else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if isinstance(metric.data, Gauge)
    }


def test_lag_and_loss_horizon_are_of_the_partitions_that_are_held() -> None:
    made, _, reader = telemetry()
    made.unread({0: Unread(5, None), 3: Unread(700, 42.0), 4: Unread(None, None)})
    assert gauges(reader) == {LAG: {"0": 5, "3": 700}, LOSS_HORIZON: {"3": 42.0}}
    made.unread({3: Unread(701, 41.0)})
    assert gauges(reader) == {LAG: {"3": 701}, LOSS_HORIZON: {"3": 41.0}}
    made.unread({})
    assert gauges(reader) == {}


def test_lost_frames_are_counted() -> None:
    made, _, reader = telemetry()
    made.lost(25, "retention")
    made.lost(3, "retention")
    assert figures(reader)[FRAMES_LOST] == 28
