"""What a model takes, as AI Hub tells it, and what is given to it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.qai_hub.errors import RefusedError
from engine.errors import InferenceError
from producers.errors import ProducerError
from streamer.hub.pictures import decode, digest_of, layout_of

#: Of a model that says nothing of its input.
_NAME, _DTYPE = "image", "float32"
_MAX_PIXEL = 255


@dataclass(frozen=True, slots=True)
class InputSpec:
    """The one input of a model.

    Attributes:
        shape: 0 where the model takes any size; empty where nothing is known.
        scale: A value is `(stored - zero_point) * scale`; None where the type is no quantised one.
    """

    name: str = _NAME
    shape: tuple[int, ...] = ()
    dtype: str = _DTYPE
    scale: float | None = None
    zero_point: float = 0.0

    @property
    def is_closed(self) -> bool:
        """Whether every size is known."""
        return bool(self.shape) and min(self.shape) > 0

    def __str__(self) -> str:
        """Say it as messages do."""
        return f"{self.name} {self.dtype}[{', '.join(str(size or '?') for size in self.shape)}]"

    def closed(self, wanted: tuple[int, ...] | None) -> "InputSpec":
        """Return it with sizes for those that are open: the wanted ones, and 1 for a batch.

        Raises:
            RefusedError: A size is open still.
        """
        sizes = self.shape or wanted or ()
        if wanted is not None and len(wanted) == len(sizes):
            sizes = tuple(own or other for own, other in zip(sizes, wanted, strict=True))
        spec = replace(self, shape=(sizes[0] or 1, *sizes[1:]) if sizes else ())
        if not spec.is_closed:
            raise RefusedError(f"its input {self} has an open size: give one with --input-shape")
        return spec


def read_spec(tensors: Any) -> InputSpec | None:
    """Read what the client says of a model's inputs: graph → tensors; None where it says nothing.

    Raises:
        RefusedError: The model has several graphs or inputs.
    """
    found = [tensor for graph in (tensors or {}).values() for tensor in graph]
    if not found:
        return None
    if len(found) > 1:
        names = ", ".join(str(tensor.name) for tensor in found)
        raise RefusedError(f"it takes {len(found)} inputs ({names}), and one picture is given: run it by a script")
    (tensor,) = found
    shape = tuple(max(int(size), 0) for size in tensor.shape or ())
    return InputSpec(str(tensor.name), shape, str(tensor.dtype), tensor.scale, tensor.zero_point or 0.0)


class Input(ABC):
    """What a model is given. Used by several threads at a time."""

    #: Names the data, so that the same jobs are known again.
    digest: str
    #: The shape that it has of itself.
    shape: tuple[int, ...] | None = None

    @abstractmethod
    def fit(self, spec: InputSpec) -> NDArray[np.generic]:
        """Give it as the model takes it.

        Raises:
            InferenceError: It does not fit.
        """


class PictureInput(Input):
    """An encoded picture, made to fit each model: see `process_image`."""

    def __init__(self, data: bytes, shown: str) -> None:
        """Take a JPEG, PNG, WebP or BMP file, and what messages call it.

        Raises:
            PictureError: It cannot be decoded.
        """
        decode(data, layout_of((8, 8, 3)), shown)
        self._data, self._shown = data, shown
        self.digest = digest_of(data)

    def fit(self, spec: InputSpec) -> NDArray[np.generic]:
        """Decode it; see `Input.fit`."""
        try:
            values = decode(self._data, layout_of(spec.shape), self._shown)
        except ProducerError as exc:
            raise InferenceError(str(exc)) from exc
        return stored(values, spec)


class ArrayInput(Input):
    """An array. Pictures are turned from NHWC to NCHW or back where the model has the other order."""

    def __init__(self, values: NDArray[np.generic]) -> None:
        """Take the values; floats are 0–1 where the model takes whole numbers."""
        self._values = np.ascontiguousarray(values)
        self.shape = self._values.shape
        self.digest = digest_of(self._values.data.cast("B"), self._values.dtype.str, self.shape)

    def fit(self, spec: InputSpec) -> NDArray[np.generic]:
        """Turn it, if that is all; see `Input.fit`."""
        values = self._values
        for turned in (values, *_turned(values)):
            if turned.shape == spec.shape:
                return stored(np.ascontiguousarray(turned), spec)
        given = f"{values.dtype}{list(values.shape)}"
        raise InferenceError(f"the model takes {spec}, not {given}: give it an input of its own")


def _turned(values: NDArray[np.generic]) -> list[NDArray[np.generic]]:
    """Return a batch of pictures in the other order of axes; nothing for what is none."""
    if values.ndim != 4:
        return []
    orders = (((0, 3, 1, 2), 3), ((0, 2, 3, 1), 1))
    return [values.transpose(axes) for axes, channels in orders if values.shape[channels] == 3]


def stored(values: NDArray[np.generic], spec: InputSpec) -> NDArray[np.generic]:
    """Give values the type that a model takes.

    Floats become quantised ones where the model says how, and pixels (0–255) where it takes uint8 and does not.

    Raises:
        InferenceError: The model takes a type that says nothing of pictures.
    """
    dtype = np.dtype(spec.dtype)
    is_float = np.issubdtype(values.dtype, np.floating)
    if values.dtype == dtype or (is_float and np.issubdtype(dtype, np.floating)):
        return values.astype(dtype, copy=False)
    if np.issubdtype(dtype, np.integer) and is_float:
        scale, zero = (spec.scale, spec.zero_point) if spec.scale else (1 / _MAX_PIXEL, 0.0)
        if spec.scale or dtype == np.uint8:
            limits = np.iinfo(dtype)
            whole = np.rint(values.astype(np.float64) / scale + zero)
            return np.clip(whole, limits.min, limits.max).astype(dtype)
    if values.dtype == np.uint8 and np.issubdtype(dtype, np.floating):
        return (values.astype(np.float32) / np.float32(_MAX_PIXEL)).astype(dtype)
    raise InferenceError(
        f"the model takes {spec}, which {values.dtype} values do not become: give it an array of its own"
    )
