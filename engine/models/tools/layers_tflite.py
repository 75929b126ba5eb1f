"""The layers of a TFLite graph."""

from pathlib import Path
from typing import Any

from engine.models.tools.layers import Layer, LayeredModel, Shape, Value, Weights, product, times
from engine.models.tools.tflite_graph import dtypes, operator_name, parse_tflite, values_of

#: Operators that multiply each value of the output with a filter, and the axes of their weights that make it.
#: Source: tensorflow/tensorflow, lite/schema/schema.fbs and the kernels' documentation.
_FILTER_AXES = {"CONV_2D": slice(1, 4), "DEPTHWISE_CONV_2D": slice(1, 3), "CONV_3D": slice(0, 4)}


def tflite_layers(path: Path) -> LayeredModel:
    """Return the layers of a TFLite file's first graph.

    Raises:
        ModelError: It is no whole TFLite file.
        BackendError: What reads it is not installed.
    """
    model = parse_tflite(path)
    graph = model.subgraphs[0]
    arrays = {number: values_of(model, tensor) for number, tensor in enumerate(graph.tensors)}
    learnt = {
        number: values
        for number, values in arrays.items()
        if values is not None and values.ndim and (values.dtype.kind == "f" or values.dtype.itemsize == 1)
    }
    layers: list[Layer] = []
    weights: dict[int, Weights] = {}  # by buffer: what is shared counts once
    for place, operator in enumerate(graph.operators):
        kind = operator_name(model, operator)
        name = f"{kind.lower()}_{place}"
        taken = [int(number) for number in operator.inputs if number >= 0]
        results = [int(number) for number in operator.outputs]
        shapes = [_shape(graph.tensors[number]) for number in taken]
        result = _shape(graph.tensors[results[0]]) if results else None
        layers.append(
            Layer(
                name=name,
                operator=kind,
                inputs=tuple(_name(graph, number) for number in taken if arrays[number] is None),
                outputs=tuple(_name(graph, number) for number in results),
                shape=result,
                parameters=sum(learnt[number].size for number in dict.fromkeys(taken) if number in learnt),
                macs=_macs(kind, result, shapes),
            )
        )
        for number in taken:
            if number in learnt:
                buffer = graph.tensors[number].buffer
                weights.setdefault(buffer, Weights(_name(graph, number), name, learnt[number]))
    inputs, outputs = (tuple(_value(graph, int(number)) for number in side) for side in (graph.inputs, graph.outputs))
    return LayeredModel(tuple(layers), inputs, outputs, tuple(weights.values()))


def _macs(kind: str, result: Shape | None, shapes: list[Shape | None]) -> int | None:
    weights = shapes[1] if len(shapes) > 1 else None
    if kind in _FILTER_AXES:
        return times(product(result), product(weights[_FILTER_AXES[kind]]) if weights is not None else None)
    if kind == "FULLY_CONNECTED":
        return times(product(result), weights[-1] if weights else None)
    if kind == "TRANSPOSE_CONV":
        return times(product(shapes[2]) if len(shapes) > 2 else None, product(weights[:3]) if weights else None)
    if kind == "BATCH_MATMUL":
        first = shapes[0] if shapes else None
        return times(product(result), first[-1] if first else None)
    return 0


def _value(graph: Any, number: int) -> Value:
    tensor = graph.tensors[number]
    known = dtypes().get(tensor.type)
    return Value(_name(graph, number), _shape(tensor), known.name if known is not None else "unknown")


def _shape(tensor: Any) -> Shape | None:
    return None if tensor.shape is None else tuple(int(size) for size in tensor.shape)


def _name(graph: Any, number: int) -> str:
    """Return a tensor's name; one without gets its number."""
    name = graph.tensors[number].name or f"tensor {number}"
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
