"""The layers of an ONNX graph."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModelError, first_line
from engine.models.tools.layers import Layer, LayeredModel, Shape, Value, Weights, product, times

#: Inputs of these, by place, that are scales and zero points: they belong to weights, and are none.
_SCALES = {
    "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2), "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7), "ConvInteger": (2, 3), "MatMulInteger": (2, 3),
}  # fmt: skip
#: Where a convolution has its weights; all of them multiply each value of the output with a filter.
_FILTERS = {"Conv": 1, "ConvInteger": 1, "FusedConv": 1, "QLinearConv": 3}
#: Where a matrix product has its second factor.
_FACTORS = {"MatMul": 1, "MatMulInteger": 1, "QLinearMatMul": 3}
#: Open axes of pictures get this, others stay open.
_PICTURE_SIDE_PX = 224
#: Operators whose results are followed as numbers where shapes are inferred. Source: onnx/onnx, onnx/defs, whatever has
#: a PartialDataPropagationFunction.
_CARRYING = frozenset({
    "Add", "Cast", "Ceil", "Concat", "Constant", "Div", "Floor", "Gather", "Identity", "Max", "Min", "Mod", "Mul",
    "Neg", "Reshape", "Shape", "Size", "Slice", "Squeeze", "Sub", "Unsqueeze",
})  # fmt: skip
_MAX_AXES = 64
#: Shapes are made of a few numbers each.
_MAX_SHAPE_VALUES = 100_000


def onnx_layers(model: Any, path: Path) -> LayeredModel:
    """Return the layers of a `ModelProto` with its weights.

    Raises:
        ModelError: The graph cannot be followed; it names the file.
    """
    from onnx import numpy_helper

    inputs, outputs = _values(model, model.graph.input), _values(model, model.graph.output)
    model, shapes = _with_shapes(model, path)
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    constants = {
        node.output[0]: numpy_helper.to_array(attribute.t)
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    arrays |= constants
    shapes |= {name: values.shape for name, values in arrays.items()}
    held = _weights(model, arrays)
    layers = [
        Layer(
            name=node.name or node.output[0],
            operator=node.op_type,
            inputs=tuple(name for name in node.input if name and name not in arrays),
            outputs=tuple(name for name in node.output if name),
            shape=shapes.get(node.output[0]) if node.output else None,
            parameters=sum(arrays[name].size for name in dict.fromkeys(node.input) if name in held),
            macs=_macs(node, shapes),
        )
        for node in model.graph.node
        if node.op_type != "Constant"
    ]
    weights = tuple(Weights(name, layer, arrays[name]) for name, layer in held.items())
    return LayeredModel(tuple(layers), inputs, outputs, weights)


def _weights(model: Any, arrays: dict[str, Any]) -> dict[str, str]:
    """Return the names of what was learnt, each with that of its first layer."""
    scales = {
        node.input[place]
        for node in model.graph.node
        for place in _SCALES.get(node.op_type, ())
        if place < len(node.input)
    }
    held: dict[str, str] = {}
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name not in arrays or name in scales or name in held:
                continue
            is_bias = node.op_type == "DequantizeLinear" and place == 0
            dtype = arrays[name].dtype
            is_learnt = dtype.kind not in "iubOSU" or (dtype.kind in "iu" and (dtype.itemsize == 1 or is_bias))
            if is_learnt and arrays[name].ndim:
                held[name] = node.name or node.output[0]
    return held


def _with_shapes(model: Any, path: Path) -> tuple[Any, dict[str, Shape]]:
    """Return the model with its own functions written out, and the shape of every value for one row."""
    import onnx

    try:
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        sized = onnx.ModelProto()
        sized.CopyFrom(model)
        weights = {tensor.name for tensor in model.graph.initializer}
        for value in sized.graph.input:
            if value.name not in weights:
                _close(value.type.tensor_type.shape.dim)
        del sized.graph.value_info[:]  # what the file says of them has open axes
        for value in sized.graph.output:
            value.type.tensor_type.ClearField("shape")
        sized = onnx.shape_inference.infer_shapes(sized, data_prop=_stays_small(sized.graph))
    except Exception as exc:  # onnx raises anything on a graph that somebody made up
        raise ModelError(f"the shapes in {path} cannot be followed: {first_line(exc)}") from exc
    values = [*sized.graph.input, *sized.graph.value_info, *sized.graph.output]
    return model, {value.name: shape for value in values if (shape := _shape(value)) is not None}


def _stays_small(graph: Any) -> bool:
    """Tell whether the whole numbers that shapes are made of stay few: joined to themselves they fill any memory."""
    from onnx import TensorProto

    whole = (TensorProto.INT32, TensorProto.INT64)
    lengths = {
        tensor.name: product(tuple(tensor.dims)) or 1 for tensor in graph.initializer if tensor.data_type in whole
    }
    for node in graph.node:
        given = [lengths.get(name, 1) for name in node.input]
        length = sum(given) if node.op_type == "Concat" else max([*given, _MAX_AXES if node.op_type == "Shape" else 1])
        if length > _MAX_SHAPE_VALUES:
            return False
        if node.op_type in _CARRYING:
            lengths.update(dict.fromkeys(node.output, length))
    return True


def _close(axes: Any) -> None:
    for place, axis in enumerate(axes):
        if axis.dim_value > 0 and place:
            continue
        if place == 0:
            axis.dim_value = 1
        elif len(axes) == 4:
            axis.dim_value = _PICTURE_SIDE_PX


def _shape(value: Any) -> Shape | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in tensor.shape.dim)


def _values(model: Any, values: Any) -> tuple[Value, ...]:
    from onnx import helper

    weights = {tensor.name for tensor in model.graph.initializer}
    found = []
    for value in values:
        if value.name in weights:
            continue
        shape = _shape(value)
        try:
            dtype = np.dtype(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)).name
        except (KeyError, TypeError):
            dtype = "unknown"
        sizes = None if shape is None else tuple(size or None for size in shape)
        found.append(Value(value.name, sizes, dtype))
    return tuple(found)


def _macs(node: Any, shapes: dict[str, Shape]) -> int | None:
    """Return the multiplications of a node for one row."""

    def shape_at(place: int) -> Shape | None:
        return shapes.get(node.input[place]) if place < len(node.input) else None

    result = product(shapes.get(node.output[0])) if node.output else None
    kind = node.op_type
    if kind in _FILTERS:
        filters = shape_at(_FILTERS[kind])
        return times(result, product(filters[1:]) if filters is not None else None)
    if kind == "ConvTranspose":
        filters = shape_at(1)
        return times(product(shape_at(0)), product(filters[1:]) if filters is not None else None)
    if kind in _FACTORS:
        first = shape_at(0)
        return times(result, first[-1] if first else None)
    if kind == "Gemm":
        is_turned = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
        first = shape_at(0)
        return times(result, first[0 if is_turned else -1] if first else None)
    if kind == "Einsum":
        return _einsum_macs(node, [shape_at(place) for place in range(len(node.input))])
    return 0


def _einsum_macs(node: Any, shapes: list[Shape | None]) -> int | None:
    """Return the product of the sizes of all letters."""
    equation = next((attribute.s.decode() for attribute in node.attribute if attribute.name == "equation"), "")
    sizes: dict[str, int] = {}
    for letters, shape in zip(equation.replace(" ", "").split("->")[0].split(","), shapes, strict=False):
        if shape is None or None in shape or len(letters) != len(shape) or "." in letters:
            return None
        sizes |= {letter: size or 0 for letter, size in zip(letters, shape, strict=True)}
    return math.prod(sizes.values())
