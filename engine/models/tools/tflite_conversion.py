"""A TFLite model, written as ONNX."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ModelError, first_line
from engine.models.onnx_file import save_onnx
from engine.models.tools.tflite_graph import parse_tflite, schema
from engine.models.zoo.catalog import BATCH_AXIS

#: The largest in which reductions still have their axes as attributes, as all of the operators here are written.
_OPSET = 17
_IR_VERSION = 8
#: TFLite's types by number. Source: tensorflow/tensorflow, lite/schema/schema.fbs, TensorType.
_DTYPES = {
    0: np.float32, 1: np.float16, 2: np.int32, 3: np.uint8, 4: np.int64, 6: np.bool_, 7: np.int16, 9: np.int8,
    10: np.float64,
}  # fmt: skip
_CUSTOM = 32
#: From TFLite's order of a picture's axes to that of ONNX's convolutions, and back.
TO_CHANNELS_FIRST = (0, 3, 1, 2)
TO_CHANNELS_LAST = (0, 2, 3, 1)


@dataclass(slots=True)
class Value:
    """A tensor of the TFLite graph, as the ONNX graph has it.

    Attributes:
        last: The name of its value, with the axes in TFLite's order; empty where nobody asked for that yet.
        first: That with the channels first, for 4 axes.
        codes: Of a quantised one, its whole numbers.
        has_codes_first: Whether these have the channels first.
    """

    last: str = ""
    first: str = ""
    codes: str = ""
    has_codes_first: bool = False


@dataclass(slots=True)
class Translation:
    """The ONNX graph that grows, and what it has of the TFLite tensors.

    Values of quantised tensors are floats that lie on its steps: QuantizeLinear and DequantizeLinear stand behind each
    operator, and back ends make whole-number arithmetic of that.
    """

    graph: Any
    buffers: Any
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    _names: int = 0

    # What the TFLite graph says.

    def tensor(self, index: int) -> Any:
        """Return a tensor's description."""
        return self.graph.tensors[index]

    def shape(self, index: int) -> tuple[int | None, ...]:
        """Return a tensor's shape, open axes as None."""
        tensor = self.tensor(index)
        sizes = tensor.shape if _is_none(tensor.shapeSignature) else tensor.shapeSignature
        return () if _is_none(sizes) else tuple(int(size) if size >= 0 else None for size in sizes)

    def dtype(self, index: int) -> np.dtype[Any]:
        """Return a tensor's type in the file."""
        tensor = self.tensor(index)
        if tensor.type not in _DTYPES:
            raise ModelError(f"the tensor {name_of(tensor)} has a type that is not supported (number {tensor.type})")
        return np.dtype(_DTYPES[tensor.type])

    def constant(self, index: int) -> NDArray[Any] | None:
        """Return the whole numbers or floats that the file holds for a tensor; None where it is computed."""
        tensor = self.tensor(index)
        data = self.buffers[tensor.buffer].data if tensor.buffer else None
        if data is None or np.isscalar(data) or not len(data) or tensor.isVariable:
            return None
        if tensor.sparsity is not None:
            raise ModelError(f"the weights {name_of(tensor)} are sparse, which is not supported")
        values = np.frombuffer(np.asarray(data, np.uint8).tobytes(), self.dtype(index))
        return values.reshape([int(size) for size in (() if _is_none(tensor.shape) else tensor.shape)])

    def numbers(self, index: int) -> list[int]:
        """Return the constant whole numbers of an operator's input, such as axes."""
        values = self.constant(index)
        if values is None:
            raise ModelError(f"the tensor {name_of(self.tensor(index))} has to be constant, and is computed")
        return [int(value) for value in values.reshape(-1)]

    def steps(self, index: int) -> tuple[NDArray[Any], NDArray[Any], int] | None:
        """Return scale, zero point and axis of a quantised tensor, else None."""
        said = self.tensor(index).quantization
        if said is None or _is_none(said.scale) or not len(said.scale) or self.dtype(index).kind not in "iu":
            return None
        scale = np.asarray(said.scale, np.float32)
        zero = np.zeros(len(scale)) if _is_none(said.zeroPoint) else np.asarray(said.zeroPoint)
        return scale, np.broadcast_to(zero, scale.shape).astype(self.dtype(index)), int(said.quantizedDimension)

    # What grows.

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output, and return the output's name."""
        from onnx import helper

        name = self._name()
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=f"{operator}_{name}", **attributes))
        return name

    def literal(self, values: Any, dtype: Any = np.int64) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        name = self._name()
        self.initializers.append(numpy_helper.from_array(np.array(values, dtype, order="C"), name))
        return name

    def read(self, index: int, *, channels_first: bool = False) -> str:
        """Return the name of a tensor's value, in the order of axes that is wanted."""
        value = self.values.get(index)
        if value is None:
            value = self.values[index] = Value(last=self._from_file(index, None))
        if channels_first and not value.first:
            value.first = self.add("Transpose", [value.last], perm=TO_CHANNELS_FIRST)
        if not channels_first and not value.last:
            value.last = self.add("Transpose", [value.first], perm=TO_CHANNELS_LAST)
        return value.first if channels_first else value.last

    def read_weights(self, index: int, order: Sequence[int]) -> str:
        """Return the name of a tensor's value with its axes in another order; constants are turned here."""
        if index not in self.values and self.constant(index) is not None:
            return self._from_file(index, order)
        return self.add("Transpose", [self.read(index)], perm=list(order))

    def is_channels_first(self, index: int) -> bool:
        """Tell whether a tensor's value is there with the channels first alone."""
        value = self.values.get(index)
        return value is not None and bool(value.first) and not value.last

    def write(self, index: int, name: str, *, channels_first: bool = False) -> None:
        """Take a node's output for a tensor's value."""
        value = Value(has_codes_first=channels_first)
        steps = self.steps(index)
        if steps is not None:
            scale, zero, _ = steps
            if len(scale) > 1 or self.dtype(index).itemsize > 1:
                what = f"{self.dtype(index)} with {len(scale)} scales"
                raise ModelError(f"the tensor {name_of(self.tensor(index))} is quantised as {what}: not supported")
            places = [self.literal(scale[0], np.float32), self.literal(zero[0], zero.dtype)]
            value.codes = self.add("QuantizeLinear", [name, *places])
            name = self.add("DequantizeLinear", [value.codes, *places])
        if channels_first:
            value.first = name
        else:
            value.last = name
        self.values[index] = value

    def take_input(self, index: int) -> None:
        """Make a tensor an input of the graph."""
        name, steps = name_of(self.tensor(index)), self.steps(index)
        if steps is None:
            self.values[index] = Value(last=name)
            return
        scale, zero, _ = steps
        places = [self.literal(scale[0], np.float32), self.literal(zero[0], zero.dtype)]
        self.values[index] = Value(last=self.add("DequantizeLinear", [name, *places]), codes=name)

    def give_output(self, index: int) -> None:
        """Make a tensor an output of the graph."""
        from onnx import helper

        last = self.read(index)
        value = self.values[index]
        if self.steps(index) is not None:
            last = value.codes
            if value.has_codes_first:
                last = self.add("Transpose", [last], perm=TO_CHANNELS_LAST)
        self.nodes.append(helper.make_node("Identity", [last], [name_of(self.tensor(index))]))

    def _from_file(self, index: int, order: Sequence[int] | None) -> str:
        """Add a tensor's constant; quantised ones stay whole numbers in the file, but for biases."""
        values = self.constant(index)
        if values is None:
            raise ModelError(f"the tensor {name_of(self.tensor(index))} is used, and nothing computes it")
        turned = values if order is None else values.transpose(order)
        steps = self.steps(index)
        if steps is None:
            return self.literal(turned, values.dtype)
        scale, zero, axis = steps
        place = axis if order is None else list(order).index(axis)
        if values.dtype.itemsize > 1:
            wide = [-1 if at == place else 1 for at in range(turned.ndim)] if len(scale) > 1 else [1] * turned.ndim
            return self.literal((turned - zero.astype(np.int64).reshape(wide)) * scale.reshape(wide), np.float32)
        codes = self.literal(turned, values.dtype)
        if len(scale) == 1:
            return self.add(
                "DequantizeLinear", [codes, self.literal(scale[0], np.float32), self.literal(zero[0], zero.dtype)]
            )
        places = [self.literal(scale, np.float32), self.literal(zero, zero.dtype)]
        return self.add("DequantizeLinear", [codes, *places], axis=place)

    def _name(self) -> str:
        self._names += 1
        return f"value_{self._names}"


def tflite_to_onnx(path: Path, onnx_path: Path) -> tuple[str, ...]:
    """Write a TFLite model as ONNX, with its own names, types and order of axes at the inputs and outputs.

    Args:
        path: The `.tflite` file.
        onnx_path: The file to write.

    Returns:
        What there is to say about it, a line each.

    Raises:
        ModelError: It is no such file, or has an operator that is not known here, which is named.
        BackendError: What reads it is not installed.
    """
    model = parse_tflite(path)
    try:
        if model.externalBuffers:
            raise ModelError("it keeps weights in another file")
        graph = model.subgraphs[0]
        notes = ["only the first of its subgraphs is written"] if len(model.subgraphs) > 1 else []
        translation = Translation(graph, model.buffers)
        _translate(translation, [_operator_name(code) for code in model.operatorCodes])
        _save(translation, onnx_path)
    except EngineError as exc:
        raise ModelError(f"{path} cannot be written as ONNX: {first_line(exc)}") from exc
    except Exception as exc:  # what somebody made up, and onnx's own checks
        raise ModelError(f"{path} cannot be written as ONNX: {first_line(exc)}") from exc
    return tuple(notes)


def _translate(translation: Translation, names: Sequence[str]) -> None:
    from engine.models.tools.tflite_operators import OPERATORS

    graph = translation.graph
    unknown = sorted({names[operator.opcodeIndex] for operator in graph.operators} - set(OPERATORS))
    if unknown:
        raise ModelError(f"it has operators that are not known here: {', '.join(unknown)}")
    for index in graph.inputs:
        translation.take_input(int(index))
    for operator in graph.operators:
        OPERATORS[names[operator.opcodeIndex]](translation, operator)
    for index in graph.outputs:
        translation.give_output(int(index))


def _operator_name(code: Any) -> str:
    """Return an operator's name in the schema; a custom one's own."""
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if number == _CUSTOM:
        text = code.customCode or b"?"
        return f"custom {text.decode(errors='replace') if isinstance(text, bytes) else text}"
    known = vars(schema().BuiltinOperator)
    return next((name for name, value in known.items() if value == number), f"number {number}")


def _save(translation: Translation, onnx_path: Path) -> None:
    import onnx
    from onnx import helper

    inputs = [_described(translation, int(index)) for index in translation.graph.inputs]
    outputs = [_described(translation, int(index)) for index in translation.graph.outputs]
    graph = helper.make_graph(translation.nodes, "tflite", inputs, outputs, translation.initializers)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION, producer_name="streamer"
    )
    onnx.checker.check_model(model, full_check=True)
    save_onnx(model, onnx_path)


def _described(translation: Translation, index: int) -> Any:
    """Return the description of an input or output: its name, type and shape in the TFLite file."""
    from onnx import helper

    shape = [
        size if size is not None else (BATCH_AXIS if axis == 0 else f"{name_of(translation.tensor(index))}_{axis}")
        for axis, size in enumerate(translation.shape(index))
    ]
    kind = helper.np_dtype_to_tensor_dtype(translation.dtype(index))
    return helper.make_tensor_value_info(name_of(translation.tensor(index)), kind, shape)


def name_of(tensor: Any) -> str:
    """Return a tensor's name."""
    name = tensor.name or b""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _is_none(value: Any) -> bool:
    """Tell whether a vector of the file is left out; the generated code gives None, or the number 0."""
    return value is None or np.isscalar(value)
