"""A frame's way as OpenTelemetry shows it: the real commands, and a receiver that reads the official protobufs."""

import os
import statistics
import subprocess
import sys
from collections import Counter

from messaging.frame import read_frame
from messaging.outcome import LATENCY_PARTS, Classified, read_outcome
from messaging.timestamps import parse_us
from messaging.trace_context import is_sampled, trace_id
from tests.fakes.otlp_receiver import otlp_receiver
from tests.integration.stage import Stage, camera_frames, consume_all

_FRAMES = 60


def _run(stage: Stage, *command: str, **environ: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-m", "streamer", *command, *stage.flags()],
        env=kept | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_sampled_frame_is_followed_from_the_camera_to_the_commit(stage: Stage) -> None:
    frames_topic, results_topic = stage.topics.frames, stage.topics.results
    with otlp_receiver() as receiver:
        ratio = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_TRACES_SAMPLER": "parentbased_traceidratio"}
        camera = ["--camera", "a", "--source", "synthetic:workpiece", "--fps", "100", "--frames", str(_FRAMES)]
        _run(stage, "produce", *camera, **ratio, OTEL_TRACES_SAMPLER_ARG="0.5")
        # The consumer's own ratio is 0: what it records it records because a linked frame is sampled.
        _run(stage, "consume", "--until-idle", "1s", **ratio, OTEL_TRACES_SAMPLER_ARG="0")

    frames = [read_frame(record) for record in stage.records(frames_topic)]
    sampled = {trace_id(frame.traceparent) for frame in frames if is_sampled(frame.traceparent)}
    assert 5 < len(sampled) < _FRAMES - 5

    captured = {span.trace_id.hex(): span for span in receiver.spans_named(f"send {frames_topic}")}
    assert set(captured) == sampled
    published = receiver.spans_named(f"send {results_topic}")
    assert Counter(span.trace_id.hex() for span in published) == dict.fromkeys(sampled, 1)
    for span in published:
        assert span.parent_span_id == captured[span.trace_id.hex()].span_id
    for name in ("poll", "process", "commit"):
        spans = receiver.spans_named(f"{name} {frames_topic}")
        linked = {link.trace_id.hex(): link.span_id for span in spans for link in span.links}
        assert set(linked) == sampled, name
        assert all(linked[trace] == captured[trace].span_id for trace in sampled)
        assert all(span.end_time_unix_nano >= span.start_time_unix_nano for span in spans)
    attributes = {
        attribute.key: attribute.value.string_value
        for attribute in receiver.spans_named(f"process {frames_topic}")[0].attributes
    }
    assert attributes["messaging.system"] == "kafka"
    assert attributes["messaging.consumer.group.name"] == "streamer-device-0"
    assert {service for service, _ in receiver.spans} == {"streamer-camera", "streamer-consumer"}

    points = [
        point
        for _, metric in receiver.metrics
        if metric.name == "streamer.frame.end_to_end.duration"
        for point in metric.histogram.data_points
    ]
    assert max(point.count for point in points) == _FRAMES, "every frame, sampled or not"


def test_results_and_dead_letters_carry_their_frames_trace_id_though_nothing_is_exported(stage: Stage) -> None:
    good, bad = camera_frames("good", 3), camera_frames("bad", 1, data=b"no picture")
    stage.feed(good + bad)
    consume_all(stage.settings())
    expected = {frame.frame_id: trace_id(frame.traceparent) for frame in good + bad}
    found = {
        headers["ce_id"].decode(): trace_id(headers["traceparent"].decode())
        for topic in (stage.topics.results, stage.topics.dead_letters)
        for headers in (dict(record.headers) for record in stage.records(topic))
    }
    assert found == expected


def test_with_no_variable_set_nothing_is_exported_and_a_frame_still_has_its_trace_id(stage: Stage) -> None:
    with otlp_receiver() as receiver:
        camera = ["--camera", "a", "--source", "synthetic:workpiece", "--fps", "100", "--frames", "5"]
        _run(stage, "produce", *camera)
        _run(stage, "consume", "--until-idle", "1s")
    assert not receiver.spans
    assert not receiver.metrics
    frames = [read_frame(record) for record in stage.records(stage.topics.frames)]
    assert len({trace_id(frame.traceparent) for frame in frames}) == 5
    assert not any(is_sampled(frame.traceparent) for frame in frames)


def test_the_parts_of_the_latency_tile_it_and_it_is_what_the_clock_says(stage: Stage) -> None:
    stage.feed([frame for number in range(4) for frame in camera_frames(f"camera-{number}", 40)])
    consume_all(stage.settings())
    beside_ms = []
    for record in stage.records(stage.topics.results):
        result = read_outcome(record.value)
        assert isinstance(result, Classified)
        latency = result.latency_ms
        assert abs(sum(getattr(latency, part) for part in LATENCY_PARTS) - latency.total) < 1
        assert all(getattr(latency, part) >= 0 for part in LATENCY_PARTS)
        made_at_us = parse_us(dict(record.headers)["ce_time"].decode())
        beside_ms.append((made_at_us - parse_us(result.captured_at)) / 1000 - latency.total)
    assert len(beside_ms) == 160
    # The outcome's time is read from another clock, a moment after the last part ended.
    assert min(beside_ms) > -1
    assert statistics.median(beside_ms) < 1
