"""Pipelines of any shape: every item has exactly one outcome, in order, whatever fails and whatever is changed."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import PipelineError
from engine.pipeline.advice import advise
from engine.pipeline.capacity import Curve
from engine.pipeline.graph import arrange
from engine.pipeline.journey import Journey
from engine.pipeline.outcome import Failed, Outcome
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.statistics import BatchTime, StepStatistics
from engine.pipeline.step import Step

DEADLINE_S = 20.0


@dataclass(frozen=True)
class Shape:
    """One step: which it follows, how it runs, and which items it fails.

    Attributes:
        follows: Places of steps before it; None for the one before.
        batch: 0 for a function over single items.
        fails_batches: Whether a bad item takes its batch with it.
    """

    follows: tuple[int, ...] | None
    parallel_steps: int
    batch: int
    timeout_s: float
    bad: frozenset[int]
    fails_batches: bool


@st.composite
def shapes(draw: st.DrawFn, *, branches: bool = True) -> list[Shape]:
    found = []
    for place in range(draw(st.integers(0, 5))):
        follows = None
        if branches and place:
            follows = draw(st.none() | st.lists(st.integers(0, place - 1), unique=True, max_size=3).map(tuple))
        batch = draw(st.sampled_from([0, 0, 1, 2, 5]))
        found.append(
            Shape(
                follows,
                draw(st.integers(1 if batch else 0, 3)),
                batch,
                draw(st.sampled_from([0, 0.001, 1000.0])),
                frozenset(draw(st.lists(st.integers(0, 30), max_size=4))),
                draw(st.booleans()),
            )
        )
    return found


class Ledger:
    """What each step was given, and the batches that failed as a whole."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.entered: Counter[tuple[str, int]] = Counter()
        self.failed: set[tuple[str, int]] = set()


def number_of(item: Any) -> int:
    """The item's number, however deep in tuples it has got."""
    return number_of(item[0]) if isinstance(item, tuple) else item


def step_of(place: int, shape: Shape, ledger: Ledger) -> Step:
    name = f"s{place}"

    def enter(item: Any) -> int:
        number = number_of(item)
        with ledger.lock:
            ledger.entered[name, number] += 1
        return number

    def single(item: Any) -> Any:
        if enter(item) in shape.bad:
            raise ValueError(name)
        return item

    def batch(items: list[Any]) -> list[Any]:
        numbers = [enter(item) for item in items]
        assert len(items) <= shape.batch
        if shape.fails_batches and shape.bad.intersection(numbers):
            with ledger.lock:
                ledger.failed.update((name, number) for number in numbers)
            raise ValueError(name)
        return [
            Failed(ValueError(name)) if number in shape.bad else item
            for number, item in zip(numbers, items, strict=True)
        ]

    after = None if shape.follows is None else [f"s{other}" for other in shape.follows]
    function: Callable[[Any], Any] = batch if shape.batch else single
    return Step(
        name,
        function,
        shape.batch or None,
        parallel_steps=shape.parallel_steps,
        batch_timeout_s=shape.timeout_s,
        after=after,
    )


def check(found: list[Shape], ledger: Ledger, number: int, outcome: Outcome) -> None:
    """An item has an error just where a step failed it; and then each step had it once, at the most."""
    names = [f"s{place}" for place in range(len(found))]
    failing = {
        name
        for name, shape in zip(names, found, strict=True)
        if ledger.entered[name, number] and (number in shape.bad or (name, number) in ledger.failed)
    }
    assert (outcome.error is not None) == bool(failing)
    if outcome.error is not None:
        assert str(outcome.error) in failing
        assert outcome.value is None
    else:
        assert all(ledger.entered[name, number] == 1 for name in names)
        lasts = [
            place
            for place in range(len(found))
            if not any(
                place in (shape.follows if shape.follows is not None else (other - 1,))
                for other, shape in enumerate(found)
            )
        ]
        if len(lasts) > 1:
            assert set(outcome.value) == {f"s{place}" for place in lasts}
            assert {number_of(value) for value in outcome.value.values()} == {number}
        else:
            assert number_of(outcome.value) == number


@settings(max_examples=300, deadline=None)
@given(shapes(), st.integers(0, 30), st.none() | st.integers(1, 8))
def test_every_item_has_one_outcome_in_order(found: list[Shape], items: int, bound: int | None) -> None:
    # With all places taken a batch may wait for company that cannot come, and goes by its age.
    is_wide = bound is None and items <= Pipeline([]).bound()
    ledger, before = Ledger(), threading.active_count()
    steps = [
        step_of(place, shape if is_wide else Shape(**{**vars(shape), "timeout_s": 0.001}), ledger)
        for place, shape in enumerate(found)
    ]
    with Pipeline(steps, max_in_flight=bound) as pipeline:
        outcomes = list(pipeline.run(range(items)))
        assert len(outcomes) == items
        for number, outcome in enumerate(outcomes):
            check(found, ledger, number, outcome)
        entered = Counter(name for name, _ in ledger.entered.elements())
        assert {step.name: step.items for step in pipeline.statistics() if step.items} == entered
    assert max(ledger.entered.values(), default=1) == 1
    assert threading.active_count() == before


@settings(max_examples=100, deadline=None)
@given(shapes(), st.integers(1, 30), st.data())
def test_what_is_submitted_has_one_outcome_each_whoever_submits(
    found: list[Shape], items: int, data: st.DataObject
) -> None:
    quick = [Shape(**{**vars(shape), "timeout_s": 0.0}) for shape in found]
    ledger = Ledger()
    with Pipeline([step_of(place, shape, ledger) for place, shape in enumerate(quick)]) as pipeline:
        futures = [pipeline.submit(number, DEADLINE_S) for number in range(items)]
        run = list(pipeline.run(range(100, 100 + items)))
        for number, future in enumerate(futures):
            error = future.exception(DEADLINE_S)
            check(quick, ledger, number, Outcome(None if error else future.result(), error))
        for number, outcome in enumerate(run, 100):
            check(quick, ledger, number, outcome)
    assert max(ledger.entered.values(), default=1) == 1


@settings(max_examples=100, deadline=None)
@given(shapes(), st.integers(0, 12), st.integers(1, 8))
def test_a_run_that_is_left_early_leaves_nothing(found: list[Shape], wanted: int, bound: int) -> None:
    quick = [Shape(**{**vars(shape), "timeout_s": 0.001}) for shape in found]
    ledger, before, taken = Ledger(), threading.active_count(), 0

    def source() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    with Pipeline([step_of(place, shape, ledger) for place, shape in enumerate(quick)], max_in_flight=bound) as line:
        outcomes = line.run(source())
        for number, outcome in enumerate(islice(outcomes, wanted)):
            check(quick, ledger, number, outcome)
        outcomes.close()
        assert line._on_their_way == 0
        assert taken <= wanted + bound
        # And the next one has the pipeline to itself.
        again = list(line.run(range(100, 105)))
        assert not any(isinstance(outcome.error, CancelledError) for outcome in again)
    assert threading.active_count() == before


@settings(max_examples=100, deadline=None)
@given(shapes(), st.data())
def test_live_changes_lose_nothing(found: list[Shape], data: st.DataObject) -> None:
    quick = [Shape(**{**vars(shape), "timeout_s": 0.001, "batch": shape.batch and 9}) for shape in found]
    ledger, before = Ledger(), threading.active_count()
    steps = [step_of(place, shape, ledger) for place, shape in enumerate(quick)]
    changes = data.draw(
        st.lists(st.tuples(st.integers(0, max(len(steps) - 1, 0)), st.integers(0, 4), st.integers(1, 9)), max_size=40)
    )

    def source() -> Iterator[int]:
        for number in range(40):
            if steps and number < len(changes):
                place, parallel_steps, size = changes[number]
                if steps[place].max_batch_size is None:
                    steps[place].set_parallel_steps(parallel_steps)
                else:
                    steps[place].set_parallel_steps(max(parallel_steps, 1))
                    steps[place].set_max_batch_size(size)
            yield number

    with Pipeline(steps, max_in_flight=10) as pipeline:
        outcomes = list(pipeline.run(source()))
        assert len(outcomes) == 40
        for number, outcome in enumerate(outcomes):
            check(quick, ledger, number, outcome)
    assert max(ledger.entered.values(), default=1) == 1
    assert threading.active_count() == before


class Kept(Journey):
    """Counts how often it ends."""

    __slots__ = ("ends",)

    def __init__(self) -> None:
        super().__init__(lambda journey: journey.hand_over())
        self.ends = 0

    def hand_over(self) -> None:
        self.ends += 1


@settings(max_examples=300, deadline=None)
@given(shapes(), st.data())
def test_a_journey_ends_once_however_its_branches_interleave(found: list[Shape], data: st.DataObject) -> None:
    names = tuple(f"s{place}" for place in range(len(found)))
    graph = arrange(
        names,
        [None if shape.follows is None else [names[other] for other in shape.follows] for shape in found],
    )
    if not names:
        return
    journey = Kept()
    journey.begin(len(graph.firsts))
    live: list[tuple[int, Any]] = [(first, 0) for first in graph.firsts]
    entered: Counter[int] = Counter()
    errors: list[Exception] = []
    while live:
        assert journey.ends == 0
        place, value = live.pop(data.draw(st.integers(0, len(live) - 1)))
        entered[place] += 1
        if journey.error is not None or 0 in found[place].bad:
            errors.append(ValueError(place))
            journey.fail(errors[-1])
        else:
            live += journey.advance(graph, names, place, value)
    assert journey.ends == 1
    assert max(entered.values()) == 1
    assert journey.error is (errors[0] if errors else None)
    if not errors:
        assert len(entered) == len(names)


@given(st.lists(st.tuples(st.integers(1, 64), st.integers(0, 50), st.floats(1e-6, 10.0)), min_size=1, max_size=6))
def test_a_curve_is_never_negative_and_never_falls(points: list[tuple[int, int, float]]) -> None:
    times = {size: (executions, mean_s) for size, executions, mean_s in points}
    curve = Curve(times)
    assert curve.base_s >= 0
    assert curve.item_s >= 0
    assert curve.base_s + curve.item_s > 0
    assert all(curve.time_s(size) == mean_s for size, (_, mean_s) in times.items())


@given(
    st.lists(
        st.tuples(st.floats(0.0001, 1.0), st.floats(0.0001, 0.1), st.integers(1, 16), st.integers(1, 4)),
        min_size=1,
        max_size=4,
    ),
    st.floats(0.5, 2000.0),
)
def test_advice_reaches_its_target_with_the_least_threads(
    lines: list[tuple[float, float, int, int]], target_fps: float
) -> None:
    steps = tuple(
        StepStatistics(
            f"s{place}",
            (f"s{place - 1}",) if place else (),
            parallel,
            max_batch_size=limit,
            batch_limit=limit,
            batch_times=tuple(BatchTime(size, 1, base + item * size) for size in range(1, limit + 1)),
        )
        for place, (base, item, limit, parallel) in enumerate(lines)
    )
    advice = advise(steps, target_fps, cores=10_000)
    for (base, item, limit, _), found in zip(lines, advice.steps, strict=True):
        assert found.max_batch_size is not None
        assert found.fps is not None
        assert 1 <= found.max_batch_size <= limit

        def best(threads: int, base: float = base, item: float = item, limit: int = limit) -> float:
            return max(threads * size / (base + item * size) for size in range(1, limit + 1))

        if advice.is_reachable:
            assert found.fps >= target_fps * 0.99
        if limit > 1 and found.parallel_steps > 1:
            assert best(found.parallel_steps - 1) < target_fps


@given(st.lists(st.lists(st.integers(0, 6), max_size=3, unique=True), min_size=1, max_size=7))
def test_any_graph_is_put_in_order_or_refused(follows: list[list[int]]) -> None:
    names = [f"s{place}" for place in range(len(follows))]
    try:
        graph = arrange(names, [[f"s{other}" for other in others] for others in follows])
    except PipelineError as exc:
        assert "circle" in str(exc) or "which is no step here" in str(exc)  # noqa: PT017 - some are good
        return
    place_of = {step: place for place, step in enumerate(graph.order)}
    assert sorted(graph.order) == list(range(len(follows)))
    for step, others in enumerate(graph.predecessors):
        assert all(place_of[other] < place_of[step] for other in others)
        assert all(step in graph.successors[other] for other in others)
