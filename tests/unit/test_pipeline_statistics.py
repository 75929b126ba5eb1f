"""What a running pipeline measures of itself."""

import time
from threading import Event

import pytest

from engine.pipeline.journey import SubmittedJourney, Token
from engine.pipeline.meter import Meter, durations
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.statistics import Durations
from engine.pipeline.step import Step
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0


def tokens(*arrived_s: float) -> list[Token]:
    found = []
    for arrival_s in arrived_s:
        token = Token(SubmittedJourney(lambda _: None), None)
        token.arrived_s = arrival_s
        found.append(token)
    return found


def test_a_meter_counts_calls_and_the_items_in_them() -> None:
    meter = Meter(0.0, 2)
    meter.count(tokens(1.0, 1.5), 2.0, 3.0, is_good=True)
    meter.count(tokens(3.0), 3.0, 3.5, is_good=True)
    meter.count(tokens(3.0), 4.0, 4.5, is_good=False)
    assert (meter.execution.count, meter.execution.total) == (3, 2.0)
    assert (meter.waiting.count, meter.waiting.total) == (4, 2.5)
    assert {size: (found.executions, found.mean_s) for size, found in meter.batch_times().items()} == {
        1: (1, 0.5),
        2: (1, 1.0),
    }
    assert meter.utilisation(5.0) == pytest.approx(2.0 / 10.0)
    figures = durations(meter.execution)
    assert [figures.min_s, figures.max_s, figures.mean_s] == pytest.approx([0.5, 1.0, 2 / 3])


def test_percentiles_are_right_to_one_percent() -> None:
    meter = Meter(0.0, 1)
    for milliseconds in range(1, 1001):
        meter.count(tokens(0.0), 0.0, milliseconds / 1000, is_good=True)
    figures = durations(meter.execution)
    assert figures.p50_s == pytest.approx(0.5, rel=0.015)
    assert figures.p95_s == pytest.approx(0.95, rel=0.015)
    assert figures.p99_s == pytest.approx(0.99, rel=0.015)
    assert durations(Meter(0.0, 1).execution) == Durations()


def test_the_threads_that_a_step_had_count_for_as_long_as_it_had_them() -> None:
    meter = Meter(0.0, 1)
    meter.count(tokens(0.0), 0.0, 3.0, is_good=True)
    meter.resize(2.0, 4)
    meter.resize(3.0, 0)
    assert meter.utilisation(100.0) == pytest.approx(3.0 / 6.0)


def test_each_step_says_what_it_did() -> None:
    steps = [
        Step("one", lambda item: item, parallel_steps=2),
        Step("batch", lambda items: items, 4, batch_timeout_s=1000),
        Step("bad", lambda item: 1 // item, parallel_steps=0),
    ]
    with Pipeline(steps) as pipeline:
        list(pipeline.run(range(8)))
        statistics = pipeline.statistics()
    assert [found.name for found in statistics] == ["one", "batch", "bad"]
    assert [found.after for found in statistics] == [(), ("one",), ("batch",)]
    assert [(found.executions, found.items) for found in statistics] == [(8, 8), (2, 8), (8, 8)]
    assert [found.mean_batch_size for found in statistics] == [1.0, 4.0, 1.0]
    assert [found.max_batch_size for found in statistics] == [None, 4, None]
    assert [tuple(time.size for time in found.batch_times) for found in statistics] == [(1,), (4,), (1,)]
    assert statistics["bad"].batch_times[0].executions == 7
    assert len(statistics) == 3
    assert statistics[0] is statistics["one"]
    for found in statistics:
        assert found.execution.min_s <= found.execution.p50_s <= found.execution.max_s
        assert found.execution_s == pytest.approx(found.execution.mean_s * found.executions)
        assert found.waiting_s == pytest.approx(found.waiting.mean_s * found.items)
        assert 0 <= found.utilisation <= 1


def test_statistics_read_as_a_table() -> None:
    with Pipeline([Step("one", lambda item: item), Step("batch", lambda items: items, 4)]) as pipeline:
        list(pipeline.run(range(4)))
        lines = str(pipeline.statistics()).splitlines()
    assert lines[0].split()[:3] == ["step", "parallel", "batch"]
    assert [line.split()[0] for line in lines[1:3]] == ["one", "batch"]
    assert lines[3].startswith("bottleneck: ")


def test_utilisation_is_the_share_of_the_time_that_a_thread_worked() -> None:
    gate = Event()
    with Pipeline([Step("s", lambda _: gate.wait(DEADLINE_S), parallel_steps=2)]) as pipeline:
        began_s = time.monotonic()
        future = pipeline.submit(None)
        Event().wait(0.05)  # time has to pass; how much makes no difference
        gate.set()
        future.result(DEADLINE_S)
        found = pipeline.statistics()["s"]
        assert found.utilisation <= 0.5
        assert found.utilisation >= found.execution_s / 2 / (time.monotonic() - began_s + 1.0)


def test_a_step_without_threads_has_a_share_of_the_time_as_well() -> None:
    with Pipeline([Step("s", lambda _: Event().wait(0.01), parallel_steps=0)]) as pipeline:
        list(pipeline.run(range(3)))
        assert 0 < pipeline.statistics()["s"].utilisation <= 1


def test_figures_can_be_reset() -> None:
    with Pipeline([Step("s", lambda item: item)]) as pipeline:
        list(pipeline.run(range(5)))
        pipeline.reset_statistics()
        assert pipeline.statistics()["s"].executions == 0
        list(pipeline.run(range(3)))
        assert pipeline.statistics()["s"].executions == 3


def test_a_failed_call_is_counted_but_no_curve_is_made_of_it() -> None:
    with Pipeline([Step("s", lambda item: 1 // item)]) as pipeline:
        list(pipeline.run([0]))
        found = pipeline.statistics()["s"]
        assert (found.executions, found.batch_times) == (1, ())
        wait_until(lambda: pipeline.statistics().bottleneck is None)


def test_a_pipeline_gives_advice_from_what_it_measured() -> None:
    with Pipeline([Step("s", lambda item: item)]) as pipeline:
        list(pipeline.run(range(5)))
        assert pipeline.advise(1.0).is_reachable
