"""Steps that are configured anew while their pipeline runs."""

import threading
from threading import Barrier, Event, Lock, current_thread

import pytest

from engine.errors import PipelineError
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0


def threads_of(name: str) -> int:
    return sum(thread.name.startswith(f"{name}_") for thread in threading.enumerate())


class Meeting:
    """Holds its items until the test lets go, and counts them."""

    def __init__(self) -> None:
        self.gate = Event()
        self._lock = Lock()
        self.present = 0

    def __call__(self, item: int) -> int:
        with self._lock:
            self.present += 1
        assert self.gate.wait(DEADLINE_S)
        return item


def test_more_threads_take_what_waits_at_once() -> None:
    meeting = Meeting()
    step = Step("grow", meeting)
    with Pipeline([step]) as pipeline:
        futures = [pipeline.submit(number) for number in range(4)]
        wait_until(lambda: meeting.present == 1)
        step.set_parallel_steps(3)
        wait_until(lambda: meeting.present == 3)
        meeting.gate.set()
        assert [future.result(DEADLINE_S) for future in futures] == [0, 1, 2, 3]
        assert pipeline.statistics()["grow"].parallel_steps == 3


def test_threads_to_spare_end_and_the_others_go_on() -> None:
    step = Step("shrink", lambda item: item, parallel_steps=5)
    with Pipeline([step]) as pipeline:
        assert threads_of("shrink") == 5
        step.set_parallel_steps(2)
        wait_until(lambda: threads_of("shrink") == 2)
        assert [outcome.value for outcome in pipeline.run(range(50))] == list(range(50))
        step.set_parallel_steps(4)
        assert threads_of("shrink") == 4


def test_a_thread_that_works_ends_after_its_item() -> None:
    meeting = Meeting()
    step = Step("busy", meeting, parallel_steps=2)
    with Pipeline([step]) as pipeline:
        futures = [pipeline.submit(number) for number in range(4)]
        wait_until(lambda: meeting.present == 2)
        step.set_parallel_steps(1)
        meeting.gate.set()
        assert [future.result(DEADLINE_S) for future in futures] == [0, 1, 2, 3]
        wait_until(lambda: threads_of("busy") == 1)


def test_a_step_can_give_up_its_threads_and_get_them_back() -> None:
    meeting = Meeting()
    step = Step("inline", meeting)
    with Pipeline([step]) as pipeline:
        futures = [pipeline.submit(number) for number in range(3)]
        wait_until(lambda: meeting.present == 1)
        step.set_parallel_steps(0)
        meeting.gate.set()
        assert [future.result(DEADLINE_S) for future in futures] == [0, 1, 2]  # what waited was not forgotten
        wait_until(lambda: threads_of("inline") == 0)
        step.function = lambda _: current_thread()
        assert pipeline.submit(None).result(0) is current_thread()
        step.set_parallel_steps(1)
        assert pipeline.submit(None).result(DEADLINE_S).name == "inline_0"


def test_a_smaller_batch_lets_what_waits_go() -> None:
    sizes: list[int] = []

    def function(items: list[int]) -> list[int]:
        sizes.append(len(items))
        return items

    step = Step("batch", function, 4, batch_timeout_s=1000)
    with Pipeline([step]) as pipeline:
        futures = [pipeline.submit(number) for number in range(3)]
        step.set_max_batch_size(2)
        assert [future.result(DEADLINE_S) for future in futures[:2]] == [0, 1]
        assert not futures[2].done()
        step.set_max_batch_size(1)
        assert futures[2].result(DEADLINE_S) == 2
        step.set_max_batch_size(3)
        futures = [pipeline.submit(number) for number in range(3)]
        assert [future.result(DEADLINE_S) for future in futures] == [0, 1, 2]
    assert sizes == [2, 1, 3]


def test_what_waits_keeps_its_age() -> None:
    step = Step("batch", lambda items: items, 4, batch_timeout_s=1000)
    with Pipeline([step]) as pipeline:
        (runner,) = pipeline._router.runners
        future = pipeline.submit(1)
        due_at_s = runner._batcher.due_at_s()
        step.set_max_batch_size(3)
        assert runner._batcher.due_at_s() == due_at_s
        step.set_max_batch_size(1)
        assert future.result(DEADLINE_S) == 1


def test_what_is_refused_changes_nothing() -> None:
    step = Step("s", lambda items: items, 4)
    with Pipeline([step]) as pipeline:
        with pytest.raises(PipelineError, match="takes a thread"):
            step.set_parallel_steps(0)
        assert threads_of("s") == 1
        assert [outcome.value for outcome in pipeline.run(range(5))] == list(range(5))


def test_a_change_after_the_end_starts_nothing() -> None:
    step = Step("late", str)
    with Pipeline([step]):
        pass
    step.set_parallel_steps(4)
    assert threads_of("late") == 0


def test_threads_are_taken_on_while_items_come() -> None:
    together = Barrier(3)
    step = Step("meet", lambda _: together.wait(DEADLINE_S) >= 0)
    with Pipeline([step]) as pipeline:
        futures = [pipeline.submit(None) for _ in range(3)]
        step.set_parallel_steps(3)
        assert all(future.result(DEADLINE_S) for future in futures)
