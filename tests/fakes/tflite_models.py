"""A small TFLite classifier, built from the schema: no converter is needed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.fakes.optional_backends import need

SIDE_PX, CHANNELS, CLASSES = 16, 32, 4


def schema() -> Any:
    """The classes of TFLite's file format; skips where they are not installed."""
    need("ai_edge_litert")
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


def save_tiny_tflite(path: Path, *, with_waste: bool = False, batch: int = 1) -> Path:
    """Two convolutions, a mean, a layer of weights: float32[batch, 16, 16, 3] → float32[batch, 4].

    Args:
        path: Where it goes.
        with_waste: Whether it also has an operator that no output needs, and two convolutions of equal weights.
        batch: Pictures that it takes at a time.
    """
    builder = _Builder(schema())
    random = np.random.default_rng(3)
    first = random.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32) * 0.3
    second = random.standard_normal((CHANNELS, 3, 3, CHANNELS)).astype(np.float32) * 0.1
    dense = random.standard_normal((CLASSES, CHANNELS)).astype(np.float32)
    zeros = np.zeros(CHANNELS, np.float32)
    image = builder.tensor("image", (batch, SIDE_PX, SIDE_PX, 3))
    hidden = builder.tensor("hidden", (batch, SIDE_PX, SIDE_PX, CHANNELS))
    builder.conv(image, builder.weights("first", first), builder.weights("first_bias", zeros), hidden)
    deeper = builder.tensor("deeper", (batch, SIDE_PX, SIDE_PX, CHANNELS))
    builder.conv(hidden, builder.weights("second", second), builder.weights("second_bias", zeros), deeper)
    if with_waste:
        twice = builder.tensor("twice", (batch, SIDE_PX, SIDE_PX, CHANNELS))
        builder.conv(deeper, builder.weights("second_copy", second), builder.weights("third_bias", zeros), twice)
        unused = builder.tensor("unused", (batch, SIDE_PX, SIDE_PX, CHANNELS))
        builder.conv(image, builder.weights("wasted", first * 2), builder.weights("wasted_bias", zeros), unused)
        deeper = twice
    pooled = builder.tensor("pooled", (batch, CHANNELS))
    builder.mean(deeper, builder.weights("axes", np.array([1, 2], np.int32)), pooled)
    scores = builder.tensor("scores", (batch, CLASSES))
    builder.dense(pooled, builder.weights("dense", dense), builder.weights("bias", np.zeros(4, np.float32)), scores)
    path.write_bytes(builder.model([image], [scores]))
    return path


class _Builder:
    def __init__(self, classes: Any) -> None:
        self._schema = classes
        self._tensors: list[Any] = []
        self._buffers: list[Any] = [classes.BufferT()]
        self._operators: list[Any] = []
        self._codes: list[int] = []

    def tensor(self, name: str, shape: tuple[int, ...], dtype: int = 0, buffer: int = 0) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = name, list(shape), dtype, buffer
        self._tensors.append(tensor)
        return len(self._tensors) - 1

    def weights(self, name: str, values: NDArray[np.generic]) -> int:
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(values.tobytes(), np.uint8)
        self._buffers.append(buffer)
        kinds = self._schema.TensorType
        dtype = kinds.INT32 if values.dtype == np.int32 else kinds.FLOAT32
        return self.tensor(name, values.shape, dtype, len(self._buffers) - 1)

    def conv(self, image: int, filters: int, bias: int, result: int) -> None:
        options = self._schema.Conv2DOptionsT()
        options.strideH = options.strideW = options.dilationHFactor = options.dilationWFactor = 1
        options.padding = self._schema.Padding.SAME
        options.fusedActivationFunction = self._schema.ActivationFunctionType.RELU
        self._operator("CONV_2D", "Conv2DOptions", options, [image, filters, bias], result)

    def mean(self, values: int, axes: int, result: int) -> None:
        self._operator("MEAN", "ReducerOptions", self._schema.ReducerOptionsT(), [values, axes], result)

    def dense(self, values: int, weights: int, bias: int, result: int) -> None:
        options = self._schema.FullyConnectedOptionsT()
        self._operator("FULLY_CONNECTED", "FullyConnectedOptions", options, [values, weights, bias], result)

    def _operator(self, name: str, kind: str, options: Any, inputs: list[int], result: int) -> None:
        code = getattr(self._schema.BuiltinOperator, name)
        if code not in self._codes:
            self._codes.append(code)
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.index(code)
        operator.inputs, operator.outputs = inputs, [result]
        operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, kind)
        operator.builtinOptions = options
        self._operators.append(operator)

    def model(self, inputs: list[int], outputs: list[int]) -> bytes:
        import flatbuffers

        classes = self._schema
        graph = classes.SubGraphT()
        graph.name, graph.inputs, graph.outputs = "main", inputs, outputs
        graph.tensors, graph.operators = self._tensors, self._operators
        model = classes.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self._buffers
        model.operatorCodes = []
        for number in self._codes:
            code = classes.OperatorCodeT()
            code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), 1
            model.operatorCodes.append(code)
        packer = flatbuffers.Builder(1024)
        packer.Finish(model.Pack(packer), file_identifier=b"TFL3")
        return bytes(packer.Output())
