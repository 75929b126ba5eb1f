"""TFLite's layers that look at a picture's axes: convolutions, pools, padding, resizing; and the dense one."""

from collections.abc import Callable
from typing import Any

import numpy as np

from engine.errors import ModelError
from engine.models.tools.tflite_conversion import Translation

Translate = Callable[[Translation, Any], None]

#: `ActivationFunctionType` and `Padding` of TFLite's schema. Source: tensorflow/tensorflow, lite/schema/schema.fbs.
_FUSED = {1: "relu", 2: "relu_n1_to_1", 3: "relu6", 4: "tanh"}
_SAME = 0
_BOUNDS = {"relu_n1_to_1": (-1.0, 1.0), "relu6": (0.0, 6.0)}


def activated(translation: Translation, name: str, kind: int) -> str:
    """Add the activation that is fused into an operator, and return the name of its output."""
    if not kind:
        return name
    if kind not in _FUSED:
        raise ModelError(f"an operator has an activation that is not supported (number {kind})")
    return bounded(translation, name, _FUSED[kind])


def bounded(translation: Translation, name: str, kind: str) -> str:
    """Add an activation by its name."""
    if kind in _BOUNDS:
        low, high = (translation.literal(bound, np.float32) for bound in _BOUNDS[kind])
        return translation.add("Clip", [name, low, high])
    return translation.add("Relu" if kind == "relu" else "Tanh", [name])


def convolution(translation: Translation, operator: Any) -> None:
    """Translate CONV_2D: weights [out, height, width, in]."""
    picture, weights = int(operator.inputs[0]), int(operator.inputs[1])
    out, height, width, channels = _known(translation, weights)
    groups = (translation.shape(picture)[3] or channels) // channels
    del out
    _convolve(translation, operator, translation.read_weights(weights, (0, 3, 1, 2)), (height, width), groups)


def depthwise(translation: Translation, operator: Any) -> None:
    """Translate DEPTHWISE_CONV_2D: weights [1, height, width, in × multiplier]."""
    picture, weights = int(operator.inputs[0]), int(operator.inputs[1])
    _, height, width, outs = _known(translation, weights)
    groups = translation.shape(picture)[3] or outs // max(operator.builtinOptions.depthMultiplier, 1)
    _convolve(translation, operator, translation.read_weights(weights, (3, 0, 1, 2)), (height, width), groups)


def _convolve(translation: Translation, operator: Any, weights: str, kernel: tuple[int, int], groups: int) -> None:
    options, picture = operator.builtinOptions, int(operator.inputs[0])
    strides = (options.strideH, options.strideW)
    dilations = (max(options.dilationHFactor, 1), max(options.dilationWFactor, 1))
    inputs = [translation.read(picture, channels_first=True), weights]
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        inputs.append(translation.read(int(operator.inputs[2])))
    name = translation.add(
        "Conv",
        inputs,
        kernel_shape=kernel,
        strides=strides,
        dilations=dilations,
        group=groups,
        **_padding(translation.shape(picture), options.padding, kernel, strides, dilations),
    )
    name = activated(translation, name, options.fusedActivationFunction)
    translation.write(int(operator.outputs[0]), name, channels_first=True)


def pool(kind: str) -> Translate:
    """Return the translation of AVERAGE_POOL_2D or MAX_POOL_2D."""

    def translate(translation: Translation, operator: Any) -> None:
        options, picture = operator.builtinOptions, int(operator.inputs[0])
        kernel, strides = (options.filterHeight, options.filterWidth), (options.strideH, options.strideW)
        name = translation.add(
            kind,
            [translation.read(picture, channels_first=True)],
            kernel_shape=kernel,
            strides=strides,
            **_padding(translation.shape(picture), options.padding, kernel, strides, (1, 1)),
        )
        name = activated(translation, name, options.fusedActivationFunction)
        translation.write(int(operator.outputs[0]), name, channels_first=True)

    return translate


def dense(translation: Translation, operator: Any) -> None:
    """Translate FULLY_CONNECTED: weights [out, in]."""
    options = operator.builtinOptions
    if options.weightsFormat:
        raise ModelError("FULLY_CONNECTED has shuffled weights, which are not supported")
    source, weights = int(operator.inputs[0]), int(operator.inputs[1])
    _, size = _known(translation, weights)
    name = translation.read(source)
    if not options.keepNumDims and len(translation.shape(source)) != 2:
        name = translation.add("Reshape", [name, translation.literal([-1, size])])
    name = translation.add("MatMul", [name, translation.read_weights(weights, (1, 0))])
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        name = translation.add("Add", [name, translation.read(int(operator.inputs[2]))])
    translation.write(int(operator.outputs[0]), activated(translation, name, options.fusedActivationFunction))


def mean(kind: str) -> Translate:
    """Return the translation of MEAN, REDUCE_MAX or REDUCE_MIN, over axes that are constant."""

    def translate(translation: Translation, operator: Any) -> None:
        source, target = int(operator.inputs[0]), int(operator.outputs[0])
        rank = len(translation.shape(source))
        axes = sorted(axis % rank for axis in translation.numbers(int(operator.inputs[1])))
        keeps = int(bool(operator.builtinOptions.keepDims))
        is_first = translation.is_channels_first(source) and axes == [1, 2]
        name = translation.add(
            kind,
            [translation.read(source, channels_first=is_first)],
            axes=[2, 3] if is_first else axes,
            keepdims=keeps,
        )
        # Without its sides, a picture is [n, channels] in either order.
        translation.write(target, name, channels_first=is_first and bool(keeps))

    return translate


def total(translation: Translation, operator: Any) -> None:
    """Translate SUM, whose axes are an input in ONNX."""
    source = int(operator.inputs[0])
    axes = translation.literal(translation.numbers(int(operator.inputs[1])))
    keeps = int(bool(operator.builtinOptions.keepDims))
    translation.write(
        int(operator.outputs[0]), translation.add("ReduceSum", [translation.read(source), axes], keepdims=keeps)
    )


def pad(translation: Translation, operator: Any) -> None:
    """Translate PAD, PADV2 and MIRROR_PAD."""
    source = int(operator.inputs[0])
    pairs = np.reshape(translation.numbers(int(operator.inputs[1])), (-1, 2))
    is_first = translation.is_channels_first(source)
    if is_first:
        pairs = pairs[[0, 3, 1, 2]]
    inputs = [translation.read(source, channels_first=is_first), translation.literal(pairs.T.reshape(-1))]
    mode = "constant"
    if len(operator.inputs) > 2:
        inputs.append(translation.add("Reshape", [translation.read(int(operator.inputs[2])), translation.literal([])]))
    elif hasattr(operator.builtinOptions, "mode"):
        if operator.builtinOptions.mode != 0:
            raise ModelError("MIRROR_PAD is symmetric, which ONNX has not in this opset")
        mode = "reflect"
    name = translation.add("Pad", inputs, mode=mode)
    translation.write(int(operator.outputs[0]), name, channels_first=is_first)


def resize(kind: str) -> Translate:
    """Return the translation of RESIZE_BILINEAR ("linear") or RESIZE_NEAREST_NEIGHBOR ("nearest")."""

    def translate(translation: Translation, operator: Any) -> None:
        options, source = operator.builtinOptions, int(operator.inputs[0])
        place = "asymmetric"
        if options.alignCorners:
            place = "align_corners"
        elif options.halfPixelCenters:
            place = "half_pixel"
        picture = translation.read(source, channels_first=True)
        start, end = translation.literal([0]), translation.literal([2])
        kept = translation.add("Slice", [translation.add("Shape", [picture]), start, end])
        sides = translation.literal(translation.numbers(int(operator.inputs[1])))
        name = translation.add(
            "Resize",
            [picture, "", "", translation.add("Concat", [kept, sides], axis=0)],
            mode=kind,
            coordinate_transformation_mode=place,
            nearest_mode="floor" if place == "asymmetric" else "round_prefer_ceil",
        )
        translation.write(int(operator.outputs[0]), name, channels_first=True)

    return translate


def _known(translation: Translation, index: int) -> tuple[int, ...]:
    """Return the shape of weights."""
    return tuple(size or 0 for size in translation.shape(index))


def _padding(
    shape: tuple[int | None, ...],
    padding: int,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    dilations: tuple[int, int],
) -> dict[str, Any]:
    """Return the attributes that say what is put around a picture."""
    if padding != _SAME:
        return {"pads": [0, 0, 0, 0]}
    before, after = [], []
    for size, side, stride, dilation in zip(shape[1:3], kernel, strides, dilations, strict=True):
        if size is None:
            return {"auto_pad": "SAME_UPPER"}
        missing = max((-(-size // stride) - 1) * stride + (side - 1) * dilation + 1 - size, 0)
        before.append(missing // 2)
        after.append(missing - missing // 2)
    return {"pads": before + after}
