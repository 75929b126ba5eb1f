import math

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NonRecordingSpan, set_span_in_context
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_plain

from messaging.trace_context import span_context
from streamer.prometheus import Exposition, merge, prometheus_name

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.mark.parametrize(
    ("name", "kind", "unit", "expected"),
    [
        ("streamer.frames", "counter", "{frame}", "streamer_frames_total"),
        ("streamer.queue.size", "gauge", "By", "streamer_queue_size_bytes"),
        ("streamer.device.utilisation", "gauge", "1", "streamer_device_utilisation_ratio"),
        ("streamer.device.ready", "gauge", "", "streamer_device_ready"),
        ("streamer.consumer.loop", "counter", "s", "streamer_consumer_loop_seconds_total"),
        ("messaging.process.duration", "histogram", "s", "messaging_process_duration_seconds"),
        ("a.b-c", "gauge", "{x}", "a_b_c"),
    ],
)
def test_a_name(name: str, kind: str, unit: str, expected: str) -> None:
    assert prometheus_name(name, kind, unit) == expected


def exposition(worker: str = "1", frames: int = 3) -> Exposition:
    reader = InMemoryMetricReader()
    resource = Resource({"streamer.group": "g", "streamer.device": "0", "streamer.worker": worker, "service.name": "s"})
    meter = MeterProvider([reader], resource=resource).get_meter("test")
    meter.create_counter("streamer.frames", "{frame}", 'frames\nof "all" kinds').add(frames, {"outcome": 'a"\\\nb'})
    histogram = meter.create_histogram(
        "streamer.latency", "s", "latency", explicit_bucket_boundaries_advisory=[0.1, 1.0]
    )
    sampled = set_span_in_context(NonRecordingSpan(span_context(f"00-{'a' * 32}-{'b' * 16}-01")))
    for value, context in ((0.05, None), (0.1, None), (0.7, sampled), (3.0, sampled)):
        histogram.record(value, context=context)
    meter.create_gauge("streamer.device.ready", "", "ready").set(1)
    return Exposition(reader.get_metrics_data())


def test_prometheus_reads_it_with_its_labels() -> None:
    text, content_type = exposition().text("")
    assert content_type.startswith("text/plain")
    families = {family.name: family for family in read_plain(text.decode())}
    (sample,) = families["streamer_frames"].samples
    assert sample.name == "streamer_frames_total"
    assert sample.labels == {"outcome": 'a"\\\nb', "group": "g", "device": "0", "worker": "1"}
    assert sample.value == 3
    assert families["streamer_device_ready"].samples[0].value == 1


def test_openmetrics_carries_exemplars_in_their_buckets() -> None:
    text, content_type = exposition().text(OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name: family for family in read_openmetrics(text.decode())}  # type: ignore[no-untyped-call]
    buckets = {
        sample.labels["le"]: (sample.value, sample.exemplar and sample.exemplar.labels["trace_id"], sample.exemplar)
        for sample in families["streamer_latency_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert [(bound, count, trace) for bound, (count, trace, _) in buckets.items()] == [
        ("0.1", 2, None),
        ("1.0", 3, "a" * 32),
        ("+Inf", 4, "a" * 32),
    ]
    assert buckets["1.0"][2].value == 0.7
    assert "target" in families


def test_nothing_measured_is_an_empty_text() -> None:
    assert Exposition(None).text("")[0] == b""


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_several_processes_are_one_text_each_family_once(accept: str) -> None:
    texts = [exposition("1", 3).text(accept)[0], exposition("2", 4).text(accept)[0]]
    merged = merge(texts).decode()
    read = read_openmetrics if accept else read_plain
    families = [family for family in read(merged) if family.samples]
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    by_name = {family.name: family for family in families}
    assert {sample.labels["worker"]: sample.value for sample in by_name["streamer_frames"].samples} == {"1": 3, "2": 4}
    counts = [s.value for s in by_name["streamer_latency_seconds"].samples if s.labels.get("le") == "+Inf"]
    assert counts == [4, 4]
    assert not math.isnan(sum(counts))


def test_what_is_merged_alone_stays_as_it_is() -> None:
    text = exposition().text(OPENMETRICS)[0]
    assert merge([text]) == text
