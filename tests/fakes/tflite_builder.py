"""Building TFLite models from the schema, an operator at a time: no converter is needed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: numpy's types as numbers of the schema's TensorType.
_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
#: Whose options are not called as the operator is.
_OPTIONS = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "MIRROR_PAD": "MirrorPadOptions",
}
_ONES = ("strideH", "strideW", "dilationHFactor", "dilationWFactor", "depthMultiplier", "beta")


class TfliteBuilder:
    """A TFLite graph that grows; tensors are numbers."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self.schema: Any = schema_py_generated
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [self.schema.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[tuple[int, str]] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str = "float32",
        *,
        scale: float | Sequence[float] | None = None,
        zero: int = 0,
        axis: int = 0,
    ) -> int:
        """Add a tensor that is computed or given; -1 in its shape is an open axis."""
        tensor = self.schema.TensorT()
        tensor.name, tensor.type = name, _TYPES[dtype]
        tensor.shape = [max(size, 1) for size in shape]
        if -1 in shape:
            tensor.shapeSignature = list(shape)
        if scale is not None:
            said = self.schema.QuantizationParametersT()
            said.scale = np.atleast_1d(np.asarray(scale, np.float32))
            said.zeroPoint = np.full(len(said.scale), zero, np.int64)
            said.quantizedDimension = axis
            tensor.quantization = said
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def constant(
        self,
        values: NDArray[Any] | np.generic | Sequence[Any],
        *,
        scale: float | Sequence[float] | None = None,
        axis: int = 0,
    ) -> int:
        """Add weights, or whole numbers such as axes."""
        array = np.asarray(values, None if isinstance(values, np.ndarray | np.generic) else np.int32)
        index = self.tensor(f"constant_{len(self._tensors)}", array.shape, str(array.dtype), scale=scale, axis=axis)
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(array.tobytes(), np.uint8)
        self._buffers.append(buffer)
        self._tensors[index].buffer = len(self._buffers) - 1
        return index

    def add(
        self,
        operator: str,
        inputs: Sequence[int],
        results: int | Sequence[int],
        options: Mapping[str, Any] | None = None,
    ) -> int:
        """Add an operator by its name in the schema, and return its first result; strides and the like are 1 unsaid."""
        number = getattr(self.schema.BuiltinOperator, operator, self.schema.BuiltinOperator.CUSTOM)
        code = (number, operator if number == self.schema.BuiltinOperator.CUSTOM else "")
        if code not in self._codes:
            self._codes.append(code)
        entry = self.schema.OperatorT()
        entry.opcodeIndex = self._codes.index(code)
        entry.inputs = list(inputs)
        entry.outputs = [results] if isinstance(results, int) else list(results)
        kind = _OPTIONS.get(operator, "".join(part.capitalize() for part in operator.split("_")) + "Options")
        if hasattr(self.schema, f"{kind}T"):
            said = getattr(self.schema, f"{kind}T")()
            for name in _ONES:
                if hasattr(said, name):
                    setattr(said, name, 1)
            for name, value in (options or {}).items():
                assert hasattr(said, name), f"{kind} has no {name}"
                setattr(said, name, value)
            entry.builtinOptionsType = getattr(self.schema.BuiltinOptions, kind)
            entry.builtinOptions = said
        self._operators.append(entry)
        return int(entry.outputs[0])

    def save(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        """Write the model."""
        import flatbuffers

        graph = self.schema.SubGraphT()
        graph.name, graph.inputs, graph.outputs = "main", list(inputs), list(outputs)
        graph.tensors, graph.operators = self._tensors, self._operators
        model = self.schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = []
        for number, name in self._codes:
            code = self.schema.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
            code.customCode = name or None
            model.operatorCodes.append(code)
        packer = flatbuffers.Builder(1024)
        packer.Finish(model.Pack(packer), file_identifier=b"TFL3")
        path.write_bytes(bytes(packer.Output()))
        return path
