"""Percentiles by nearest rank, right to the accuracy, for few values and for many."""

import math

import numpy as np
import pytest

from engine.spread import Spread


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 100, 1000, 5001])
def test_a_percentile_is_the_value_that_so_many_do_not_exceed(count: int) -> None:
    values = np.random.default_rng(count).lognormal(0, 2, count)
    spread = Spread(0.001, 16384)
    for value in values:
        spread.add(float(value))
    ordered = np.sort(values)
    for share in (0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0):
        wanted = ordered[max(math.ceil(share * count) - 1, 0)]
        assert spread.percentile(share) == pytest.approx(wanted, rel=0.0021), share
    assert (spread.count, spread.min, spread.max) == (count, ordered[0], ordered[-1])
    assert spread.mean == pytest.approx(values.mean())


def test_of_nothing_all_is_zero() -> None:
    spread = Spread()
    assert (spread.count, spread.min, spread.mean, spread.max, spread.percentile(0.5)) == (0, 0.0, 0.0, 0.0, 0.0)


def test_two_are_one() -> None:
    values = np.sort(np.random.default_rng(0).lognormal(0, 2, 1999))  # the other one has the smallest and the largest
    spread, other, whole = Spread.fine(), Spread.fine(), Spread.fine()
    for number, value in enumerate(values):
        (spread if number % 3 else other).add(float(value))
        whole.add(float(value))
    spread.merge(other)
    spread.merge(Spread.fine())
    assert (spread.count, spread.min, spread.max) == (1999, values.min(), values.max())
    assert spread.mean == pytest.approx(values.mean())
    assert [spread.percentile(share) for share in (0.01, 0.5, 0.99)] == [
        whole.percentile(share) for share in (0.01, 0.5, 0.99)
    ]
