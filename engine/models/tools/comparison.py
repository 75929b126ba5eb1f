"""Whether two files hold the same model: both are run on the same inputs."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ModelError, OptionsError
from engine.models.program import random_values
from engine.models.tools.runnable import Arrays, RunnableModel, open_model

__all__ = ["Comparison", "RunnableModel", "Say", "compare_models", "compare_opened", "open_model", "sample_inputs"]

#: Told what goes on, a line at a time.
Say = Callable[[str], None]

#: Open axes that are not the batch's get these: width and height of pictures, and any other.
_PICTURE_SIDE_PX = 224
_OTHER_SIZE = 16
_MAX_SAMPLE_BYTES = 1024**3
#: A larger difference, as a part of the largest value, is told.
_NOTEWORTHY = 1e-3
#: From here on it is a warning, as it is where fewer inputs than this share have the same top class.
_BAD_DIFFERENCE = 0.1
_GOOD_AGREEMENT = 0.9


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two models compare that were run on the same inputs.

    Attributes:
        samples: How many inputs both were run on.
        max_abs_difference: The largest difference of two values of any output; infinite where only one is a finite
            number.
        max_relative_difference: The same as a part of the largest absolute value of that output of the first model.
        top_class_agreement: The share of rows whose largest value is of the same class, 0–1; None where no output looks
            like scores of classes.
        size_before_bytes: The first model on disk, with all its files.
        size_after_bytes: The second one.
        latency_before_ms: The median of one run of the first model on this machine's CPU.
        latency_after_ms: That of the second one.
    """

    samples: int
    max_abs_difference: float
    max_relative_difference: float
    top_class_agreement: float | None
    size_before_bytes: int
    size_after_bytes: int
    latency_before_ms: float
    latency_after_ms: float

    def remarks(self) -> list[str]:
        """Return what whoever made the second model has to know of its answers; nothing where they are alike."""
        gap, agreement = self.max_relative_difference, self.top_class_agreement
        how_far = f"by up to {gap:.2%} of the largest value" if math.isfinite(gap) else "without bound"
        differ = f"answers differ {how_far}"
        if gap <= _BAD_DIFFERENCE and (agreement is None or agreement >= _GOOD_AGREEMENT):
            return [differ] if gap > _NOTEWORTHY else []
        same = "" if agreement is None else f", and {agreement:.1%} of {self.samples} inputs have the same top class"
        return [f"WARNING: {differ}{same}: try it on real data before it is used"]

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; what is infinite is None, for JSON has no such number."""
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def sample_inputs(model: RunnableModel, count: int, seed: int = 0) -> list[Arrays]:
    """Draw inputs for a model, one row each: floats in 0–1, bytes of any value, else 0 or 1.

    Args:
        model: An opened one.
        count: How many.
        seed: The same one gives the same inputs.

    Raises:
        ModelError: An input is larger than anything that is worth trying.
    """
    random = np.random.default_rng(seed)
    shapes = {entry.name: _closed(entry.shape) for entry in model.inputs}
    for name, shape in shapes.items():
        if math.prod(shape) * 8 > _MAX_SAMPLE_BYTES:
            raise ModelError(f"{model.path}: input {name} takes {list(shape)}, which is too large to try")
    return [
        {entry.name: random_values(random, shapes[entry.name], entry.dtype) for entry in model.inputs}
        for _ in range(count)
    ]


def compare_models(
    before: Path,
    after: Path,
    *,
    samples: int = 8,
    inputs: Sequence[Mapping[str, NDArray[np.generic]]] | None = None,
    on_progress: Say | None = None,
) -> Comparison:
    """Run two models on the same inputs, and compare what they answer, take and weigh.

    Args:
        before: The model that is believed.
        after: What was made of it, with the same inputs and outputs.
        samples: How many random inputs are drawn, where none are given.
        inputs: For each run an array for each input of `before`.
        on_progress: Told what goes on.

    Raises:
        ModelError: One cannot be opened or run, or they take or give other things.
        OptionsError: There is nothing to compare them by.
    """
    with open_model(before) as first, open_model(after) as second:
        return compare_opened(first, second, samples=samples, inputs=inputs, on_progress=on_progress)


def compare_opened(
    before: RunnableModel,
    after: RunnableModel,
    *,
    samples: int = 8,
    inputs: Sequence[Mapping[str, NDArray[np.generic]]] | None = None,
    on_progress: Say | None = None,
) -> Comparison:
    """Compare two models that are open already; see `compare_models`."""
    if samples < 1 or (inputs is not None and not inputs):
        raise OptionsError("two models are compared by at least 1 input: give samples=1 or more")
    chosen = sample_inputs(before, samples) if inputs is None else inputs
    names = _matched([entry.name for entry in before.inputs], [entry.name for entry in after.inputs], after, "takes")
    dtypes = {entry.name: entry.dtype for entry in after.inputs}
    outputs = _matched(before.outputs, after.outputs, after, "gives")
    times: tuple[list[float], list[float]] = ([], [])
    gaps = _Gaps()
    for number, given in enumerate(chosen):
        if on_progress is not None:
            on_progress(f"comparing: run {number + 1} of {len(chosen)}")
        renamed = {names[name]: _cast(value, dtypes[names[name]]) for name, value in given.items() if name in names}
        if number == 0:  # the first run is slower: memory, kernels, caches
            before.run(given)
            after.run(renamed)
        expected, took_before_ms = _timed(before, given)
        actual, took_after_ms = _timed(after, renamed)
        times[0].append(took_before_ms)
        times[1].append(took_after_ms)
        for name, ours in outputs.items():
            gaps.add(name, expected[name], actual[ours], after.path)
    return Comparison(
        len(chosen),
        gaps.largest,
        gaps.relative,
        gaps.agreement,
        before.size_bytes,
        after.size_bytes,
        median(times[0]),
        median(times[1]),
    )


class _Gaps:
    """How far the answers of two models lie apart, over all runs."""

    def __init__(self) -> None:
        self._gap: dict[str, float] = {}
        self._scale: dict[str, float] = {}
        self._scores: str | None = None
        self._rows = self._same = 0

    def add(self, name: str, expected: NDArray[np.generic], actual: NDArray[np.generic], path: Path) -> None:
        """Add one output of one run."""
        if expected.shape != actual.shape:
            raise ModelError(
                f"{path} is another model: its {name} has the shape {list(actual.shape)}, not {list(expected.shape)}"
            )
        if not expected.size:
            return
        # In float64: the difference of two large float32 values would be rounded again.
        wide, other = expected.astype(np.float64), actual.astype(np.float64)
        finite = np.abs(wide[np.isfinite(wide)])
        self._scale[name] = max(self._scale.get(name, 0.0), float(finite.max()) if finite.size else 0.0)
        self._gap[name] = max(self._gap.get(name, 0.0), _distance(wide, other))
        if wide.ndim == 2 and wide.shape[1] > 1 and self._scores in (None, name):
            self._scores = name
            self._rows += len(wide)
            self._same += int((wide.argmax(axis=1) == other.argmax(axis=1)).sum())

    @property
    def largest(self) -> float:
        return max(self._gap.values(), default=0.0)

    @property
    def relative(self) -> float:
        return max(self._relative(), default=0.0)

    def _relative(self) -> Iterator[float]:
        for name, gap in self._gap.items():
            yield 0.0 if gap == 0 else (gap / self._scale[name] if self._scale[name] else math.inf)

    @property
    def agreement(self) -> float | None:
        return self._same / self._rows if self._rows else None


def _distance(expected: NDArray[np.float64], actual: NDArray[np.float64]) -> float:
    """Return the largest difference; values that are the same infinity, or both no number, do not differ."""
    same = (expected == actual) | (np.isnan(expected) & np.isnan(actual))
    apart = expected[~same], actual[~same]
    if not apart[0].size:
        return 0.0
    if not (np.isfinite(apart[0]).all() and np.isfinite(apart[1]).all()):
        return math.inf
    return float(np.abs(apart[0] - apart[1]).max())


def _timed(model: RunnableModel, inputs: Mapping[str, NDArray[np.generic]]) -> tuple[Arrays, float]:
    began_s = time.perf_counter()
    outputs = model.run(inputs)
    return outputs, (time.perf_counter() - began_s) * 1e3


def _closed(shape: tuple[int | None, ...]) -> tuple[int, ...]:
    """Give open axes a size: one row, pictures' sides, and anything else."""
    other = _PICTURE_SIDE_PX if len(shape) == 4 else _OTHER_SIZE
    return tuple((1 if axis == 0 else other) if size is None else size for axis, size in enumerate(shape))


def _matched(before: Sequence[str], after: Sequence[str], model: RunnableModel, verb: str) -> dict[str, str]:
    """Tell which name of the second model stands for each of the first: the same, else the one in its place."""
    if set(before) == set(after):
        return {name: name for name in before}
    if len(before) != len(after):
        raise ModelError(
            f"{model.path} is another model: it {verb} {', '.join(after) or 'nothing'}, "
            f"not {', '.join(before) or 'nothing'}"
        )
    return dict(zip(before, after, strict=True))


def _cast(values: NDArray[np.generic], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """Give floats the width that the second model takes; anything else it has to take as it is."""
    if np.issubdtype(values.dtype, np.floating) and np.issubdtype(dtype, np.floating):
        return values.astype(dtype, copy=False)
    return values
