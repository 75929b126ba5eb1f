"""Many items in order: how far it reads ahead, how it ends, what it leaves behind."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import count, islice
from threading import Event, Thread
from typing import Any

import pytest

from engine.errors import PipelineError
from engine.pipeline.outcome import Outcome
from engine.pipeline.pipeline import UNBOUNDED, Pipeline
from engine.pipeline.step import Step
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0


def values(outcomes: Iterator[Outcome]) -> list[Any]:
    return [outcome.unwrap() for outcome in outcomes]


class Gate:
    """A function that lets items through when the test says so, and knows which have come."""

    def __init__(self) -> None:
        self.open = Event()
        self.came: list[Any] = []

    def __call__(self, item: Any) -> Any:
        self.came.append(item)
        assert self.open.wait(DEADLINE_S)
        return item


def test_outcomes_come_in_the_order_of_the_items_whatever_overtakes_whatever() -> None:
    second_done = Event()

    def function(item: int) -> int:
        if item == 0:
            assert second_done.wait(DEADLINE_S)
        if item == 1:
            second_done.set()
        return item * 10

    with Pipeline([Step("s", function, parallel_steps=2)]) as pipeline:
        assert values(pipeline.run(range(6))) == [0, 10, 20, 30, 40, 50]


def test_an_item_that_fails_is_an_outcome_among_the_others() -> None:
    with Pipeline([Step("half", lambda item: 12 // item)]) as pipeline:
        outcomes = list(pipeline.run([1, 0, 3]))
    assert [outcome.value for outcome in outcomes] == [12, None, 4]
    assert [type(outcome.error) for outcome in outcomes] == [type(None), ZeroDivisionError, type(None)]
    with pytest.raises(ZeroDivisionError):
        outcomes[1].unwrap()


def test_an_endless_iterable_is_read_no_further_than_the_bound() -> None:
    taken: list[int] = []

    def source() -> Iterator[int]:
        for number in count():
            taken.append(number)
            yield number

    gate = Gate()
    with Pipeline([Step("s", gate)], max_in_flight=5) as pipeline:
        outcomes = pipeline.run(source())
        first = Thread(target=lambda: next(outcomes))
        first.start()
        wait_until(lambda: len(taken) == 5)
        wait_until(lambda: gate.came == [0])
        gate.open.set()
        first.join(DEADLINE_S)
        assert len(taken) == 5
        assert [outcome.value for outcome in islice(outcomes, 100)] == list(range(1, 101))
        assert len(taken) <= 106
        outcomes.close()


def test_what_is_done_is_yielded_before_more_is_asked_of_a_slow_source() -> None:
    asked: list[int] = []

    def source() -> Iterator[int]:
        for number in count(1):
            asked.append(number)
            yield number

    with Pipeline([Step("s", str, parallel_steps=0)]) as pipeline:
        outcomes = pipeline.run(source())
        assert next(outcomes).value == "1"
        assert asked == [1]
        assert next(outcomes).value == "2"
        assert asked == [1, 2]
        outcomes.close()


def test_what_the_iterable_raises_comes_after_the_outcomes_of_what_it_gave() -> None:
    def source() -> Iterator[int]:
        yield from range(7)
        raise OSError("the disk is gone")

    got: list[int] = []
    with Pipeline([Step("s", lambda item: item)], max_in_flight=3) as pipeline:
        outcomes = pipeline.run(source())
        with pytest.raises(OSError, match="the disk is gone"):
            got.extend(outcome.value for outcome in outcomes)
    assert got == list(range(7))


class FirstOnly(Gate):
    """Lets the item 0 through at once, and the others when the test says so."""

    def __call__(self, item: int) -> int:
        if item == 0:
            return 0
        super().__call__(item)
        return item


def test_closing_a_run_early_drops_what_no_step_has_begun_and_waits_for_the_rest() -> None:
    gate, then = FirstOnly(), list[int]()
    steps = [Step("s", gate), Step("then", then.append, parallel_steps=0)]
    with Pipeline(steps, max_in_flight=6) as pipeline:
        outcomes = pipeline.run(count())
        assert next(outcomes).error is None
        wait_until(lambda: gate.came == [1])
        closing = Thread(target=outcomes.close)
        closing.start()
        closing.join(0.02)
        assert closing.is_alive()
        gate.open.set()
        closing.join(DEADLINE_S)
        assert not closing.is_alive()
        assert pipeline._on_their_way == 0
        assert gate.came == [1]  # what waited behind it never entered the step
        assert then == [0]  # and what was in it no further one
        assert values(pipeline.run([0, 7])) == [None, None]
    assert then == [0, 0, 7]


def test_the_first_run_starts_the_pipeline_and_nothing_runs_after_close() -> None:
    before = threading.active_count()
    pipeline = Pipeline([Step("a", str), Step("b", len, parallel_steps=3)])
    assert threading.active_count() == before
    assert values(pipeline.run([10, 100])) == [2, 3]
    assert threading.active_count() == before + 4
    assert pipeline.close()
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="closed"):
        next(pipeline.run([1]))
    assert pipeline.close()


def test_a_run_ends_with_an_error_where_the_pipeline_is_closed_under_it() -> None:
    pipeline = Pipeline([Step("s", lambda item: item)], max_in_flight=2)
    outcomes = pipeline.run(count())
    assert next(outcomes).value == 0
    pipeline.close()
    with pytest.raises(RuntimeError, match="closed"):
        for _ in outcomes:
            pass


def test_a_run_that_is_given_up_does_not_wait_for_ever() -> None:
    gate = Gate()
    pipeline = Pipeline([Step("s", gate)], max_in_flight=2)
    pipeline.start()
    errors: list[BaseException] = []

    def consume() -> None:
        try:
            list(pipeline.run(range(5)))
        except RuntimeError as exc:
            errors.append(exc)

    thread = Thread(target=consume)
    thread.start()
    wait_until(lambda: len(gate.came) == 1)
    assert not pipeline.close(0.01)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()
    gate.open.set()
    assert "before the items were through" in str(errors[0])


def test_several_runs_at_a_time_share_the_pipeline() -> None:
    with (
        Pipeline([Step("s", lambda item: item + 1, parallel_steps=2)], max_in_flight=3) as pipeline,
        ThreadPoolExecutor(4) as pool,
    ):
        runs = [pool.submit(lambda base: values(pipeline.run(range(base, base + 50))), base) for base in range(4)]
        assert [run.result(DEADLINE_S) for run in runs] == [list(range(base + 1, base + 51)) for base in range(4)]


def test_submitting_waits_for_a_place() -> None:
    gate = Gate()
    with Pipeline([Step("s", gate)], max_in_flight=2) as pipeline:
        futures = [pipeline.submit(0), pipeline.submit(1)]
        with pytest.raises(TimeoutError, match="2 items were on their way"):
            pipeline.submit(2, timeout_s=0.01)
        late: list[Future[Any]] = []
        waiting = Thread(target=lambda: late.append(pipeline.submit(3, timeout_s=DEADLINE_S)))
        waiting.start()
        wait_until(lambda: pipeline._waiting == 1)
        gate.open.set()
        waiting.join(DEADLINE_S)
        assert [future.result(DEADLINE_S) for future in [*futures, *late]] == [0, 1, 3]


def test_whoever_waits_for_a_place_hears_that_the_pipeline_closes() -> None:
    gate = Gate()
    pipeline = Pipeline([Step("s", gate)], max_in_flight=1)
    pipeline.start()
    pipeline.submit(0)
    errors: list[BaseException] = []

    def submit() -> None:
        try:
            pipeline.submit(1)
        except RuntimeError as exc:
            errors.append(exc)

    waiting = Thread(target=submit)
    waiting.start()
    wait_until(lambda: pipeline._waiting == 1)
    closing = Thread(target=pipeline.close)
    closing.start()
    waiting.join(DEADLINE_S)
    assert "closed" in str(errors[0])
    gate.open.set()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()


def test_an_unbounded_pipeline_takes_any_number_without_waiting() -> None:
    gate = Gate()
    with Pipeline([Step("s", gate)], max_in_flight=UNBOUNDED) as pipeline:
        futures = [pipeline.submit(number, timeout_s=0) for number in range(2000)]
        gate.open.set()
        assert futures[-1].result(DEADLINE_S) == 1999


def test_the_bound_follows_what_the_steps_work_on() -> None:
    wide = Step("wide", list, 8, parallel_steps=3)
    with Pipeline([wide, Step("narrow", str)]) as pipeline:
        assert pipeline.bound() == 2 * (3 * 8 + 1)
        wide.set_parallel_steps(1)
        wide.set_max_batch_size(2)
        assert pipeline.bound() == 16
    with pytest.raises(PipelineError, match="max_in_flight is 0"):
        Pipeline([], max_in_flight=0)


def test_a_pipeline_that_cannot_start_leaves_nothing_running() -> None:
    class Broken(Step):
        def open(self) -> None:
            raise PipelineError("no device")

    before = threading.active_count()
    good = Step("good", str)
    with pytest.raises(PipelineError, match="no device"), Pipeline([good, Broken("bad", str)]):
        pass
    assert threading.active_count() == before
    assert not good.is_attached


def test_an_error_of_a_cancelled_run_is_never_seen_by_another() -> None:
    with Pipeline([Step("s", lambda item: item)]) as pipeline:
        first, second = pipeline.run(range(100)), pipeline.run(range(100))
        next(first)
        next(second)
        first.close()
        errors = [outcome.error for outcome in second]
        assert CancelledError not in map(type, errors)
        assert len(errors) == 99


def test_an_item_that_is_overtaken_does_not_hold_the_rest_up() -> None:
    later = Event()

    def slow_first(item: int) -> int:
        if item == 0:
            assert later.wait(DEADLINE_S)
        if item == 8:
            later.set()
        return item

    steps = [Step("a", slow_first, parallel_steps=2), Step("b", list, 5, batch_timeout_s=3600.0)]
    with Pipeline(steps, max_in_flight=20) as pipeline:
        assert values(pipeline.run(range(100))) == list(range(100))


def test_a_run_that_is_closed_early_leaves_nothing_counted() -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            pipeline = Pipeline(
                [Step("a", lambda item: item), Step("b", list, 40, batch_timeout_s=0.001)], max_in_flight=200
            )
            run = pipeline.run(range(1000))
            for _, _ in zip(range(150), run, strict=False):
                pass
            run.close()
            assert pipeline._on_their_way == 0
            assert pipeline.close(DEADLINE_S)
    finally:
        sys.setswitchinterval(before)


def test_whoever_closes_while_a_pipeline_starts_has_it_closed() -> None:
    opening, let_go = Event(), Event()

    class Slow(Step):
        def open(self) -> None:
            opening.set()
            assert let_go.wait(DEADLINE_S)

    pipeline = Pipeline([Slow("slow", lambda item: item)])
    failures: list[BaseException] = []

    def start() -> None:
        try:
            pipeline.start()
        except RuntimeError as exc:
            failures.append(exc)

    starting = Thread(target=start)
    starting.start()
    assert opening.wait(DEADLINE_S)
    pipeline.close(0.01)
    let_go.set()
    starting.join(DEADLINE_S)
    assert "closed while it was being started" in str(failures[0])
    assert not any(thread.name.startswith("slow_") for thread in threading.enumerate())


def test_an_interrupt_of_a_callback_ends_nothing_but_itself() -> None:
    with Pipeline([Step("a", lambda item: item)]) as pipeline:
        future = pipeline.submit(1)
        future.result(DEADLINE_S)

        def leave(_: object) -> None:
            raise KeyError("mine")

        pipeline.submit(2).add_done_callback(leave)
    assert pipeline.close(DEADLINE_S)
