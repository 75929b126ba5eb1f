"""A classifier as batches use it. A consumer has one at a time that new batches get, and may change it between two."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from engine.models.classifier import Classifier
from engine.models.spec import Preprocessing


class RowPool:
    """Rows that batches are decoded into, used again and again: fresh memory costs a fifth of decoding into it.

    Bounded by the number of batches in flight. What a row held before is overwritten, or is padding that is cut off.
    """

    def __init__(self, preprocessing: Preprocessing, capacity: int) -> None:
        """Set the size of a batch's rows."""
        self._preprocessing = preprocessing
        self._capacity = capacity
        self._free: deque[NDArray[np.uint8]] = deque()

    def take(self) -> NDArray[np.uint8]:
        """Return rows of which nobody else writes: uint8[capacity, height, width, 3]."""
        try:
            return self._free.pop()
        except IndexError:
            return self._preprocessing.rows(self._capacity)

    def give(self, rows: NDArray[np.uint8]) -> None:
        """Take rows back; nobody may look at them any more."""
        self._free.append(rows)


class RunningModel:
    """What a batch needs of its model from decoding to its results.

    Attributes:
        capacity: Frames in a batch at the most.
        pool: Rows of a full batch, padding included.
        batches: Those that have it and are not resolved; the dispatcher counts them.
    """

    def __init__(self, classifier: Classifier, batch_size: int) -> None:
        """Take an opened classifier, for batches of `batch_size` frames at the most."""
        self.spec = classifier.spec
        self.program = classifier.program
        self.backend = classifier.backend
        self.capacity = min(batch_size, classifier.program.max_rows or batch_size)
        self.pool = RowPool(classifier.spec.preprocessing, classifier.program.rows_for(self.capacity))
        self.batches = 0
