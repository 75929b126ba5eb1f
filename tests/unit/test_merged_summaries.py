"""One summary of several workers."""

from typing import Any

import pytest

from consumers.batch import Batch
from consumers.counts import Counts, merge_summaries
from tests.fakes.polled_frames import polled_frames


def summary(**changes: Any) -> dict[str, Any]:
    return Counts().summary() | {"group": "g", "device": "0", "failure": None} | changes


def latency(p50: float | None, p95: float | None, p99: float | None) -> dict[str, float | None]:
    return {"p50": p50, "p95": p95, "p99": p99}


def test_of_no_workers_it_is_that_of_a_worker_that_did_nothing() -> None:
    assert merge_summaries([]) == Counts().summary()


def test_of_one_worker_it_is_its_own() -> None:
    counts = Counts()
    counts.began()
    for number in range(10):
        counts.finished("classified", "", 10.0 + number)
    counts.finished("dead-lettered", "truncated", 5.0)
    counts.finished("skipped", "too-old", 5.0)
    counts.lost(3)
    counts.batch(Batch(polled_frames([1, 2, 3]), capacity=8, taken_at_s=0.0))
    own = counts.summary()
    assert own["batch"] == {"mean_size": 3.0, "count": 1}
    merged = merge_summaries([own])
    # From times in whole µs, where the worker's own is from the clock itself.
    assert merged.pop("fps") == pytest.approx(own.pop("fps"), rel=0.5)
    assert merged == own


def test_what_is_counted_is_added() -> None:
    first = summary(classified=5, timed=1, skipped=2, dead_lettered=3, lost_to_retention=4)
    second = summary(classified=50, timed=10, skipped=20, dead_lettered=30, lost_to_retention=40)
    merged = merge_summaries([first, second, summary()])
    names = ("classified", "timed", "skipped", "dead_lettered", "lost_to_retention")
    assert [merged[name] for name in names] == [55, 11, 22, 33, 44]


def test_the_rate_is_that_of_all_from_the_first_frame_of_any_to_the_last() -> None:
    first = summary(classified=30, began_at="2026-11-21T08:00:00.000000Z", ended_at="2026-11-21T08:00:01.000000Z")
    second = summary(classified=60, began_at="2026-11-21T08:00:02.000000Z", ended_at="2026-11-21T08:00:03.000000Z")
    assert merge_summaries([first, second, summary()])["fps"] == 30.0


def test_reasons_are_added_one_by_one() -> None:
    first = summary(reasons={"truncated": 2, "too-old": 1})
    second = summary(reasons={"truncated": 3, "empty": 7})
    assert merge_summaries([first, second])["reasons"] == {"truncated": 5, "too-old": 1, "empty": 7}


def test_the_latency_is_that_of_the_slowest_worker() -> None:
    merged = merge_summaries(
        [
            summary(latency_ms=latency(10.0, 20.0, 90.0)),
            summary(latency_ms=latency(15.0, 18.0, 30.0)),
            summary(latency_ms=latency(None, None, None)),
        ]
    )
    assert merged["latency_ms"] == latency(15.0, 20.0, 90.0)


def test_without_any_frame_there_is_no_latency() -> None:
    assert merge_summaries([summary(), summary()])["latency_ms"] == latency(None, None, None)


def test_the_mean_batch_is_of_all_batches_not_of_all_workers() -> None:
    merged = merge_summaries(
        [summary(batch={"mean_size": 8.0, "count": 9}), summary(batch={"mean_size": 3.0, "count": 1}), summary()]
    )
    assert merged["batch"] == {"mean_size": pytest.approx(7.5), "count": 10}


def test_what_is_a_workers_own_is_left_out() -> None:
    merged = merge_summaries([summary(failure={"error": "it is broken", "is_retriable": True})])
    assert set(merged) == set(Counts().summary())
