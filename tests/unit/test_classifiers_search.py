"""The search finds what is best, tries nothing twice, and goes on when a trial fails."""

from dataclasses import replace

import pytest

from engine.backends.simulator.table import Objective, read_table
from engine.models.zoo.catalog import find_architecture
from streamer.classifiers.plan import RunPlan, Wishes, plan_of
from streamer.classifiers.report import Timing
from streamer.classifiers.search import Search, Trial, best_of

START = plan_of(Wishes(), find_architecture("resnet50"), read_table()).changed(batch_size=1, instances=1, set_size=1)
SPACE = {"batch_size": (1, 2, 4, 8), "instances": (1, 2, 3), "set_size": (1, 2)}


def timing(images_per_s: float, latency_ms: float) -> Timing:
    return Timing(images_per_s, 100, 1.0, latency_ms, latency_ms, latency_ms)


def attempt(plan: RunPlan) -> Trial:
    """A device that is best at throughput with batches of 4 on 2 instances, and for which batches of 8 are too much."""
    if plan.batch_size == 8:
        return Trial(plan, None, "out of memory")
    rate = plan.batch_size * 100.0 * (1 if plan.instances == 1 else 1.8 if plan.instances == 2 else 1.5)
    return Trial(plan, timing(rate, plan.batch_size * plan.instances * plan.set_size * 1.0))


def searched(objective: Objective) -> Search:
    search = Search(replace(START, objective=objective), SPACE)
    assert list(search.run(attempt, lambda _: True)) == search.trials
    return search


@pytest.mark.parametrize(
    ("objective", "label"),
    [("best-throughput", "B4 A2 S1"), ("best-latency", "B1 A1 S1"), ("balanced", "B4 A1 S1")],
)
def test_it_finds_what_the_objective_wants(objective: Objective, label: str) -> None:
    search = searched(objective)
    assert search.best is not None
    assert search.best.label == label


def test_nothing_is_tried_twice_and_failures_are_told() -> None:
    search = searched("best-throughput")
    labels = [trial.label for trial in search.trials]
    assert len(labels) == len(set(labels)) <= search.most_trials
    assert [trial.error for trial in search.trials if trial.timing is None] == ["out of memory"] * labels_with(
        "B8", labels
    )


def labels_with(batch: str, labels: list[str]) -> int:
    return sum(label.startswith(batch) for label in labels)


def test_what_is_impossible_is_not_tried_and_what_is_fixed_stays() -> None:
    search = Search(START, {"instances": (1, 2, 3)})
    for _ in search.run(attempt, lambda plan: plan.instances < 3):
        pass
    assert [trial.label for trial in search.trials] == ["B1 A1 S1", "B1 A2 S1"]


def test_as_good_is_within_two_percent_and_then_the_other_figure_decides() -> None:
    slow, quick, worse = (Trial(START, timing(*pair)) for pair in ((1000, 50), (985, 10), (900, 1)))
    assert best_of([slow, quick, worse], "best-throughput") is quick
    near, far = Trial(START, timing(100, 10)), Trial(START, timing(500, 10.1))
    assert best_of([near, far], "best-latency") is far
    assert best_of([Trial(START, None, "x")], "balanced") is None
