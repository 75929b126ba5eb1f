"""A step by itself: what it may be set to."""

from typing import Any

import pytest

from engine.errors import PipelineError
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step


def test_a_step_is_what_it_was_made() -> None:
    before = Step("before", str)
    step = Step("s", list, 4, parallel_steps=2, batch_timeout_s=0, after=[before, "other"])
    assert (step.name, step.max_batch_size, step.parallel_steps, step.batch_timeout_s) == ("s", 4, 2, 0)
    assert step.after == ("before", "other")
    assert (before.max_batch_size, before.parallel_steps, before.batch_timeout_s, before.after) == (None, 1, 0.02, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "a step has the name ''"),
        ({"name": 3}, "a step has the name 3"),
        ({"parallel_steps": -1}, "step s: parallel_steps is -1: give 0 to 1024"),
        ({"parallel_steps": 1025}, "parallel_steps is 1025"),
        ({"parallel_steps": True}, "parallel_steps is True"),
        ({"parallel_steps": 1.5}, "parallel_steps is 1.5"),
        ({"max_batch_size": 0}, "step s: max_batch_size is 0: give 1 or more"),
        ({"max_batch_size": "4"}, "max_batch_size is '4'"),
        ({"max_batch_size": 2, "parallel_steps": 0}, "step s gathers batches, which takes a thread"),
        ({"batch_timeout_s": -0.1}, "batch_timeout_s is -0.1"),
        ({"batch_timeout_s": float("nan")}, "batch_timeout_s is nan"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"name": "s", "function": str}
    with pytest.raises(PipelineError, match=message):
        Step(**arguments | changes)


def test_a_step_can_be_set_before_it_runs() -> None:
    step = Step("s", list, 4)
    step.set_parallel_steps(3)
    step.set_max_batch_size(2)
    assert (step.parallel_steps, step.max_batch_size) == (3, 2)
    with pytest.raises(PipelineError, match="parallel_steps is -2"):
        step.set_parallel_steps(-2)
    with pytest.raises(PipelineError, match="takes a thread"):
        step.set_parallel_steps(0)
    with pytest.raises(PipelineError, match="max_batch_size is 0"):
        step.set_max_batch_size(0)
    assert (step.parallel_steps, step.max_batch_size) == (3, 2)


def test_a_function_over_single_items_gets_no_batches() -> None:
    with pytest.raises(PipelineError, match="step s takes one item at a time"):
        Step("s", str).set_max_batch_size(4)


def test_the_largest_batch_that_was_ever_allowed_is_remembered_for_advice() -> None:
    step = Step("s", list, 4)
    step.set_max_batch_size(2)
    assert step.batch_limit == 4
    step.set_max_batch_size(8)
    assert step.batch_limit == 8


def test_a_step_runs_in_one_pipeline_at_a_time_and_may_run_in_the_next() -> None:
    step = Step("s", str)
    with Pipeline([step]), pytest.raises(PipelineError, match="step s runs in a pipeline already"):
        Pipeline([Step("free", str), step]).start()
    with Pipeline([step]) as again:
        assert [outcome.value for outcome in again.run([1])] == ["1"]
