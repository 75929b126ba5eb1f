import time

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import Gauge, HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind

from consumers import frame_spans, metrics
from consumers.batch import Batch, Outgoing
from consumers.metrics import CLOCK_SKEW, END_TO_END_DURATION, FRAMES_LOST, LAG, LOSS_HORIZON, Reading
from consumers.telemetry import ConsumerTelemetry
from consumers.unread import Unread
from messaging import telemetry as names
from messaging.frame import Frame
from messaging.outcome import LATENCY_PARTS, LatencyParts
from messaging.topics import TopicNames
from streamer.telemetry import link_sampler
from tests.unit.test_freshness import polled

_SAMPLED = f"00-{'a' * 32}-{'b' * 16}-01"
_NOT_SAMPLED = f"00-{'c' * 32}-{'d' * 16}-00"


def telemetry(slow_s: float | None = 0.5) -> tuple[ConsumerTelemetry, InMemorySpanExporter, InMemoryMetricReader]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider(sampler=link_sampler(ParentBased(ALWAYS_OFF)))
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    topics = TopicNames(frames="frames", results="results", dead_letters="dead")
    return ConsumerTelemetry("group", topics, slow_s, tracers, MeterProvider([reader])), exporter, reader


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
    made.polled([frame(_NOT_SAMPLED)], time.time_ns(), 0.01)
    made.committed([], time.time_ns(), 0.01)
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
        made.finished(Outgoing("classified", frame(traceparent)), latency_s)
    made.finished(Outgoing("skipped", frame(_SAMPLED), "too-old"), 3.0)
    found = figures(reader)
    assert found[END_TO_END_DURATION.name] == 2
    assert found[CLOCK_SKEW.name] == 1


def test_without_an_sdk_a_frame_keeps_its_trace_context() -> None:
    made = ConsumerTelemetry("group", TopicNames())
    assert made.sent(frame(_SAMPLED), "results") == _SAMPLED
    assert not made.wants(frame(_SAMPLED))


def gauges(reader: InMemoryMetricReader) -> dict[str, dict[str, float]]:
    data = reader.get_metrics_data()
    return {
        metric.name: {str((point.attributes or {})["partition"]): point.value for point in metric.data.data_points}
        for resource in (data.resource_metrics if data is not None else [])
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if isinstance(metric.data, Gauge)
    }


def test_lag_and_loss_horizon_are_of_the_partitions_that_are_held() -> None:
    made, _, reader = telemetry()
    made.unread({0: Unread(5, None), 3: Unread(700, 42.0), 4: Unread(None, None)})
    assert gauges(reader) == {LAG.name: {"0": 5, "3": 700}, LOSS_HORIZON.name: {"3": 42.0}}
    made.unread({3: Unread(701, 41.0)})
    assert gauges(reader) == {LAG.name: {"3": 701}, LOSS_HORIZON.name: {"3": 41.0}}
    made.unread({})
    assert gauges(reader) == {}


def test_lost_frames_are_counted() -> None:
    made, _, reader = telemetry()
    made.lost(25, "retention")
    made.lost(3, "retention")
    assert figures(reader)[FRAMES_LOST.name] == 28


def answered(traceparent: str, latency: LatencyParts, captured_at_us: int) -> Outgoing:
    made = frame(traceparent)
    made.captured_at_us = captured_at_us
    return Outgoing("classified", made, batch=batch(made), row=0, latency=latency)


PARTS = LatencyParts(
    transport=4.0, batch_wait=20.0, decode=1.5, device_wait=0.5, inference=600.0, order_wait=2.0, total=628
)


@pytest.mark.parametrize(
    ("outgoing", "latency_s", "is_traced"),
    [
        (Outgoing("classified", frame(_NOT_SAMPLED)), 0.4, False),
        (Outgoing("classified", frame(_NOT_SAMPLED)), 0.6, True),
        (Outgoing("timed", frame(_NOT_SAMPLED)), 0.6, True),
        (Outgoing("skipped", frame(_NOT_SAMPLED), "too-old"), 0.1, True),
        (Outgoing("dead-lettered", frame(_NOT_SAMPLED), "truncated"), 0.1, True),
        (Outgoing("classified", frame(_SAMPLED)), 0.01, True),
    ],
)
def test_a_frame_is_traced_if_it_is_sampled_slow_skipped_or_dead(
    outgoing: Outgoing, latency_s: float, is_traced: bool
) -> None:
    made, exporter, _ = telemetry()
    made.finished(outgoing, latency_s)
    spans = exporter.get_finished_spans()
    assert bool(spans) is is_traced
    if is_traced:
        span = spans[-1]
        attributes = dict(span.attributes or {})
        assert span.name == frame_spans.FRAME
        assert span.parent is not None
        assert f"{span.parent.span_id:016x}" == outgoing.frame.traceparent[36:52], "below the camera's own"
        assert attributes.get(frame_spans.IS_CAMERA_SPAN_MISSING, False) is (outgoing.frame.traceparent == _NOT_SAMPLED)
        assert attributes[frame_spans.OUTCOME] == outgoing.kind


def test_without_a_setting_only_what_is_sampled_is_traced() -> None:
    made, exporter, _ = telemetry(slow_s=None)
    made.finished(Outgoing("skipped", frame(_NOT_SAMPLED), "too-old"), 9.0)
    assert not exporter.get_finished_spans()


def test_the_parts_of_a_frames_span_tile_it_with_their_true_times() -> None:
    made, exporter, _ = telemetry()
    captured_at_us = time.time_ns() // 1000 - 640_000
    made.finished(answered(_NOT_SAMPLED, PARTS, captured_at_us), 0.64)
    *parts, whole = exporter.get_finished_spans()
    assert [span.name for span in parts] == [*LATENCY_PARTS, frame_spans.PUBLISH]
    at_ns = whole.start_time
    assert at_ns == captured_at_us * 1000
    for span in parts:
        assert span.parent is not None
        assert whole.context is not None
        assert span.parent.span_id == whole.context.span_id
        assert span.start_time == at_ns
        at_ns = span.end_time
    assert at_ns == whole.end_time
    inference = parts[LATENCY_PARTS.index("inference")]
    assert inference.start_time is not None
    assert inference.end_time == inference.start_time + 600_000_000


@pytest.mark.parametrize("ahead_ms", [30, 5000])
def test_with_a_camera_whose_clock_is_ahead_the_spans_have_this_machines_times(ahead_ms: int) -> None:
    made, exporter, _ = telemetry()
    finished_ns = time.time_ns()
    polled_us = finished_ns // 1000 - 60_000
    ahead = LatencyParts(-float(ahead_ms), 10.0, 5.0, 0.0, 20.0, 5.0, 40.0 - ahead_ms)
    made.finished(answered(_SAMPLED, ahead, polled_us + ahead_ms * 1000), 0.06 - ahead_ms / 1000)
    *parts, whole = exporter.get_finished_spans()
    assert whole.start_time == polled_us * 1000
    assert parts[0].start_time == parts[0].end_time == whole.start_time, "no time on its way can be told"
    times = {span.name: ((span.end_time or 0) - (span.start_time or 0)) / 1e6 for span in parts}
    assert [times[part] for part in LATENCY_PARTS] == [0, 10, 5, 0, 20, 5]
    assert 20 <= times[frame_spans.PUBLISH] < 2000
    assert parts[-1].end_time == whole.end_time


def test_a_flood_of_slow_frames_is_traced_within_limits_and_the_rest_counted() -> None:
    made, exporter, reader = telemetry()
    for _ in range(500):
        made.finished(Outgoing("skipped", frame(_NOT_SAMPLED), "superseded"), 1.0)
    traced = len(exporter.get_finished_spans())
    assert 50 <= traced < 100
    assert figures(reader)[metrics.LATE_TRACES_DROPPED.name] == 500 - traced
    made.finished(Outgoing("dead-lettered", frame(_NOT_SAMPLED), "truncated"), 0.1)
    made.finished(Outgoing("classified", frame(_NOT_SAMPLED)), 3.0)
    outcomes = [(span.attributes or {})[frame_spans.OUTCOME] for span in exporter.get_finished_spans()[traced:]]
    assert outcomes == ["dead-lettered", "classified"], "skipped frames take nothing from these"


def test_a_slow_frame_is_an_exemplar_of_the_latency() -> None:
    made, _, reader = telemetry()
    made.finished(answered(_NOT_SAMPLED, PARTS, time.time_ns() // 1000), 0.64)
    made.finished(Outgoing("classified", frame(_NOT_SAMPLED)), 0.01)
    data = reader.get_metrics_data()
    assert data is not None
    (latency,) = [
        metric
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == END_TO_END_DURATION.name
    ]
    exemplars = [exemplar for point in latency.data.data_points for exemplar in point.exemplars]
    assert [(f"{exemplar.trace_id or 0:032x}", exemplar.value) for exemplar in exemplars] == [("c" * 32, 0.64)]


def test_the_parts_of_a_batch_are_the_mean_of_its_frames() -> None:
    made, _, reader = telemetry()
    both = batch(frame(_NOT_SAMPLED), frame(_NOT_SAMPLED, 1))
    both.answered = 1
    made.answered(both, LatencyParts(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 21.0))
    assert metrics.BATCH_PART_DURATION.name not in figures(reader), "not before its last frame"
    both.answered = 2
    made.answered(both, LatencyParts(3.0, 2.0, 3.0, 4.0, 5.0, 8.0, 25.0))
    sums = part_sums(reader)
    assert sums == pytest.approx(
        {
            "transport": 2e-3,
            "batch_wait": 2e-3,
            "decode": 3e-3,
            "device_wait": 4e-3,
            "inference": 5e-3,
            "order_wait": 7e-3,
        }
    )


def part_sums(reader: InMemoryMetricReader) -> dict[str, float]:
    data = reader.get_metrics_data()
    assert data is not None
    return {
        str((point.attributes or {})["part"]): point.sum
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == metrics.BATCH_PART_DURATION.name
        for point in metric.data.data_points
        if isinstance(point, HistogramDataPoint)
    }


def test_every_metric_of_the_table_is_there_before_the_first_frame_but_histograms() -> None:
    made, _, reader = telemetry()
    made.unread({0: Unread(5, 9.0)})
    reading = Reading(
        outcomes={},
        waiting=(0, 0),
        in_flight=(0, 0),
        limit_bytes=1,
        utilisation=0.0,
        activations=0,
        slots=2,
        is_ready=True,
        loop_s={"poll": 0.0},
        rebalances=0,
        rebalance_paused_s=0.0,
        model=("bottles", "sha256:ab"),
        model_changes={"taken": 0, "failed": 0},
        shadowed={"agreed": 0},
    )
    made.show(lambda: reading)
    found = figures(reader)
    assert set(found) == {metric.name for metric in metrics.METRICS if metric.kind != "histogram"}
    assert found[metrics.FRAMES.name] == 0
    assert found[names.CLIENT_SENT_MESSAGES.name] == 0


def test_the_time_of_a_send_is_noted_once_a_batch() -> None:
    made, _, reader = telemetry()
    both = batch(frame(_NOT_SAMPLED), frame(_NOT_SAMPLED, 1))
    for row in (0, 1):
        made.acknowledged(Outgoing("classified", both.frames[row].frame, batch=both, row=row), "results", 0.01)
    made.acknowledged(Outgoing("skipped", frame(_NOT_SAMPLED), "too-old"), "results", 0.01)
    assert figures(reader)[names.CLIENT_OPERATION_DURATION.name] == 1
