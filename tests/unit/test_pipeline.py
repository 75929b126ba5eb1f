"""Items through steps: whose thread, whose error, whose time."""

import time
from concurrent.futures import CancelledError, Future
from threading import Barrier, Event, Thread, current_thread
from typing import Any

import pytest

from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0


def add(amount: int) -> Step:
    return Step(f"add {amount}", lambda item: item + amount, parallel_steps=0)


def fail_on(bad: int) -> Step:
    def function(item: int) -> int:
        if item == bad:
            raise ValueError(f"{bad} is bad")
        return item

    return Step("fail", function, parallel_steps=1)


class Device:
    """Somebody else, who finishes when the test says so."""

    def __init__(self) -> None:
        self.futures: list[Future[Any]] = []

    def __call__(self, _item: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.futures.append(future)
        return future


def test_items_go_through_the_steps_in_order() -> None:
    with Pipeline(
        [
            Step("text", str, parallel_steps=0),
            Step("twice", lambda item: item * 2, parallel_steps=2),
            Step("len", len, parallel_steps=0),
        ]
    ) as run:
        assert [run.submit(item).result(DEADLINE_S) for item in (7, 123)] == [2, 6]


def test_a_pipeline_without_steps_gives_the_item_back() -> None:
    with Pipeline([]) as run:
        assert run.submit("item").result(0) == "item"


def test_an_item_that_fails_fails_alone() -> None:
    with Pipeline([fail_on(2), add(10)]) as run:
        futures = [run.submit(item) for item in range(4)]
        assert [future.exception(DEADLINE_S) is None for future in futures] == [True, True, False, True]
        with pytest.raises(ValueError, match="2 is bad"):
            futures[2].result()
        assert futures[3].result() == 13


def test_a_step_without_threads_runs_where_the_item_comes_from() -> None:
    with Pipeline([Step("inline", lambda _: current_thread(), parallel_steps=0)]) as run:
        assert run.submit(None).result(0) is current_thread()


def test_a_step_has_the_threads_that_it_was_given() -> None:
    together = Barrier(3)
    with Pipeline([Step("meet", lambda _: together.wait(DEADLINE_S) >= 0, parallel_steps=3)]) as run:
        assert all(future.result(DEADLINE_S) for future in [run.submit(None) for _ in range(3)])


def test_a_slow_item_does_not_hold_up_the_others() -> None:
    gate = Event()

    def wait(item: str) -> str:
        if item == "slow":
            assert gate.wait(DEADLINE_S)
        return item

    with Pipeline([Step("wait", wait, parallel_steps=2)]) as run:
        slow, quick = run.submit("slow"), run.submit("quick")
        assert quick.result(DEADLINE_S) == "quick"
        assert not slow.done()
        gate.set()


def test_a_step_may_leave_its_item_to_somebody_else() -> None:
    device = Device()
    with Pipeline([Step("device", device, parallel_steps=0), add(1)]) as run:
        first, second = run.submit(1), run.submit(2)
        device.futures[1].set_result(20)
        assert second.result(0) == 21
        assert not first.done()
        device.futures[0].set_exception(ValueError("the device failed it"))
        with pytest.raises(ValueError, match="the device failed it"):
            first.result(0)


def test_what_somebody_else_cancelled_fails_its_item() -> None:
    device = Device()
    with Pipeline([Step("device", device, parallel_steps=0)]) as run:
        outcome = run.submit(1)
        device.futures[0].cancel()
        assert isinstance(outcome.exception(0), CancelledError)


def test_an_outcome_cannot_be_cancelled_by_whoever_waits_for_it() -> None:
    device = Device()
    with Pipeline([Step("device", device, parallel_steps=0)]) as run:
        outcome = run.submit(1)
        assert not outcome.cancel()
        device.futures[0].set_result(5)
        assert outcome.result(0) == 5


def test_closing_finishes_the_items_on_their_way() -> None:
    gate = Event()
    run = Pipeline([Step("wait", lambda item: gate.wait(DEADLINE_S) and item, parallel_steps=1), add(1)])
    run.start()
    futures = [run.submit(item) for item in range(5)]
    closing = Thread(target=run.close)
    closing.start()
    gate.set()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert [future.result(0) for future in futures] == [1, 2, 3, 4, 5]


def test_closing_waits_for_the_device_and_the_steps_after_it() -> None:
    device = Device()
    run = Pipeline(
        [
            Step("decode", lambda item: item, parallel_steps=1),
            Step("device", device, parallel_steps=0),
            add(1),
            fail_on(-1),
        ]
    )
    run.start()
    outcome = run.submit(1)
    closing = Thread(target=run.close)
    closing.start()
    wait_until(lambda: len(device.futures) == 1 and not run._is_open)
    with pytest.raises(RuntimeError, match="closed"):
        run.submit(2)
    assert not outcome.done()
    device.futures[0].set_result(41)
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert outcome.result(0) == 42
    assert run.close()


def test_closing_waits_no_longer_than_it_is_told_and_closing_again_not_at_all() -> None:
    device, gate = Device(), Event()
    run = Pipeline(
        [
            Step("hold", lambda item: gate.wait(DEADLINE_S) and item, parallel_steps=1),
            Step("dev", device, parallel_steps=0),
        ]
    )
    run.start()
    begun, queued = run.submit(1), run.submit(2)
    assert not run.close(timeout_s=0.01)
    assert not run.close()
    gate.set()
    wait_until(lambda: len(device.futures) == 1)
    device.futures[0].set_result("late")
    assert begun.result(DEADLINE_S) == "late"
    assert not queued.done()


def test_a_step_behind_a_device_that_was_too_late_fails_its_item() -> None:
    device = Device()
    run = Pipeline([Step("device", device, parallel_steps=0), Step("label", str, parallel_steps=1)])
    run.start()
    outcome = run.submit(1)
    assert not run.close(timeout_s=0)
    device.futures[0].set_result(1)
    assert isinstance(outcome.exception(DEADLINE_S), RuntimeError)
    assert run.close()


def test_nothing_is_taken_before_the_start_or_after_the_end() -> None:
    run = Pipeline([add(1)])
    with pytest.raises(RuntimeError, match="not started"):
        run.submit(1)
    run.start()
    with pytest.raises(RuntimeError, match="already"):
        run.start()
    run.close()
    run.close()
    with pytest.raises(RuntimeError, match="closed"):
        run.submit(1)


def test_closing_what_was_never_started_is_harmless() -> None:
    Pipeline([add(1)]).close()


def test_an_interrupt_reaches_whoever_brought_the_item() -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    with Pipeline([Step("inline", interrupted, parallel_steps=0)]) as run, pytest.raises(KeyboardInterrupt):
        run.submit(1)


def test_a_thread_that_is_told_to_end_still_fails_its_item() -> None:
    def ended(_: object) -> None:
        raise SystemExit(3)

    with Pipeline([Step("thread", ended, parallel_steps=1)]) as run:
        assert isinstance(run.submit(1).exception(DEADLINE_S), SystemExit)


def test_the_callbacks_of_an_outcome_may_submit_the_next_item() -> None:
    done = Event()
    with Pipeline([Step("thread", lambda item: item, parallel_steps=1)]) as run:

        def go_on(future: Future[int]) -> None:
            if future.result() == 3:
                done.set()
            else:
                run.submit(future.result() + 1).add_done_callback(go_on)

        run.submit(0).add_done_callback(go_on)
        assert done.wait(DEADLINE_S)


def test_statistics_count_what_was_finished_and_failed() -> None:
    device = Device()
    with Pipeline([fail_on(1), Step("device", device, parallel_steps=0), add(1)]) as run:
        futures = [run.submit(item) for item in range(3)]
        futures[1].exception(DEADLINE_S)
        wait_until(lambda: len(device.futures) == 2)
        assert [step.executions for step in run.statistics()] == [3, 0, 0]
        device.futures[0].set_result(1)
        device.futures[1].set_exception(ValueError("failed"))
        assert [step.executions for step in run.statistics()] == [3, 2, 1]
        assert [step.name for step in run.statistics()] == ["fail", "device", "add 1"]


def test_waiting_for_a_thread_and_working_are_told_apart() -> None:
    gate, begun = Event(), Event()

    def work(item: str) -> str:
        if item == "first":
            begun.set()
            assert gate.wait(DEADLINE_S)
        return item

    with Pipeline([Step("work", work, parallel_steps=1)]) as run:
        first = run.submit("first")
        assert begun.wait(DEADLINE_S)
        second = run.submit("second")
        submitted_s = time.monotonic()
        Event().wait(0.02)  # time has to pass; how much makes no difference
        opened_s = time.monotonic()
        gate.set()
        first.result(DEADLINE_S)
        second.result(DEADLINE_S)
        (work_done,) = run.statistics()
    held_s = opened_s - submitted_s
    # The first worked, and the second waited, for as long as the gate was held shut.
    assert work_done.execution_s >= held_s
    assert work_done.waiting_s >= held_s
    assert work_done.executions == 2


def test_a_device_counts_as_work_until_it_is_done() -> None:
    device = Device()
    with Pipeline([Step("device", device, parallel_steps=0)]) as run:
        outcome = run.submit(1)
        begun_s = time.monotonic()
        Event().wait(0.02)  # time has to pass; how much makes no difference
        held_s = time.monotonic() - begun_s
        device.futures[0].set_result(1)
        outcome.result(0)
        (statistics,) = run.statistics()
    assert statistics.execution_s >= held_s
