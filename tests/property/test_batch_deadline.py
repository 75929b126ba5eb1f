"""A latency budget is kept whatever the arrivals and the broker's lag are, as long as it can be."""

import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.batch_deadline import BatchDeadline
from tests.fakes.virtual_stream import Arrival, VirtualConsumer, bursts, percentile, poisson

Arrivals = Callable[[random.Random, float, int, tuple[float, float]], Iterator[Arrival]]
FRAMES = 1500
#: The card and the host are busy for less than half of their time at it, so no budget fails for want of capacity.
RATES_HZ = st.floats(20, 300)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    arrivals=st.sampled_from([poisson, bursts]),
    seed=st.integers(0, 2**32),
    rate_hz=RATES_HZ,
    lag_s=st.floats(0, 0.3),
    spare_s=st.floats(0.1, 1.0),
)
def test_a_budget_that_can_be_kept_is_kept(
    arrivals: Arrivals, seed: int, rate_hz: float, lag_s: float, spare_s: float
) -> None:
    """Whatever the lag is, up to 300 ms, and different for every frame."""
    budget_s = lag_s + spare_s
    frames = arrivals(random.Random(seed), rate_hz, FRAMES, (0.0, lag_s))
    answers = VirtualConsumer().run(frames, BatchDeadline(0.02, budget_s))
    assert len(answers) == FRAMES
    assert percentile((answer.latency_s for answer in answers), 99) <= budget_s


@pytest.mark.parametrize("arrivals", [poisson, bursts])
def test_with_lag_it_makes_larger_batches_than_a_fixed_time_out_of_the_same_p99(arrivals: Arrivals) -> None:
    def run(deadline: BatchDeadline) -> tuple[float, float]:
        answers = VirtualConsumer().run(arrivals(random.Random(7), 60.0, FRAMES, (0.0, 0.3)), deadline)
        p99_s = percentile((answer.latency_s for answer in answers), 99)
        return p99_s, FRAMES / sum(1 / answer.batch_size for answer in answers)

    budgeted_p99_s, budgeted_size = run(BatchDeadline(0.02, 0.4))
    fixed = [run(BatchDeadline(timeout_s / 1000)) for timeout_s in range(0, 400, 10)]
    sizes = [size for p99_s, size in fixed if p99_s <= budgeted_p99_s]
    assert sizes, "some fixed time-out keeps that p99, too"
    assert budgeted_size > 1.1 * max(sizes)


@given(lateness_s=st.floats(0.5, 5.0), seed=st.integers(0, 2**32))
@settings(max_examples=20, deadline=None, derandomize=True)
def test_frames_that_are_too_late_already_wait_for_a_place_alone(lateness_s: float, seed: int) -> None:
    frames = poisson(random.Random(seed), 100.0, 500, (lateness_s, lateness_s))
    answers = VirtualConsumer(instances=64, places=64).run(frames, BatchDeadline(10.0, 0.1))
    slowest_s = max(answer.latency_s for answer in answers)
    assert slowest_s < lateness_s + 0.02 + 0.0003 * 8 + 0.001, "decoding and the device, and nothing else"
