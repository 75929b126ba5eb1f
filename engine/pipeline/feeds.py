"""How the items of a model step become a batch of its model's inputs, and its outputs values of the items."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from engine.errors import PipelineError
from engine.models.program import Program, Tensors, TensorSpec, random_values
from engine.models.spec import ClassifierSpec

Row = Mapping[str, NDArray[np.generic]]


class Feed(ABC):
    """Knows what an item of one model looks like. Any thread may call."""

    @abstractmethod
    def row(self, item: Any) -> Row:
        """Return an item as one row of each of its tensors, without the batch's axis.

        Raises:
            PipelineError: It does not fit; it names the tensor and what that takes.
        """

    @abstractmethod
    def inputs(self, rows: Sequence[Row], size: int) -> Tensors:
        """Return the model's inputs for some rows, padded to `size`."""

    @abstractmethod
    def values(self, outputs: Tensors, count: int) -> list[Any]:
        """Return what the model gave for each row."""

    @abstractmethod
    def random_item(self, random: np.random.Generator) -> Any:
        """Return an item of random data.

        Raises:
            PipelineError: The model does not say how large one is.
        """


class ArrayFeed(Feed):
    """Items are arrays as the model takes them: one array, or a dict of them where it has several inputs."""

    def __init__(self, name: str, program: Program) -> None:
        """Take names, shapes and types from the model.

        Args:
            name: The step's, for messages.
            program: The model.
        """
        self._name = name
        self._inputs = {spec.name: spec for spec in program.inputs}

    def row(self, item: Any) -> Row:
        """Return an item's arrays; see `Feed.row`."""
        if isinstance(item, Mapping):
            if item.keys() != self._inputs.keys():
                names = ", ".join(map(str, item)) or "none"
                raise PipelineError(f"step {self._name}: the model takes {', '.join(self._inputs)}, not {names}")
            arrays = item
        elif len(self._inputs) > 1:
            names = ", ".join(self._inputs)
            raise PipelineError(f"step {self._name}: the model takes {names}: give a dict of name → array")
        else:
            arrays = dict.fromkeys(self._inputs, item)
        return {name: self._fitting(self._inputs[name], array) for name, array in arrays.items()}

    def inputs(self, rows: Sequence[Row], size: int) -> Tensors:
        """Return the batch; padding is zero."""
        return {name: stacked([row[name] for row in rows], size) for name in self._inputs}

    def values(self, outputs: Tensors, count: int) -> list[Any]:
        """Return each row's array, or a dict of them where the model has several outputs."""
        # An output that has no row for each item is everybody's.
        rows = {
            name: output if output.ndim and len(output) == count else [output] * count
            for name, output in outputs.items()
        }
        if len(rows) == 1:
            return list(next(iter(rows.values())))
        return [{name: row[index] for name, row in rows.items()} for index in range(count)]

    def random_item(self, random: np.random.Generator) -> Any:
        """Return an item of random data; see `Feed.random_item`."""
        items = {name: self._random(spec, random) for name, spec in self._inputs.items()}
        return items if len(items) > 1 else next(iter(items.values()))

    def _fitting(self, spec: TensorSpec, item: Any) -> NDArray[np.generic]:
        try:
            array = item if isinstance(item, np.ndarray) else np.asarray(item, spec.dtype)
        except (TypeError, ValueError) as exc:
            kind = type(item).__name__
            raise PipelineError(f"step {self._name}: input {spec.name} takes an array, not {kind}: {exc}") from exc
        shape = spec.shape[1:]
        fits = not spec.shape or (
            len(shape) == array.ndim and all(a in (None, b) for a, b in zip(shape, array.shape, strict=True))
        )
        if not fits or array.dtype != spec.dtype:
            wanted = ", ".join("any" if axis is None else str(axis) for axis in shape)
            raise PipelineError(
                f"step {self._name}: an item of input {spec.name} is {spec.dtype}[{wanted}], "
                f"not {array.dtype}{list(array.shape)} (an item has no axis for the batch)"
            )
        return array

    def _random(self, spec: TensorSpec, random: np.random.Generator) -> NDArray[np.generic]:
        shape: list[int] = []
        for axis, size in enumerate(spec.shape[1:], 1):
            if size is None:
                symbol = (spec.symbols[axis] if axis < len(spec.symbols) else None) or "any size"
                raise PipelineError(
                    f"step {self._name}: axis {axis} of input {spec.name} is open ({symbol}), so that there is no "
                    "random data to warm it up with: give its size by onnx_define_symbol, or pass warmup=Warmup.NONE"
                )
            shape.append(size)
        return random_values(random, shape, spec.dtype)


class PixelFeed(Feed):
    """Items are decoded pictures, uint8[height, width, 3], RGB; the classifier's own preprocessing does the rest."""

    def __init__(self, name: str, spec: ClassifierSpec) -> None:
        """Take the geometry from the classifier.

        Args:
            name: The step's, for messages.
            spec: The classifier.
        """
        self._name = name
        self._spec = spec

    def row(self, item: Any) -> Row:
        """Return the pixels; see `Feed.row`."""
        resize = self._spec.preprocessing.resize
        shape = (resize.height_px, resize.width_px, 3)
        if not isinstance(item, np.ndarray) or item.dtype != np.uint8 or item.shape != shape:
            given = f"{item.dtype}{list(item.shape)}" if isinstance(item, np.ndarray) else type(item).__name__
            raise PipelineError(f"step {self._name} takes pixels, uint8{list(shape)}, not {given}")
        return {"": item}

    def inputs(self, rows: Sequence[Row], size: int) -> Tensors:
        """Return the model's input, preprocessed."""
        pixels = cast("NDArray[np.uint8]", stacked([row[""] for row in rows], size))
        return {self._spec.input_name: self._spec.preprocessing.model_input(pixels)}

    def values(self, outputs: Tensors, count: int) -> list[Any]:
        """Return each picture's row of the output that holds the classes."""
        del count
        return list(outputs[self._spec.output_name])

    def random_item(self, random: np.random.Generator) -> Any:
        """Return random pixels."""
        resize = self._spec.preprocessing.resize
        return random.integers(0, 256, (resize.height_px, resize.width_px, 3), dtype=np.uint8)


def stacked(rows: Sequence[NDArray[np.generic]], size: int) -> NDArray[np.generic]:
    """Return rows as one array with `size` of them; those that are missing are zero.

    Raises:
        ValueError: They are not of one shape.
    """
    if len(rows) == size == 1:
        return rows[0][None]
    if len(rows) == size:
        return np.stack(rows)
    batch = np.zeros((size, *rows[0].shape), rows[0].dtype)
    np.stack(rows, out=batch[: len(rows)])
    return batch
