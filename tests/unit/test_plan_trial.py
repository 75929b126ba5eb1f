"""What is read from a trial, and how a frame's share of the CPU is told apart."""

import math

import pytest

from streamer.sizing.decoding import decode_us
from streamer.sizing.load import LoadReport
from streamer.sizing.pictures import pictures
from streamer.sizing.trial import WARM_S, Answer, Trial


def report(captured: int, *, late_p99_ms: float = 1.0) -> LoadReport:
    return LoadReport(captured=captured, sent=captured, late_p99_ms=late_p99_ms, result_fps=0.0, cpu_us=100.0)


def trial(latencies_ms: list[list[float]], *, captured: int | None = None, late_p99_ms: float = 1.0) -> Trial:
    """Make a trial of seconds after the warm-up, each with the latencies of its frames."""
    warm = [Answer(round(index * 1e4), 1000.0, 2) for index in range(round(WARM_S * 100))]
    answers = [
        Answer(round((WARM_S + second + index / len(latencies)) * 1e6), latency_ms, 2)
        for second, latencies in enumerate(latencies_ms)
        for index, latency_ms in enumerate(latencies)
    ]
    load = report(captured or len(warm + answers), late_p99_ms=late_p99_ms)
    return Trial(10, 5.0, load, warm + answers, has_caught_up=True, worker_cpu_s=0.5)


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
    empty = Trial(1, 5.0, report(40), (), has_caught_up=False, worker_cpu_s=0.1)
    assert empty.p99_ms == math.inf
    assert empty.drop_rate == 1.0
    assert not empty.passes(60.0, 1.0)
    assert empty.mean_batch == 0.0


def test_the_mean_batch_is_that_of_batches_and_not_of_frames() -> None:
    answers = [Answer(0, 1.0, 1), *(Answer(0, 1.0, 9) for _ in range(9))]
    assert Trial(1, 5.0, report(10), answers, has_caught_up=True, worker_cpu_s=0.1).mean_batch == pytest.approx(5.0)


@pytest.mark.parametrize("frame_bytes", [6_000, 20_000, 60_000])
def test_pictures_are_as_large_as_is_wanted_and_all_different(frame_bytes: int) -> None:
    found = pictures(4, 256, frame_bytes)
    assert len(set(found)) == 4
    for picture in found:
        assert len(picture) == pytest.approx(frame_bytes, rel=0.2)


def test_a_larger_picture_takes_longer_to_decode() -> None:
    small, large = (decode_us(pictures(4, short_side_px), 224) for short_side_px in (256, 1080))
    assert 0 < small < large
