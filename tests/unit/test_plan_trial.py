"""What is read from a trial, and how a frame's share of the CPU is told apart."""

import math
from dataclasses import replace
from typing import Any

import pytest

from engine.backends.simulator.figures import read_figures
from messaging.frame import frame_id
from messaging.outcome import (
    BatchShape,
    FrameLocation,
    LatencyParts,
    Outcome,
    Skipped,
    Timed,
    group_source,
    write_outcome,
)
from messaging.timestamps import format_us
from streamer.sizing.decoding import decode_us
from streamer.sizing.load import LoadReport
from streamer.sizing.measure import REFERENCE, measured_program
from streamer.sizing.pictures import pictures
from streamer.sizing.plan import make_plan
from streamer.sizing.trial import WARM_S, Answer, LoadTrial, answers_of
from streamer.sizing.verify import planned_cameras
from streamer.sizing.wish import Wish
from tests.fakes.records import TIME_US, TRACEPARENT, record_of


def report(captured: int, *, late_p99_ms: float = 1.0) -> LoadReport:
    return LoadReport(captured=captured, sent=captured, late_p99_ms=late_p99_ms, result_fps=0.0, cpu_us=100.0)


def trial(latencies_ms: list[list[float]], *, captured: int | None = None, late_p99_ms: float = 1.0) -> LoadTrial:
    """Make a trial of seconds after the warm-up, each with the latencies of its frames."""
    warm = [Answer(round(index * 1e4), 1000.0, 2) for index in range(round(WARM_S * 100))]
    answers = [
        Answer(round((WARM_S + second + index / len(latencies)) * 1e6), latency_ms, 2)
        for second, latencies in enumerate(latencies_ms)
        for index, latency_ms in enumerate(latencies)
    ]
    load = report(captured or len(warm + answers), late_p99_ms=late_p99_ms)
    return LoadTrial(10, 5.0, load, warm + answers, has_caught_up=True, worker_cpu_s=0.5)


def test_the_start_does_not_count_and_one_slow_second_neither() -> None:
    calm = [float(number) for number in range(1, 101)]
    found = trial([calm, [500.0] * 100, calm])
    assert found.p99_ms == 99.0
    assert found.p99_of_all_ms == 500.0
    assert found.passes(0.1, 0.0)
    assert not found.passes(0.098, 0.0)


def test_two_slow_seconds_of_three_count() -> None:
    assert trial([[10.0] * 50, [300.0] * 50, [300.0] * 50]).p99_ms == 300.0


def test_a_frame_without_a_result_is_dropped() -> None:
    found = trial([[10.0] * 100], captured=400)
    assert found.drop_rate == pytest.approx(0.25)
    assert not found.passes(0.1, 0.2)
    assert found.passes(0.1, 0.3)


def test_cameras_that_are_late_say_nothing_of_the_worker() -> None:
    late = trial([[10.0] * 100], late_p99_ms=500.0)
    assert not late.is_played
    assert not late.passes(10.0, 1.0)


def test_a_trial_without_results_passes_nothing() -> None:
    empty = LoadTrial(1, 5.0, report(40), (), has_caught_up=False, worker_cpu_s=0.1)
    assert empty.p99_ms == math.inf
    assert empty.drop_rate == 1.0
    assert not empty.passes(60.0, 1.0)
    assert empty.mean_batch == 0.0


def test_the_mean_batch_is_that_of_batches_and_not_of_frames() -> None:
    answers = [Answer(0, 1.0, 1), *(Answer(0, 1.0, 9) for _ in range(9))]
    assert LoadTrial(1, 5.0, report(10), answers, has_caught_up=True, worker_cpu_s=0.1).mean_batch == pytest.approx(5.0)


@pytest.mark.parametrize("frame_bytes", [6_000, 20_000, 60_000])
def test_pictures_are_as_large_as_is_wanted_and_all_different(frame_bytes: int) -> None:
    found = pictures(4, 256, frame_bytes)
    assert len(set(found)) == 4
    for picture in found:
        assert len(picture) == pytest.approx(frame_bytes, rel=0.2)


def test_a_larger_picture_takes_longer_to_decode() -> None:
    small, large = (decode_us(pictures(4, short_side_px), 224) for short_side_px in (256, 1080))
    assert 0 < small < large


def timed(sequence: int, total_ms: float) -> Timed:
    return Timed(
        camera="camera-1",
        sequence=sequence,
        captured_at=format_us(TIME_US),
        group="plan",
        model="resnet50",
        model_digest="none",
        device="0",
        backend="simulator",
        simulated=True,
        batch=BatchShape(3, 14),
        latency_ms=LatencyParts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, total_ms),
        source=FrameLocation("frames", 0, sequence),
    )


def result(outcome: Outcome, session: str) -> Any:
    identity = frame_id(outcome.camera, session, outcome.sequence)
    return record_of(write_outcome(outcome, identity, group_source("plan"), TIME_US, TRACEPARENT))


def test_late_results_of_the_trial_before_are_none_of_this_one() -> None:
    skipped = Skipped(camera="camera-1", sequence=1, captured_at=format_us(TIME_US), reason="too-old", group="plan")
    records = [result(timed(0, 20_000.0), "before"), result(timed(0, 10.0), "now"), result(skipped, "now")]
    assert answers_of(records, "now") == [Answer(TIME_US, 10.0, 3)]


@pytest.mark.parametrize(
    ("predicted", "headroom", "planned"), [(1, 0.2, 1), (9, 0.9, 1), (10, 0.2, 8), (1000, 0.2, 300)]
)
def test_the_latency_is_compared_with_one_camera_at_the_least(predicted: int, headroom: float, planned: int) -> None:
    plan = make_plan([read_figures().find("resnet50")], Wish(300, 1.0, 1.0, 20_000, headroom=headroom), REFERENCE)
    assert planned_cameras(plan, predicted) == planned


def test_the_program_that_is_measured_has_larger_batches_than_the_one_it_is_compared_with() -> None:
    programs = list(read_figures().rows.values())
    found = measured_program(programs)
    assert measured_program([*programs, replace(found, batch_size=4, images_per_s=1e6)]) == found
    assert found.images_per_s == max(each.images_per_s for each in programs)
