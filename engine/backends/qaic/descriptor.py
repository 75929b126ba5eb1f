"""What a compiled program says of its inputs and outputs.

Source: quic/software-kit-for-qualcomm-cloud-ai-100 lib/core/proto/QAicApi.proto; quic/efficient-transformers
QEfficient/generation/cloud_infer.py for the types and the several shapes of one program.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from engine.errors import InferenceError, ModelError
from engine.models.program import Program, Tensors, TensorSpec

#: An output that is added when statistics are compiled in. Source: OpenRT utils/qaic-runner/QAicRunner.cpp.
STATISTICS = "aiccyclecounts"
#: Quantised values pass as they are, as in the vendor's code: scale and offset stand in the program's metadata.
_DTYPES: Mapping[str, type[np.generic]] = {
    "FLOAT_TYPE": np.float32,
    "FLOAT_16_TYPE": np.float16,
    "INT8_Q_TYPE": np.int8,
    "UINT8_Q_TYPE": np.uint8,
    "INT16_Q_TYPE": np.int16,
    "INT32_Q_TYPE": np.int32,
    "INT32_I_TYPE": np.int32,
    "INT64_I_TYPE": np.int64,
    "INT8_TYPE": np.int8,
}
_QUANTISED = frozenset({"INT8_Q_TYPE", "UINT8_Q_TYPE", "INT16_Q_TYPE", "INT32_Q_TYPE"})
_BFLOAT16 = "BFLOAT16_TYPE"
_BFLOAT16_NUMBER = 11

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Binding:
    """A buffer of the program.

    Attributes:
        name: Of the input or output.
        is_input: Else it is an output.
        dtype: Of the values here; float32 where the card has bfloat16, which NumPy has not.
        is_bfloat16: Whether it has to be converted.
        itemsize: Bytes of a value on the card.
        dims: The shape, where the program has but one.
        size_bytes: Of the buffer, likewise.
    """

    name: str
    is_input: bool
    dtype: np.dtype[np.generic]
    is_bfloat16: bool
    itemsize: int
    dims: Dims
    size_bytes: int

    def encode(self, value: NDArray[np.generic]) -> bytes:
        """Return the bytes that the card takes."""
        return (_to_bfloat16(value) if self.is_bfloat16 else value).tobytes()

    def decode(self, content: bytes, dims: Dims) -> NDArray[np.generic]:
        """Return the values that the card gave; they cannot be written to."""
        if self.is_bfloat16:
            halves = np.frombuffer(content, np.uint16).astype(np.uint32)
            return (halves << np.uint32(16)).view(np.float32).reshape(dims)
        return np.frombuffer(content, self.dtype).reshape(dims)


@dataclass(frozen=True, slots=True)
class Descriptor:
    """All buffers, in the order of their index.

    Attributes:
        shapes: The combinations of shapes that the program was compiled for, a shape for each binding.
        metadata: Scale and offset of quantised buffers.
    """

    bindings: tuple[Binding, ...]
    shapes: tuple[tuple[Dims, ...], ...]
    metadata: Mapping[str, str]

    @classmethod
    def parse(cls, api: Any, content: bytes) -> Self:
        """Read the protobuf message.

        Args:
            api: The vendor's module `QAicApi_pb2`.
            content: What the program gave as its descriptor.

        Raises:
            ModelError: It cannot be read, or has a type that is not known.
        """
        message = api.IoDesc()
        try:
            message.ParseFromString(content)
        except Exception as exc:  # protobuf's own errors differ between its versions
            raise ModelError(f"the description of the program's inputs and outputs cannot be read: {exc}") from exc
        ordered = sorted(message.selected_set.bindings, key=lambda binding: binding.index)
        types = {getattr(api, name): name for name in _DTYPES if hasattr(api, name)}
        types[getattr(api, _BFLOAT16, _BFLOAT16_NUMBER)] = _BFLOAT16
        bindings = tuple(_binding(binding, types, api.BUFFER_IO_TYPE_INPUT) for binding in ordered)
        # Shapes come with the inputs first, whatever the index.
        order = sorted(range(len(bindings)), key=lambda index: not bindings[index].is_input)
        combinations = []
        for entry in message.allowed_shapes:
            given = dict(zip(order, (tuple(shape.dims) for shape in entry.shapes), strict=False))
            combinations.append(tuple(given.get(index, binding.dims) for index, binding in enumerate(bindings)))
        metadata = {
            f"qaic.{key}:{binding.name}": str(getattr(binding, key))
            for binding in ordered
            if types[binding.type] in _QUANTISED
            for key in ("quant_scale", "quant_offset")
        }
        return cls(bindings, tuple(combinations) or (tuple(binding.dims for binding in bindings),), metadata)

    def program(self, metadata: Mapping[str, str]) -> Program:
        """Describe the program for who feeds it; the statistics are left out."""
        inputs = tuple(self._spec(index) for index, binding in enumerate(self.bindings) if binding.is_input)
        outputs = tuple(self._spec(index) for index, binding in enumerate(self.bindings) if self.is_output(binding))
        first = next((index for index, binding in enumerate(self.bindings) if binding.is_input), None)
        sizes = sorted({shape[first][0] for shape in self.shapes if first is not None and shape[first]})
        return Program(inputs, outputs, {**self.metadata, **metadata}, tuple(sizes) if len(sizes) > 1 else ())

    @staticmethod
    def is_output(binding: Binding) -> bool:
        """Whether the binding is an answer."""
        return not binding.is_input and binding.name != STATISTICS

    def fit(self, inputs: Tensors) -> tuple[Dims, ...]:
        """Return the compiled shapes that inputs have; a wrong one would be found only when the card fails it.

        Raises:
            InferenceError: They have none of them.
        """
        for shapes in self.shapes:
            pairs = zip(self.bindings, shapes, strict=True)
            if all(inputs[binding.name].shape == dims for binding, dims in pairs if binding.is_input):
                return shapes
        given = ", ".join(f"{name} {list(value.shape)}" for name, value in inputs.items())
        known = " or ".join(
            ", ".join(f"{b.name} {list(dims)}" for b, dims in zip(self.bindings, shapes, strict=True) if b.is_input)
            for shapes in self.shapes
        )
        raise InferenceError(f"the program was compiled for {known}, not for {given}")

    def size_bytes(self, index: int, dims: Dims) -> int:
        """Return how large the buffer of a binding is for a shape."""
        binding = self.bindings[index]
        return binding.size_bytes if dims == binding.dims else prod(dims) * binding.itemsize

    def _spec(self, index: int) -> TensorSpec:
        binding = self.bindings[index]
        sizes = [{shape[index][axis] for shape in self.shapes} for axis in range(len(binding.dims))]
        shape = tuple(next(iter(of_axis)) if len(of_axis) == 1 else None for of_axis in sizes)
        return TensorSpec(binding.name, shape, binding.dtype)


def _binding(message: Any, types: Mapping[int, str], input_direction: int) -> Binding:
    name = types.get(message.type)
    if name is None:
        raise ModelError(
            f"the program's {message.name} has the type {message.type}, which the SDK's QAicApi_pb2 does not name: "
            "compile it with the SDK that is installed"
        )
    is_bfloat16 = name == _BFLOAT16
    dtype = np.dtype(np.float32 if is_bfloat16 else _DTYPES[name])
    return Binding(
        message.name,
        message.dir == input_direction,
        dtype,
        is_bfloat16,
        2 if is_bfloat16 else dtype.itemsize,
        tuple(message.dims),
        message.size,
    )


def _to_bfloat16(value: NDArray[np.generic]) -> NDArray[np.uint16]:
    """Round float32 to the nearest bfloat16, to even where two are as near; NaN stays NaN."""
    bits = np.ascontiguousarray(value, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(bits.view(np.float32)), quiet, rounded).astype(np.uint16)
