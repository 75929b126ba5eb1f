"""How the weights of a layer are distributed, whatever there is of them."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from engine.models.tools import distribution
from engine.models.tools.distribution import distribution_of


@settings(deadline=None)
@given(
    arrays(np.float32, array_shapes(max_dims=3, max_side=6), elements=st.floats(-1e6, 1e6, width=32)),
    st.integers(2, 40),
)
def test_in_parts_it_is_what_it_is_as_a_whole(values: NDArray[np.float32], part: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distribution, "_PART", part)
        found = distribution_of(values, 7, 64)
    whole = values.astype(np.float64)
    assert (found.finite, found.lost, found.lowest, found.highest) == (values.size, 0, whole.min(), whole.max())
    assert found.mean == pytest.approx(whole.mean(), abs=1e-6, rel=1e-9)
    assert found.deviation == pytest.approx(whole.std(), abs=1e-6, rel=1e-9)
    np.testing.assert_array_equal(found.counts, np.histogram(whole, 7)[0])
    rms = np.sqrt((whole.reshape(len(whole), -1) ** 2).mean(axis=1))
    np.testing.assert_allclose(found.strengths, rms / (rms.max() or 1.0), atol=1e-9)


def test_what_is_no_number_is_counted_and_left_out() -> None:
    values = np.array([[np.nan, 1.0], [np.inf, 3.0], [-np.inf, np.nan]])
    found = distribution_of(values, 3, 64)
    assert (found.finite, found.lost, found.lowest, found.highest, found.mean) == (2, 4, 1.0, 3.0, 2.0)
    assert found.strengths.tolist() == [pytest.approx(1 / 3), 1.0, 0.0]
    assert distribution_of(np.full((2, 2), np.nan), 3, 64).finite == 0
    assert distribution_of(np.zeros((0, 4), np.int8), 3, 64).finite == 0


def test_numbers_at_the_end_of_their_range_are_counted_too() -> None:
    large = np.finfo(np.float64).max
    assert distribution_of(np.array([[-large], [large]]), 3, 64).counts.sum() == 2
    tiny = np.nextafter(0.0, 1.0)
    assert distribution_of(np.array([0.0, tiny]), 3, 64).counts.sum() == 2


def test_neighbours_share_a_cell() -> None:
    assert distribution_of(np.array([[1.0], [3.0], [4.0], [4.0]]), 3, 2).strengths.tolist() == [0.5, 1.0]


def test_a_large_tensor_takes_little_memory_beside_its_own() -> None:
    values = np.ones((4, 8_000_000), np.int8)
    tracemalloc.start()
    distribution_of(values, 41, 64)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 64 << 20
