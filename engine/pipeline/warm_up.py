"""A model that was opened for a step, and its first runs."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine.backends.base import Backend
from engine.errors import InferenceError, PipelineError
from engine.models.program import Program
from engine.pipeline.feeds import Feed

#: Each size is timed so often, after a first run that is not.
_TIMED_RUNS: Final = 2


class Warmup(Enum):
    """What a model step does as its pipeline starts, so that the first item is not slow.

    Attributes:
        NONE: Nothing.
        RANDOM_DATA: It runs random data in batches of 1, of each power of two, and of the largest size (where the
            model has one size, of that), and measures them.
    """

    NONE = "none"
    RANDOM_DATA = "random-data"


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model on its device, and how it is fed."""

    path: Path
    backend: Backend
    program: Program
    feed: Feed


def warm_up(
    step: str, model: OpenModel, sizes: Iterable[int], run: Callable[[list[Any]], list[Any]]
) -> dict[int, float]:
    """Run a model on random data, and return how long a batch of each size takes.

    Args:
        step: The step's name, for messages.
        model: The model.
        sizes: The sizes to run.
        run: What the step does with a batch of items.

    Raises:
        PipelineError: The model fails; it names the size.
    """
    random = np.random.default_rng(0)
    times_s: dict[int, float] = {}
    for size in sizes:
        items = [model.feed.random_item(random) for _ in range(size)]
        inputs = model.feed.inputs([model.feed.row(item) for item in items], model.program.rows_for(size))
        try:
            # Every place of the device is warmed up.
            for future in [model.backend.submit(inputs, size) for _ in range(max(model.backend.slots, 1))]:
                future.result()
            began_s = time.perf_counter()
            for _ in range(_TIMED_RUNS):
                run(items)
        except InferenceError as exc:
            raise PipelineError(
                f"step {step}: the model fails a batch of {size} with random data: {exc} "
                "(lower max_batch_size, or pass warmup=Warmup.NONE)"
            ) from exc
        times_s[size] = (time.perf_counter() - began_s) / _TIMED_RUNS
    return times_s
