"""TFLite's operators by name, and what each is in ONNX."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from engine.errors import ModelError
from engine.models.tools.tflite_conversion import Translation
from engine.models.tools.tflite_layers import (
    Translate,
    activated,
    bounded,
    convolution,
    dense,
    depthwise,
    mean,
    pad,
    pool,
    resize,
    total,
)


def _unary(kind: str, **attributes: Any) -> Translate:
    """Return the translation of an operator that changes each value by itself."""

    def translate(translation: Translation, operator: Any) -> None:
        source = int(operator.inputs[0])
        is_first = translation.is_channels_first(source)
        name = translation.add(kind, [translation.read(source, channels_first=is_first)], **attributes)
        translation.write(int(operator.outputs[0]), name, channels_first=is_first)

    return translate


def _bounded(kind: str) -> Translate:
    def translate(translation: Translation, operator: Any) -> None:
        source = int(operator.inputs[0])
        is_first = translation.is_channels_first(source)
        name = bounded(translation, translation.read(source, channels_first=is_first), kind)
        translation.write(int(operator.outputs[0]), name, channels_first=is_first)

    return translate


def _binary(*kinds: str) -> Translate:
    """Return the translation of an operator on two values, then of others on the result."""

    def translate(translation: Translation, operator: Any) -> None:
        sources = [int(index) for index in operator.inputs]
        # Values of another rank are spread over the last axes, which are others with the channels first.
        is_first = any(map(translation.is_channels_first, sources)) and all(
            len(translation.shape(index)) in (0, 4) for index in sources
        )
        names = [
            translation.read(index, channels_first=is_first and len(translation.shape(index)) == 4) for index in sources
        ]
        name = translation.add(kinds[0], names)
        if kinds[1:] == ("Square",):
            name = translation.add("Mul", [name, name])
        name = activated(translation, name, getattr(operator.builtinOptions, "fusedActivationFunction", 0))
        translation.write(int(operator.outputs[0]), name, channels_first=is_first)

    return translate


def _square(translation: Translation, operator: Any) -> None:
    name = translation.read(int(operator.inputs[0]))
    translation.write(int(operator.outputs[0]), translation.add("Mul", [name, name]))


def _reciprocal_root(translation: Translation, operator: Any) -> None:
    root = translation.add("Sqrt", [translation.read(int(operator.inputs[0]))])
    translation.write(int(operator.outputs[0]), translation.add("Reciprocal", [root]))


def _leaky(translation: Translation, operator: Any) -> None:
    _unary("LeakyRelu", alpha=float(operator.builtinOptions.alpha))(translation, operator)


def _prelu(translation: Translation, operator: Any) -> None:
    source, slope = (int(index) for index in operator.inputs)
    name = translation.add("PRelu", [translation.read(source), translation.read(slope)])
    translation.write(int(operator.outputs[0]), name)


def _gelu(translation: Translation, operator: Any) -> None:
    """x/2 × (1 + erf(x/√2)), or with the tanh that comes near it."""
    value = translation.read(int(operator.inputs[0]))

    def number(figure: float) -> str:
        return translation.literal(figure, np.float32)

    if operator.builtinOptions.approximate:
        cube = translation.add("Mul", [translation.add("Mul", [value, value]), value])
        near = translation.add("Add", [value, translation.add("Mul", [cube, number(0.044715)])])
        curve = translation.add("Tanh", [translation.add("Mul", [near, number(np.sqrt(2 / np.pi))])])
    else:
        curve = translation.add("Erf", [translation.add("Mul", [value, number(np.sqrt(0.5))])])
    share = translation.add("Mul", [translation.add("Add", [curve, number(1)]), number(0.5)])
    translation.write(int(operator.outputs[0]), translation.add("Mul", [value, share]))


def _softmax(translation: Translation, operator: Any) -> None:
    name, beta = translation.read(int(operator.inputs[0])), float(operator.builtinOptions.beta)
    if beta != 1:
        name = translation.add("Mul", [name, translation.literal(beta, np.float32)])
    translation.write(int(operator.outputs[0]), translation.add("Softmax", [name], axis=-1))


def _log_softmax(translation: Translation, operator: Any) -> None:
    name = translation.add("LogSoftmax", [translation.read(int(operator.inputs[0]))], axis=-1)
    translation.write(int(operator.outputs[0]), name)


def _concatenation(translation: Translation, operator: Any) -> None:
    sources, options = [int(index) for index in operator.inputs], operator.builtinOptions
    axis = options.axis % len(translation.shape(sources[0]))
    is_first = all(map(translation.is_channels_first, sources))
    name = translation.add(
        "Concat",
        [translation.read(index, channels_first=is_first) for index in sources],
        axis=(0, 2, 3, 1)[axis] if is_first else axis,
    )
    name = activated(translation, name, options.fusedActivationFunction)
    translation.write(int(operator.outputs[0]), name, channels_first=is_first)


def _reshape(translation: Translation, operator: Any) -> None:
    target = int(operator.outputs[0])
    if len(operator.inputs) > 1 and translation.constant(int(operator.inputs[1])) is None:
        shape = translation.add("Cast", [translation.read(int(operator.inputs[1]))], to=_onnx_type(np.int64))
    elif len(operator.inputs) > 1:
        shape = translation.literal(translation.numbers(int(operator.inputs[1])))
    else:
        shape = translation.literal([int(size) for size in operator.builtinOptions.newShape])
    translation.write(target, translation.add("Reshape", [translation.read(int(operator.inputs[0])), shape]))


def _to_own_shape(translation: Translation, operator: Any) -> None:
    """Translate SQUEEZE and EXPAND_DIMS: the target's shape says all, but for the sizes of open axes."""
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    shape = translation.shape(target)
    if shape.count(None) > 1:
        raise ModelError("SQUEEZE and EXPAND_DIMS with several open axes are not supported")
    wanted = translation.literal([-1 if size is None else size for size in shape])
    translation.write(target, translation.add("Reshape", [translation.read(source), wanted]))


def _transpose(translation: Translation, operator: Any) -> None:
    order = translation.numbers(int(operator.inputs[1]))
    name = translation.add("Transpose", [translation.read(int(operator.inputs[0]))], perm=order)
    translation.write(int(operator.outputs[0]), name)


def _same(translation: Translation, operator: Any) -> None:
    """Translate QUANTIZE and DEQUANTIZE: what is computed with are floats, whatever the tensors are."""
    source, target = int(operator.inputs[0]), int(operator.outputs[0])
    is_first = translation.is_channels_first(source)
    name = translation.read(source, channels_first=is_first)
    if translation.dtype(source) == np.float16:
        name = translation.add("Cast", [name], to=_onnx_type(np.float32))
    translation.write(target, name, channels_first=is_first)


def _cast(translation: Translation, operator: Any) -> None:
    target = int(operator.outputs[0])
    kind = _onnx_type(translation.dtype(target))
    translation.write(target, translation.add("Cast", [translation.read(int(operator.inputs[0]))], to=kind))


def _shape_of(translation: Translation, operator: Any) -> None:
    target = int(operator.outputs[0])
    name = translation.add("Shape", [translation.read(int(operator.inputs[0]))])
    translation.write(target, translation.add("Cast", [name], to=_onnx_type(translation.dtype(target))))


def _slice(translation: Translation, operator: Any) -> None:
    source, begins, sizes = (int(index) for index in operator.inputs)
    starts = translation.numbers(begins)
    ends = [
        2**31 - 1 if size < 0 else start + size for start, size in zip(starts, translation.numbers(sizes), strict=True)
    ]
    places = [translation.literal(values) for values in (starts, ends, list(range(len(starts))))]
    translation.write(int(operator.outputs[0]), translation.add("Slice", [translation.read(source), *places]))


def _strided_slice(translation: Translation, operator: Any) -> None:
    options = operator.builtinOptions
    if options.ellipsisMask or options.newAxisMask or options.offset:
        raise ModelError("STRIDED_SLICE with an ellipsis, a new axis or an offset is not supported")
    begins, ends, strides = (translation.numbers(int(index)) for index in operator.inputs[1:4])
    for axis, stride in enumerate(strides):
        if options.beginMask >> axis & 1:
            begins[axis] = 0 if stride > 0 else 2**31 - 1
        if options.endMask >> axis & 1:
            ends[axis] = 2**31 - 1 if stride > 0 else -(2**31)
        if options.shrinkAxisMask >> axis & 1:
            ends[axis], strides[axis] = begins[axis] + 1 or 2**31 - 1, 1
    places = [translation.literal(values) for values in (begins, ends, list(range(len(begins))), strides)]
    name = translation.add("Slice", [translation.read(int(operator.inputs[0])), *places])
    dropped = [axis for axis in range(len(begins)) if options.shrinkAxisMask >> axis & 1]
    if dropped:
        name = translation.add("Squeeze", [name, translation.literal(dropped)])
    translation.write(int(operator.outputs[0]), name)


def _pack(translation: Translation, operator: Any) -> None:
    target = int(operator.outputs[0])
    axis = translation.literal([operator.builtinOptions.axis])
    names = [translation.add("Unsqueeze", [translation.read(int(index)), axis]) for index in operator.inputs]
    translation.write(target, translation.add("Concat", names, axis=operator.builtinOptions.axis))


def _split(translation: Translation, operator: Any) -> None:
    axis, source = translation.numbers(int(operator.inputs[0]))[0], int(operator.inputs[1])
    size = translation.shape(source)[axis]
    if size is None:
        raise ModelError("SPLIT of an open axis is not supported")
    step = size // len(operator.outputs)
    for number, target in enumerate(operator.outputs):
        places = [translation.literal([value]) for value in (number * step, (number + 1) * step, axis)]
        translation.write(int(target), translation.add("Slice", [translation.read(source), *places]))


def _gather(translation: Translation, operator: Any) -> None:
    if operator.builtinOptions.batchDims:
        raise ModelError("GATHER with batch dimensions is not supported")
    names = [translation.read(int(index)) for index in operator.inputs]
    translation.write(int(operator.outputs[0]), translation.add("Gather", names, axis=operator.builtinOptions.axis))


def _largest(kind: str) -> Translate:
    """Return the translation of ARG_MAX or ARG_MIN."""

    def translate(translation: Translation, operator: Any) -> None:
        target = int(operator.outputs[0])
        axis = translation.numbers(int(operator.inputs[1]))[0]
        name = translation.add(kind, [translation.read(int(operator.inputs[0]))], axis=axis, keepdims=0)
        translation.write(target, translation.add("Cast", [name], to=_onnx_type(translation.dtype(target))))

    return translate


def _matrix_product(translation: Translation, operator: Any) -> None:
    options, names = operator.builtinOptions, []
    for index, is_turned in zip(operator.inputs, (options.adjX, options.adjY), strict=True):
        axes = list(range(len(translation.shape(int(index)))))
        order = [*axes[:-2], axes[-1], axes[-2]]
        names.append(translation.read_weights(int(index), order) if is_turned else translation.read(int(index)))
    translation.write(int(operator.outputs[0]), translation.add("MatMul", names))


def _onnx_type(dtype: Any) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


#: By the names in TFLite's schema. Source: tensorflow/tensorflow, lite/schema/schema.fbs, BuiltinOperator.
OPERATORS: Mapping[str, Translate] = MappingProxyType(
    {
        "ABS": _unary("Abs"),
        "ADD": _binary("Add"),
        "ARG_MAX": _largest("ArgMax"),
        "ARG_MIN": _largest("ArgMin"),
        "AVERAGE_POOL_2D": pool("AveragePool"),
        "BATCH_MATMUL": _matrix_product,
        "CAST": _cast,
        "CONCATENATION": _concatenation,
        "CONV_2D": convolution,
        "DEPTHWISE_CONV_2D": depthwise,
        "DEQUANTIZE": _same,
        "DIV": _binary("Div"),
        "ELU": _unary("Elu"),
        "EXP": _unary("Exp"),
        "EXPAND_DIMS": _to_own_shape,
        "FULLY_CONNECTED": dense,
        "GATHER": _gather,
        "GELU": _gelu,
        "HARD_SWISH": _unary("HardSwish"),
        "LEAKY_RELU": _leaky,
        "LOGISTIC": _unary("Sigmoid"),
        "LOG_SOFTMAX": _log_softmax,
        "MAXIMUM": _binary("Max"),
        "MAX_POOL_2D": pool("MaxPool"),
        "MEAN": mean("ReduceMean"),
        "MINIMUM": _binary("Min"),
        "MIRROR_PAD": pad,
        "MUL": _binary("Mul"),
        "NEG": _unary("Neg"),
        "PACK": _pack,
        "PAD": pad,
        "PADV2": pad,
        "POW": _binary("Pow"),
        "PRELU": _prelu,
        "QUANTIZE": _same,
        "REDUCE_MAX": mean("ReduceMax"),
        "REDUCE_MIN": mean("ReduceMin"),
        "RELU": _bounded("relu"),
        "RELU6": _bounded("relu6"),
        "RELU_N1_TO_1": _bounded("relu_n1_to_1"),
        "RESHAPE": _reshape,
        "RESIZE_BILINEAR": resize("linear"),
        "RESIZE_NEAREST_NEIGHBOR": resize("nearest"),
        "RSQRT": _reciprocal_root,
        "SHAPE": _shape_of,
        "SLICE": _slice,
        "SOFTMAX": _softmax,
        "SPLIT": _split,
        "SQRT": _unary("Sqrt"),
        "SQUARE": _square,
        "SQUARED_DIFFERENCE": _binary("Sub", "Square"),
        "SQUEEZE": _to_own_shape,
        "STRIDED_SLICE": _strided_slice,
        "SUB": _binary("Sub"),
        "SUM": total,
        "TANH": _unary("Tanh"),
        "TRANSPOSE": _transpose,
    }
)
