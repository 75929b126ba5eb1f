"""Steps that follow several, and several that follow one."""

from threading import Barrier, Event, current_thread
from typing import Any

import pytest

from engine.errors import PipelineError
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step

DEADLINE_S = 20.0


def test_a_join_gets_the_values_in_the_order_in_which_it_names_them() -> None:
    source = Step("source", lambda item: item)
    text = Step("text", str, after=[source], parallel_steps=0)
    square = Step("square", lambda item: item**2, after=["source"], parallel_steps=0)  # it gives its value last
    join = Step("join", lambda pair: pair, after=[square, text])
    with Pipeline([source, text, square, join]) as pipeline:
        assert [outcome.value for outcome in pipeline.run([2, 3])] == [(4, "2"), (9, "3")]


def test_branches_work_at_the_same_time() -> None:
    together = Barrier(2)
    steps = [
        Step("left", lambda item: (together.wait(DEADLINE_S), item)[1]),
        Step("right", lambda item: (together.wait(DEADLINE_S), -item)[1], after=[]),
    ]
    with Pipeline(steps) as pipeline:
        assert [outcome.value for outcome in pipeline.run([1, 2])] == [
            {"left": 1, "right": -1},
            {"left": 2, "right": -2},
        ]


def test_an_error_of_one_branch_is_the_outcome_once_the_others_have_ended() -> None:
    begun, gate, ended = Event(), Event(), Event()

    def bad(item: int) -> int:
        assert begun.wait(DEADLINE_S)
        return 1 // item

    def slow(item: int) -> int:
        begun.set()
        assert gate.wait(DEADLINE_S)
        ended.set()
        return item

    never: list[Any] = []
    steps = [
        Step("slow", slow),
        Step("bad", bad, after=[], parallel_steps=0),
        Step("behind", never.append, after=["slow"]),
        Step("join", lambda pair: pair, after=["bad", "slow"]),
    ]
    with Pipeline(steps) as pipeline:
        outcome = pipeline.submit(0)
        assert not outcome.done()
        gate.set()
        assert isinstance(outcome.exception(DEADLINE_S), ZeroDivisionError)
        assert ended.is_set()
        assert pipeline.submit(1).result(DEADLINE_S) == {"behind": None, "join": (1, 1)}
    assert never == [1]


def test_the_first_error_counts() -> None:
    both = Barrier(2)
    seen: list[BaseException] = []

    def fail(item: object) -> None:
        both.wait(DEADLINE_S)
        error = ValueError(current_thread().name)
        seen.append(error)
        raise error

    with Pipeline([Step("a", fail), Step("b", fail, after=[])]) as pipeline:
        assert pipeline.submit(0).exception(DEADLINE_S) in seen


def test_an_interrupt_in_one_branch_does_not_lose_the_item() -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    steps = [
        Step("first", lambda item: item),
        Step("bad", interrupted, after=["first"], parallel_steps=0),
        Step("good", lambda item: item, after=["first"], parallel_steps=0),
    ]
    with Pipeline(steps) as pipeline:
        assert isinstance(pipeline.submit(1).exception(DEADLINE_S), KeyboardInterrupt)
        assert isinstance(pipeline.submit(2).exception(DEADLINE_S), KeyboardInterrupt)


def test_an_interrupt_behind_a_batch_takes_only_its_own_item() -> None:
    def interrupted(item: int) -> int:
        if item == 0:
            raise KeyboardInterrupt
        return item

    steps = [Step("batch", lambda items: items, 3, batch_timeout_s=1000), Step("s", interrupted, parallel_steps=0)]
    with Pipeline(steps) as pipeline:
        futures = [pipeline.submit(number) for number in range(3)]
        assert isinstance(futures[0].exception(DEADLINE_S), KeyboardInterrupt)
        assert [future.result(DEADLINE_S) for future in futures[1:]] == [1, 2]
        again = [pipeline.submit(number) for number in range(4, 7)]
        assert [future.result(DEADLINE_S) for future in again] == [4, 5, 6]


def test_steps_that_cannot_be_put_in_order_are_refused_where_the_pipeline_is_made() -> None:
    with pytest.raises(PipelineError, match="in a circle: 'b' → 'a' → 'b'"):
        Pipeline([Step("a", str, after=["b"]), Step("b", str, after=["a"])])
    with pytest.raises(PipelineError, match="two steps are called 'a'"):
        Pipeline([Step("a", str), Step("a", str)])
    with pytest.raises(PipelineError, match="step 'b' follows 'other', which is no step here"):
        Pipeline([Step("a", str), Step("b", str, after=[Step("other", str)])])
