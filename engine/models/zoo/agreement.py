"""Whether two runs of one classifier answer alike. Pure."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: How far answers may lie apart, as a part of the largest value of the reference. float32 on another runtime differs by
#: 1e-6 to 1e-5; a wrong graph by 0.1 and more.
AGREEMENT_BOUND = 1e-3


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far the answers to the same pictures lie apart.

    Attributes:
        max_abs_difference: The largest difference of two values.
        relative_difference: The same as a part of the largest absolute value of the reference; infinite where the
            reference is all zeros, or either has a value that is no finite number.
        same_top_class: Whether each picture's largest value is of the same class.
        agrees: Whether the relative difference is within `AGREEMENT_BOUND` and the top classes are the same.
    """

    max_abs_difference: float
    relative_difference: float
    same_top_class: bool
    agrees: bool


def compare(ours: NDArray[np.floating], reference: NDArray[np.floating]) -> Agreement:
    """Compare two runs' answers to the same pictures.

    Args:
        ours: float[pictures, classes], logits.
        reference: The same from the run that is believed.

    Raises:
        ValueError: The shapes differ, or there is nothing to compare.
    """
    if ours.shape != reference.shape or reference.ndim != 2 or not reference.size:
        raise ValueError(f"answers of shapes {ours.shape} and {reference.shape} cannot be compared")
    if not (np.isfinite(ours).all() and np.isfinite(reference).all()):
        return Agreement(float("inf"), float("inf"), same_top_class=False, agrees=False)
    # In float64: a difference of two large float32 values would be rounded again.
    distance = float(np.abs(ours.astype(np.float64) - reference.astype(np.float64)).max())
    largest = float(np.abs(reference).max())
    relative = distance / largest if largest else float("inf")
    same_top_class = bool((ours.argmax(axis=1) == reference.argmax(axis=1)).all())
    return Agreement(distance, relative, same_top_class, agrees=same_top_class and relative <= AGREEMENT_BOUND)
