"""What the figures say about a pipeline: its bottleneck, its rate, and what it would take."""

import pytest

from engine.errors import PipelineError
from engine.pipeline.advice import advise
from engine.pipeline.capacity import Curve, capacities_fps
from engine.pipeline.overview import PipelineStatistics
from engine.pipeline.statistics import BatchTime, StepStatistics


def step(name: str, times_ms: dict[int, float], after: str = "", **changes: object) -> StepStatistics:
    times = tuple(BatchTime(size, 10, time_ms / 1000) for size, time_ms in times_ms.items())
    fields: dict[str, object] = {"batch_times": times, "after": (after,) if after else ()}
    return StepStatistics(name, **fields | changes)  # type: ignore[arg-type]


def example(max_batch_size: int = 1, **of_model: object) -> tuple[StepStatistics, ...]:
    """The vendor's example of four cameras."""
    limits: dict[str, object] = {"max_batch_size": max_batch_size, "batch_limit": 4}
    return (
        step("preprocessing", {1: 48.828}),
        step("classification", {1: 28.0, 4: 40.0}, "preprocessing", **limits | of_model),
        step("postprocessing", {1: 3.0}, "classification"),
    )


def test_the_example_as_it_is_does_about_twenty_and_preprocessing_holds_it_up() -> None:
    statistics = PipelineStatistics(example())
    assert statistics.bottleneck == "preprocessing"
    assert statistics.predicted_fps == pytest.approx(20.48, abs=0.01)


def test_for_35_the_example_wants_two_preprocessing_steps_and_no_batches() -> None:
    advice = advise(example(), 35, cores=16)
    assert [(found.name, found.parallel_steps, found.max_batch_size) for found in advice.steps] == [
        ("preprocessing", 2, None),
        ("classification", 1, 1),
        ("postprocessing", 1, None),
    ]
    assert advice.is_reachable
    assert advice.present_fps == pytest.approx(20.48, abs=0.01)
    assert advice.fps == pytest.approx(35.71, abs=0.01)
    assert advice.bottleneck == "preprocessing"
    assert advice.notes == ()


def test_for_100_the_example_wants_five_preprocessing_steps_and_batches_of_four() -> None:
    advice = advise(example(), 100, cores=16)
    assert [(found.parallel_steps, found.max_batch_size) for found in advice.steps] == [(5, None), (1, 4), (1, None)]
    assert [found.is_change for found in advice.steps] == [True, True, False]
    assert advice.fps == pytest.approx(100.0)
    assert advice.is_reachable


def test_advice_reads_as_text() -> None:
    assert str(advise(example(), 100, cores=16)).splitlines() == [
        "now: 20.5 items/s, held up by preprocessing",
        "  preprocessing: 5 in parallel (now 1): 102.4 items/s",
        "  classification: 1 in parallel, batches of 4 (now 1): 100.0 items/s",
        "  postprocessing: 1 in parallel: 333.3 items/s",
        "so configured: 100.0 items/s, which reaches 100 items/s",
    ]


def test_batches_come_before_instances_but_never_beyond_the_limit() -> None:
    advice = advise(example(), 110, cores=16)
    assert (advice.steps[1].parallel_steps, advice.steps[1].max_batch_size) == (2, 2)
    assert advise(example(batch_limit=8), 110, cores=16).steps[1].parallel_steps == 1
    assert advise(example(batch_limit=8), 110, cores=16).steps[1].max_batch_size == 5


def test_a_target_that_a_device_cannot_reach_is_said_to_be_so() -> None:
    advice = advise(example(parallel_limit=1), 150, cores=16)
    assert not advice.is_reachable
    assert (advice.steps[1].parallel_steps, advice.steps[1].max_batch_size) == (1, 4)
    assert advice.fps == pytest.approx(100.0)
    (note,) = advice.notes
    assert note.startswith("classification gives 100.0 items/s at the most: it has 1 in parallel at the most")
    assert "does not reach 150" in str(advice)


def test_more_threads_than_cores_are_advised_with_a_caveat() -> None:
    assert advise(example(), 35, cores=2).notes == ()
    (note,) = advise(example(), 100, cores=2).notes
    assert note.startswith("this machine has 2 cores")


def test_without_a_second_size_no_gain_from_batches_is_assumed_and_that_is_said() -> None:
    steps = (step("model", {1: 28.0}, max_batch_size=1, batch_limit=4),)
    advice = advise(steps, 70, cores=16)
    assert (advice.steps[0].parallel_steps, advice.steps[0].max_batch_size) == (2, 1)
    assert advice.notes == ("model was measured with one batch size alone (1), so no gain from batches is assumed",)


def test_a_model_of_one_size_is_advised_that_size() -> None:
    steps = (step("model", {3: 40.0, 8: 40.0}, max_batch_size=8, batch_limit=8, has_fixed_batch=True),)
    advice = advise(steps, 300, cores=16)
    assert (advice.steps[0].parallel_steps, advice.steps[0].max_batch_size) == (2, 8)


def test_a_step_without_threads_counts_into_the_one_that_carries_it() -> None:
    steps = (
        step("first", {1: 6.0}),
        step("inline", {1: 3.0}, "first", parallel_steps=0),
        step("also", {1: 1.0}, "inline", parallel_steps=0),
        step("last", {1: 5.0}, "also"),
    )
    assert capacities_fps(steps) == {"first": pytest.approx(100.0), "last": pytest.approx(200.0)}
    advice = advise(steps, 150, cores=16)
    assert [found.parallel_steps for found in advice.steps] == [2, 0, 0, 1]
    assert advice.steps[1].fps is None


def test_steps_without_threads_at_the_begin_run_on_the_callers() -> None:
    steps = (step("a", {1: 6.0}, parallel_steps=0), step("b", {1: 4.0}, "a", parallel_steps=0))
    assert capacities_fps(steps) == {"a": pytest.approx(100.0)}
    advice = advise(steps, 150, cores=16)
    assert not advice.is_reachable
    assert advice.notes == ("a gives 100.0 items/s at the most: it runs on the caller's thread",)


def test_of_work_that_somebody_else_does_nothing_is_known() -> None:
    steps = (
        step("decode", {1: 10.0}),
        step("device", {1: 500.0}, "decode", parallel_steps=0, is_deferred=True),
        step("label", {1: 300.0}, "device", parallel_steps=0),
    )
    assert PipelineStatistics(steps).bottleneck == "decode"
    advice = advise(steps, 50, cores=16)
    assert advice.steps[1].fps is None
    assert advice.notes == ("device leaves its work to somebody else: its capacity is not known here",)


def test_a_join_without_threads_runs_where_the_last_it_names_comes_from() -> None:
    join = step("join", {1: 10.0}, after=("a", "b"), parallel_steps=0)  # type: ignore[arg-type]
    join = StepStatistics("join", ("a", "b"), 0, batch_times=join.batch_times)
    assert capacities_fps((step("a", {1: 10.0}), step("b", {1: 10.0}), join)) == {
        "a": pytest.approx(100.0),
        "b": pytest.approx(50.0),
    }


def test_a_step_that_never_ran_is_left_as_it_is() -> None:
    advice = advise((step("ran", {1: 10.0}), step("not", {}, "ran", parallel_steps=3)), 150, cores=16)
    assert (advice.steps[1].parallel_steps, advice.steps[1].fps) == (3, None)
    assert advice.notes == ("not has not run yet: nothing is known of it",)


@pytest.mark.parametrize("target_fps", [0, -1, float("nan"), float("inf")])
def test_a_target_has_to_be_a_rate(target_fps: float) -> None:
    with pytest.raises(PipelineError, match="give a rate above 0"):
        advise(example(), target_fps)


def test_before_anything_ran_there_is_no_advice() -> None:
    statistics = PipelineStatistics((step("a", {}),))
    assert (statistics.bottleneck, statistics.predicted_fps) == (None, None)
    with pytest.raises(PipelineError, match="no step has run yet"):
        advise(statistics.steps, 10)


def test_a_line_goes_through_sizes_that_were_not_measured() -> None:
    curve = Curve({1: (1, 0.028), 4: (1, 0.040)})
    assert not curve.is_assumed
    assert [curve.base_s, curve.item_s] == pytest.approx([0.024, 0.004])
    assert curve.time_s(8) == pytest.approx(0.056)
    assert curve.time_s(4) == 0.040


def test_a_line_weighs_sizes_by_their_calls() -> None:
    mostly_the_first_two = Curve({1: (1000, 1.0), 2: (1000, 2.0), 3: (1, 30.0)})
    assert mostly_the_first_two.time_s(4) == pytest.approx(4.0, rel=0.1)


def test_a_line_has_no_negative_part() -> None:
    falling = Curve({1: (1, 0.040), 4: (1, 0.028)})
    assert [falling.base_s, falling.item_s] == pytest.approx([0.034, 0.0])
    steep = Curve({1: (1, 0.001), 4: (1, 0.040)})
    assert steep.base_s == 0.0
    assert steep.item_s == pytest.approx((0.001 + 4 * 0.040) / 17)


def test_a_single_size_grows_with_the_batch() -> None:
    curve = Curve({4: (3, 0.040)})
    assert curve.is_assumed
    assert curve.time_s(1) == pytest.approx(0.010)
