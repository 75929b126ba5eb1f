"""A model's layers, whatever its format: what is drawn, counted and timed."""

import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ModelError, ModelNotFoundError, OptionsError, first_line
from engine.models.files import TORCH_SUFFIXES
from engine.models.npz import load_npz
from engine.models.onnx_file import check_onnx_file, read_onnx
from engine.models.tools.comparison import Say

#: One entry per axis; None where the model leaves it open.
Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator.

    Attributes:
        inputs: The names of the values that it takes, weights left out.
        outputs: The names of the values that it gives.
        shape: Of its first output, for one row; None where that is not known.
        parameters: How many weights it has.
        macs: Multiplications with an addition for one row; 0 for an operator that is no convolution and no matrix
            product, None where a shape is not known.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: Shape | None
    parameters: int
    macs: int | None


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights of a layer under one name."""

    name: str
    layer: str
    values: NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output of a model."""

    name: str
    shape: Shape | None
    dtype: str

    def __str__(self) -> str:
        """Return it as numpy's users write it."""
        sizes = "…" if self.shape is None else ", ".join("any" if size is None else str(size) for size in self.shape)
        return f"{self.dtype}[{sizes}]"


@dataclass(frozen=True, slots=True)
class LayeredModel:
    """A model as layers, in an order in which they can run.

    Attributes:
        weights: All weights, those of 8 bits and fractions of them; not the scales that belong to them, nor shapes.
    """

    layers: tuple[Layer, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    weights: tuple[Weights, ...]

    @property
    def parameters(self) -> int:
        """How many weights it has; those that several layers share count once."""
        return sum(entry.values.size for entry in self.weights)

    @property
    def flops(self) -> int | None:
        """Floating-point operations for one row: two for each multiplication with an addition; None if unknown."""
        counts = [layer.macs for layer in self.layers]
        return None if None in counts else 2 * sum(count or 0 for count in counts)


def product(shape: Shape | None) -> int | None:
    """Return how many values a shape has; None where one of its sizes is not known."""
    return None if shape is None or None in shape else math.prod(size or 0 for size in shape)


def times(*counts: int | None) -> int | None:
    """Return the product; None where one is not known."""
    return None if None in counts else math.prod(count or 0 for count in counts)


def read_layers(path: Path) -> LayeredModel:
    """Return the layers of an `.onnx`, `.npz` or `.tflite` file.

    Raises:
        ModelError: It cannot be used.
        OptionsError: Its name has another ending.
        BackendError: What reads it is not installed.
    """
    try:
        return _layers(path)
    except EngineError:
        raise
    except (ValueError, TypeError, LookupError, ArithmeticError) as exc:  # what numbers that somebody made up lead to
        raise ModelError(f"{path} is damaged: {first_line(exc)}") from exc


def _layers(path: Path) -> LayeredModel:
    suffix = path.suffix.lower()
    if suffix == ".tflite":
        from engine.models.tools.layers_tflite import tflite_layers

        return tflite_layers(path)
    from engine.models.tools.layers_onnx import onnx_layers

    if not path.is_file():
        raise ModelNotFoundError(f"no model file {path}")
    if suffix == ".npz":
        return onnx_layers(load_npz(path), path)
    if suffix != ".onnx":
        raise OptionsError(f"{path} has no layers to be seen: its name ends in none of .onnx, .npz, .tflite, .pt, .pth")
    check_onnx_file(path)
    return onnx_layers(read_onnx(path, with_external_data=True), path)


@contextmanager
def readable(path: Path, on_progress: Say | None = None) -> Iterator[Path]:
    """Give a file that `read_layers` takes: the model itself, or the ONNX file that torch's is converted to.

    Raises:
        ModelError: It cannot be converted.
    """
    if path.suffix.lower() not in TORCH_SUFFIXES:
        yield path
        return
    from engine.models.tools.conversion import convert_model

    with tempfile.TemporaryDirectory(prefix="streamer-model-") as folder:
        converted = Path(folder) / f"{path.stem}.onnx"
        convert_model(path, converted, "onnx", on_progress=on_progress)
        yield converted
