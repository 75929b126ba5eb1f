"""What an opened model takes and gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.errors import InferenceError

Tensors = Mapping[str, NDArray[np.generic]]


def random_values(
    random: np.random.Generator, shape: Sequence[int], dtype: np.dtype[np.generic]
) -> NDArray[np.generic]:
    """Return random data for a tensor: floats in 0–1; bytes of any value, as of pixels; else 0 or 1.

    Other whole numbers may be places in a table, which has at least two.
    """
    if np.issubdtype(dtype, np.floating):
        return random.random(shape).astype(dtype)
    low, high = {"uint8": (0, 256), "int8": (-128, 128)}.get(dtype.name, (0, 2))
    return random.integers(low, high, shape).astype(dtype)


def with_rows(values: NDArray[np.generic], rows: int) -> NDArray[np.generic]:
    """Return a tensor with so many rows: the rest is cut off, those that are missing are zero."""
    missing = rows - len(values)
    if missing <= 0:
        return values[:rows]
    return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output.

    Attributes:
        shape: One entry per axis; None where the program takes any size.
        symbols: The names that the file gives to such axes, one entry per axis; empty where it names none.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]
    symbols: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """What an opened model looks like from outside.

    Attributes:
        inputs: The first axis of the first one is the batch's, where programs are fed batch by batch.
        metadata: The key-value pairs that the model's file carries.
        ladder: The batch sizes that it was compiled for, ascending, where there are several; then that axis is None.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    ladder: tuple[int, ...] = ()

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes that it takes, ascending; empty where it takes any."""
        if self.ladder:
            return self.ladder
        shape = self.inputs[0].shape if self.inputs else ()
        return (shape[0],) if shape and shape[0] is not None else ()

    @property
    def max_rows(self) -> int | None:
        """The most rows that fit into one batch; None where any number does."""
        return self.batch_sizes[-1] if self.batch_sizes else None

    def has_rows(self, output: TensorSpec) -> bool:
        """Tell whether an output has a row for each row of the batch, so that padded ones are cut off.

        Where the batch is fixed, an output of as many entries counts as one that has: the file does not tell.
        """
        first = self.inputs[0].shape[:1] if self.inputs else ()
        if not output.shape or not first:  # a graph that says nothing of the shape has no axes here
            return True
        symbols = (self.inputs[0].symbols[:1] or (None,))[0], (output.symbols[:1] or (None,))[0]
        if first[0] is None:
            return output.shape[0] is None and (None in symbols or symbols[0] == symbols[1])
        return output.shape[0] in (None, first[0])

    def rows_for(self, count: int) -> int:
        """Return how many rows a batch with data in `count` of them has to have: the smallest size that fits.

        Raises:
            InferenceError: None fits.
        """
        if count < 1 or count > (self.max_rows or count):
            raise InferenceError(f"{count} rows do not fit the model's batch of {self.max_rows or 'any size'}")
        return next((size for size in self.batch_sizes if size >= count), count)

    def check(self, inputs: Tensors, count: int | None) -> None:
        """Refuse inputs that do not fit, before the device has seen them; what `Backend.submit` begins with.

        Raises:
            InferenceError: It names the input and what it takes.
        """
        if not isinstance(inputs, Mapping):
            raise InferenceError(f"inputs are a mapping of name → numpy array, not a {type(inputs).__name__}")
        if len(inputs) != len(self.inputs) or any(spec.name not in inputs for spec in self.inputs):
            names = ", ".join(spec.name for spec in self.inputs)
            raise InferenceError(f"the model takes {names or 'nothing'}, not {', '.join(sorted(inputs)) or 'nothing'}")
        for name, value in inputs.items():
            if not isinstance(value, np.ndarray):
                raise InferenceError(f"input {name} is a {type(value).__name__}, not a numpy array")
        rows = None
        if count is not None:
            fitting = self.rows_for(count)
            first = inputs[self.inputs[0].name].shape[:1] if self.inputs else ()
            rows = first[0] if first and first[0] in self.batch_sizes and first[0] >= count else fitting
        for spec in self.inputs:
            value = inputs[spec.name]
            # A graph that says nothing of the shape has no axes here.
            shape = spec.shape if rows is None or not spec.shape else (rows, *spec.shape[1:])
            fits = (not spec.shape) or (
                len(shape) == value.ndim
                and all(size in (None, actual) for size, actual in zip(shape, value.shape, strict=True))
            )
            if not fits or value.dtype != spec.dtype:
                wanted = [size if size is not None else _symbol(spec, axis) for axis, size in enumerate(shape)]
                text = ", ".join(str(size) for size in wanted)
                raise InferenceError(
                    f"input {spec.name} takes {spec.dtype}[{text}], not {value.dtype}{list(value.shape)}"
                )
        if len(self.inputs) > 1:
            self._check_symbols(inputs)

    def _check_symbols(self, inputs: Tensors) -> None:
        """Refuse inputs that disagree about a symbol's size."""
        seen: dict[str, tuple[str, int]] = {}
        for spec in self.inputs:
            for symbol, size in zip(spec.symbols, inputs[spec.name].shape, strict=False):
                if symbol is None:
                    continue
                other, wanted = seen.setdefault(symbol, (spec.name, size))
                if size != wanted:
                    raise InferenceError(
                        f"inputs {other} and {spec.name} disagree about {symbol}: they have {wanted} and {size} of it"
                    )


def _symbol(spec: TensorSpec, axis: int) -> str:
    return (spec.symbols[axis] if axis < len(spec.symbols) else None) or "any"
