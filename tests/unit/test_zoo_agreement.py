"""When two runs of a classifier agree."""

import numpy as np
import pytest

from engine.models.zoo.agreement import AGREEMENT_BOUND, compare

REFERENCE = np.array([[1.0, -4.0, 2.0], [0.5, 0.25, 0.0]], np.float32)


def test_the_same_answers_agree() -> None:
    agreement = compare(REFERENCE, REFERENCE)
    assert (agreement.max_abs_difference, agreement.relative_difference) == (0, 0)
    assert agreement.same_top_class
    assert agreement.agrees


def test_the_bound_is_a_part_of_the_largest_absolute_value() -> None:
    within, beyond = REFERENCE.copy(), REFERENCE.copy()
    within[0, 2] += 4 * AGREEMENT_BOUND * 0.99
    beyond[0, 2] += 4 * AGREEMENT_BOUND * 1.01
    assert compare(within, REFERENCE).agrees
    assert compare(within, REFERENCE).relative_difference == pytest.approx(0.99e-3, rel=1e-3)
    assert compare(within, REFERENCE).max_abs_difference == pytest.approx(3.96e-3, rel=1e-3)
    assert not compare(beyond, REFERENCE).agrees
    assert compare(beyond, REFERENCE).same_top_class


def test_another_top_class_never_agrees() -> None:
    reference = np.array([[1.0, 1.0001, 0.0]], np.float32)
    ours = np.array([[1.0001, 1.0, 0.0]], np.float32)
    agreement = compare(ours, reference)
    assert agreement.relative_difference < AGREEMENT_BOUND
    assert not agreement.same_top_class
    assert not agreement.agrees


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("is_ours", [True, False])
def test_what_is_no_number_never_agrees(value: float, is_ours: bool) -> None:
    broken = REFERENCE.copy()
    broken[1, 2] = value
    agreement = compare(broken, REFERENCE) if is_ours else compare(REFERENCE, broken)
    assert not agreement.agrees
    assert agreement.relative_difference == np.inf


def test_zeros_prove_nothing() -> None:
    assert not compare(np.zeros((2, 3), np.float32), np.zeros((2, 3), np.float32)).agrees


@pytest.mark.parametrize("shape", [(1, 3), (2, 4), (6,), (0, 3)])
def test_answers_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(np.ones(shape, np.float32), REFERENCE if shape != (0, 3) else np.ones(shape, np.float32))
