"""Batches within a step: how they fill, when they go, what goes wrong in them."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

import pytest

from engine.errors import PipelineError
from engine.pipeline.outcome import Failed
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0
NEVER_S = 1000.0


class Batches:
    """Notes the batches that it gets."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.gate = Event()
        self.gate.set()

    def __call__(self, items: list[int]) -> list[int]:
        self.sizes.append(len(items))
        assert self.gate.wait(DEADLINE_S)
        return [item * 10 for item in items]


def test_a_batch_goes_when_it_is_full() -> None:
    batches = Batches()
    with Pipeline([Step("s", batches, 3, batch_timeout_s=NEVER_S)]) as pipeline:
        futures = [pipeline.submit(number) for number in range(3)]
        assert [future.result(DEADLINE_S) for future in futures] == [0, 10, 20]
    assert batches.sizes == [3]


def test_a_batch_that_does_not_fill_goes_when_its_first_item_has_waited() -> None:
    batches = Batches()
    with Pipeline([Step("s", batches, 3, batch_timeout_s=0.01)]) as pipeline:
        assert pipeline.submit(1).result(DEADLINE_S) == 10
    assert batches.sizes == [1]


def test_a_time_out_of_zero_takes_what_is_there() -> None:
    batches = Batches()
    batches.gate.clear()
    with Pipeline([Step("s", batches, 4, batch_timeout_s=0)]) as pipeline:
        first = pipeline.submit(0)
        wait_until(lambda: batches.sizes == [1])
        others = [pipeline.submit(number) for number in range(1, 7)]
        batches.gate.set()
        assert [future.result(DEADLINE_S) for future in [first, *others]] == [10 * number for number in range(7)]
    assert batches.sizes == [1, 4, 2]


def test_the_last_batch_of_a_run_waits_for_nobody() -> None:
    batches = Batches()
    with Pipeline([Step("s", batches, 4, batch_timeout_s=NEVER_S)]) as pipeline:
        assert [outcome.value for outcome in pipeline.run(range(6))] == [0, 10, 20, 30, 40, 50]
        assert batches.sizes == [4, 2]


def test_a_batch_that_waits_hears_that_the_run_has_no_more_items() -> None:
    batches = Batches()
    with Pipeline([Step("s", batches, 4, batch_timeout_s=NEVER_S)]) as pipeline:
        (runner,) = pipeline._router.runners

        def source() -> Iterator[int]:
            yield from range(2)
            wait_until(lambda: runner.load == 2 and runner._sleepers == 1)

        assert [outcome.value for outcome in pipeline.run(source())] == [0, 10]
    assert batches.sizes == [2]


def test_batches_after_batches_go_too_when_nothing_more_can_come() -> None:
    slow, late = Event(), Batches()

    def hold(item: int) -> int:
        if item == 6:
            assert slow.wait(DEADLINE_S)
        return item

    steps = [
        Step("hold", hold),
        Step("first", lambda items: items, 4, batch_timeout_s=NEVER_S),
        Step("inline", lambda item: item, parallel_steps=0),
        Step("second", late, 5, batch_timeout_s=NEVER_S),
    ]
    with Pipeline(steps) as pipeline, ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: [outcome.value for outcome in pipeline.run(range(7))])
        # The run has no more items, and all but one wait for that one: four, which filled a batch, and two.
        wait_until(lambda: pipeline._router.is_draining and pipeline.statistics()["inline"].executions == 4)
        wait_until(lambda: pipeline._router.runners[1].load == 2)
        assert late.sizes == []
        slow.set()
        assert running.result(DEADLINE_S) == [10 * number for number in range(7)]
    assert late.sizes == [5, 2]


def test_batches_behind_a_device_go_when_it_has_nothing_more() -> None:
    futures: list[Future[int]] = []
    late = Batches()

    def device(_: int) -> Future[int]:
        futures.append(Future())
        return futures[-1]

    steps = [Step("device", device), Step("late", late, 4, batch_timeout_s=NEVER_S)]
    with Pipeline(steps) as pipeline, ThreadPoolExecutor(1) as pool:
        running = pool.submit(lambda: [outcome.value for outcome in pipeline.run(range(3))])
        wait_until(lambda: pipeline._router.is_draining and len(futures) == 3)
        for number, future in enumerate(futures):
            future.set_result(number)
            Event().wait(0.01)  # for the batch to look and sleep again; whether it does makes no difference
        assert running.result(DEADLINE_S) == [0, 10, 20]
    assert late.sizes == [3]


def test_what_comes_out_of_a_batch_wakes_as_many_threads_as_there_are() -> None:
    together = Barrier(4)
    steps = [
        Step("batch", lambda items: items, 4, batch_timeout_s=NEVER_S),
        Step("meet", lambda _: together.wait(DEADLINE_S) >= 0, parallel_steps=4),
    ]
    with Pipeline(steps) as pipeline:
        wait_until(lambda: pipeline._router.runners[1]._sleepers == 4)
        assert all(future.result(DEADLINE_S) for future in [pipeline.submit(number) for number in range(4)])


def test_a_batch_that_only_closing_can_send_is_sent_by_it() -> None:
    batches = Batches()
    pipeline = Pipeline([Step("s", batches, 4, batch_timeout_s=NEVER_S)])
    pipeline.start()
    futures = [pipeline.submit(1), pipeline.submit(2)]
    assert pipeline.close(DEADLINE_S)
    assert [future.result(0) for future in futures] == [10, 20]
    assert batches.sizes == [2]


def test_a_run_that_has_ended_does_not_hurry_the_batches_of_others() -> None:
    batches = Batches()
    with Pipeline([Step("s", batches, 2, batch_timeout_s=NEVER_S)]) as pipeline:
        assert [outcome.value for outcome in pipeline.run([1])] == [10]
        assert not pipeline._router.is_draining
        first = pipeline.submit(2)
        assert pipeline.submit(3).result(DEADLINE_S) == 30
        assert first.result(DEADLINE_S) == 20
    assert batches.sizes == [1, 2]


def test_a_second_thread_takes_the_batch_that_is_due_while_the_first_works() -> None:
    batches = Batches()
    batches.gate.clear()
    with Pipeline([Step("s", batches, 2, parallel_steps=2, batch_timeout_s=0.02)]) as pipeline:
        futures = [pipeline.submit(number) for number in range(3)]
        wait_until(lambda: batches.sizes == [2, 1])
        batches.gate.set()
        assert [future.result(DEADLINE_S) for future in futures] == [0, 10, 20]


def test_what_a_batch_raises_is_the_outcome_of_each_of_its_items() -> None:
    def fail(items: list[int]) -> list[int]:
        if 2 in items:
            raise ValueError("bad batch")
        return items

    with Pipeline([Step("s", fail, 2, batch_timeout_s=NEVER_S)]) as pipeline:
        outcomes = list(pipeline.run(range(6)))
    assert [outcome.value for outcome in outcomes] == [0, 1, None, None, 4, 5]
    assert all(isinstance(outcome.error, ValueError) for outcome in outcomes[2:4])


def test_one_item_of_a_batch_can_fail_alone() -> None:
    def function(items: list[int]) -> list[Any]:
        return [Failed(ValueError(f"{item} is bad")) if item % 2 else item for item in items]

    with Pipeline([Step("s", function, 4), Step("then", lambda item: item + 100)]) as pipeline:
        outcomes = list(pipeline.run(range(4)))
    assert [outcome.value for outcome in outcomes] == [100, None, 102, None]
    assert [str(outcome.error) for outcome in outcomes[1::2]] == ["1 is bad", "3 is bad"]


@pytest.mark.parametrize(
    ("result", "given"),
    [
        ([1], r"1 values \(list\)"),
        ([1, 2, 3], r"3 values \(list\)"),
        (None, r"something without a length \(NoneType\)"),
        (iter([1, 2]), r"something without a length \(list_iterator\)"),
        ({0: 1, 1: 2}, r"2 values \(dict\)"),
        ("ab", r"2 values \(str\)"),
    ],
)
def test_values_that_are_not_one_for_each_item_are_an_error_of_the_whole_batch(result: object, given: str) -> None:
    with Pipeline([Step("odd", lambda _: result, 2, batch_timeout_s=NEVER_S)]) as pipeline:
        for outcome in pipeline.run(range(2)):
            with pytest.raises(PipelineError, match=f"step odd gave {given} for a batch of 2"):
                outcome.unwrap()


def test_a_batch_may_be_left_to_somebody_else() -> None:
    futures: list[Future[list[int]]] = []

    def device(items: list[int]) -> Future[list[int]]:
        futures.append(Future())
        return futures[-1]

    with Pipeline([Step("device", device, 2, batch_timeout_s=NEVER_S)]) as pipeline:
        outcomes = [pipeline.submit(number) for number in range(4)]
        wait_until(lambda: len(futures) == 2)  # one thread, two batches on the device
        futures[1].set_result([2, 3])
        futures[0].set_result([0])
        assert [outcome.result(DEADLINE_S) for outcome in outcomes[2:]] == [2, 3]
        assert isinstance(outcomes[0].exception(DEADLINE_S), PipelineError)
        assert pipeline.statistics()["device"].is_deferred


class Odd(list[int]):
    """A list that is none."""

    def __init__(self, kind: str) -> None:
        super().__init__([1, 2])
        self.kind = kind

    def __len__(self) -> int:
        if self.kind == "length":
            raise ValueError("no length")
        return 2

    def __iter__(self) -> Iterator[int]:
        if self.kind == "values":
            raise ValueError("no values")
        return iter([1])


@pytest.mark.parametrize("kind", ["length", "values", "fewer"])
def test_a_list_that_is_none_loses_no_item(kind: str) -> None:
    with Pipeline([Step("odd", lambda _: Odd(kind), 2, batch_timeout_s=NEVER_S)]) as pipeline:
        assert [type(outcome.error) for outcome in pipeline.run(range(2))] in (
            [ValueError] * 2,
            [PipelineError] * 2,
        )
