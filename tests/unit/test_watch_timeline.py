"""Seconds of a group."""

import tracemalloc

import pytest

from messaging.outcome import LatencyParts
from streamer.watch.timeline import Timeline
from tests.fakes.watched import outcome_view

NOW_S = 10_000.0


def timed(total_ms: float) -> LatencyParts:
    return LatencyParts(total_ms / 2, 0.0, 0.0, 0.0, total_ms / 2, 0.0, total_ms)


def test_a_second_has_counts_means_and_a_percentile() -> None:
    timeline = Timeline()
    for total_ms in range(1, 101):
        timeline.take(outcome_view(latency_ms=timed(float(total_ms))), NOW_S + total_ms / 101, NOW_S + 1)
    timeline.take(outcome_view(status="skipped", latency_ms=None), NOW_S, NOW_S + 1)
    (second,) = timeline.view(NOW_S + 2)
    assert second.at_s == NOW_S
    assert second.outcomes == {"classified": 100, "skipped": 1}
    assert second.latency_ms == LatencyParts(25.25, 0.0, 0.0, 0.0, 25.25, 0.0, 50.5)
    assert second.total_p95_ms == pytest.approx(95, rel=0.02)


def test_a_second_without_latencies_says_so() -> None:
    timeline = Timeline()
    timeline.take(outcome_view(latency_ms=None), NOW_S, NOW_S)
    (second,) = timeline.view(NOW_S + 2)
    assert (second.latency_ms, second.total_p95_ms) == (None, None)


def test_a_second_is_shown_when_it_is_over_and_changes_where_something_comes_late() -> None:
    timeline = Timeline()
    timeline.take(outcome_view(), NOW_S, NOW_S)
    assert timeline.view(NOW_S + 1.9) == []
    assert timeline.view(NOW_S + 2.0)[0].outcomes == {"classified": 1}
    timeline.take(outcome_view(), NOW_S + 0.5, NOW_S + 2.5)
    assert timeline.view(NOW_S + 2.5)[0].outcomes == {"classified": 2}


def test_seconds_in_which_nothing_came_are_there() -> None:
    timeline = Timeline()
    assert timeline.view(NOW_S) == []
    timeline.take(outcome_view(), NOW_S, NOW_S)
    timeline.take(outcome_view(), NOW_S + 3, NOW_S + 3)
    seconds = timeline.view(NOW_S + 6)
    assert [second.at_s - NOW_S for second in seconds] == [0, 1, 2, 3, 4]
    assert [second.outcomes for second in seconds] == [{"classified": 1}, {}, {}, {"classified": 1}, {}]


def test_a_latency_below_zero_is_a_clock_that_is_ahead() -> None:
    timeline = Timeline()
    timeline.take(outcome_view(latency_ms=timed(-50.0)), NOW_S, NOW_S)
    (second,) = timeline.view(NOW_S + 2)
    assert second.latency_ms == timed(-50.0)
    assert second.total_p95_ms == 0.0


def test_five_minutes_are_kept_in_bounded_memory() -> None:
    timeline = Timeline()
    tracemalloc.start()
    try:
        for number in range(20_000):
            at_s = NOW_S + number / 10
            timeline.take(outcome_view(latency_ms=timed(10.0 ** (number % 8))), at_s, at_s)
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    seconds = timeline.view(NOW_S + 2000)
    assert len(seconds) == 298
    assert seconds[-1].at_s == NOW_S + 1998
    assert kept_bytes < 2_000_000
    timeline.take(outcome_view(), NOW_S, NOW_S + 2000)  # too old
    assert len(timeline.view(NOW_S + 2000)) == 298
