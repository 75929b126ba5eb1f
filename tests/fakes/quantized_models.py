"""Quantised models (QDQ), as QNN likes them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.backends.base import Backend
from engine.backends.registry import make_backend
from tests.fakes.onnx_models import save
from tests.fakes.optional_backends import need

#: What one step of the answers of `save_quantized_sums` is worth.
SUM_STEP = 64.0
PICTURE = (3, 32, 32)


def save_quantized_sums(path: Path, batch: int | None = None) -> Path:
    """Sums of the channels as `answer`, in steps of `SUM_STEP`: exact where all pixels of a picture are alike."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "batch", 8, 8, 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [batch or "batch", 3])
    nodes = [
        helper.make_node("DequantizeLinear", ["image", "pixel_scale", "zero"], ["pixels"]),
        helper.make_node("ReduceSum", ["pixels", "spatial"], ["sums"], keepdims=0),
        helper.make_node("QuantizeLinear", ["sums", "sum_scale", "zero"], ["steps"]),
        helper.make_node("DequantizeLinear", ["steps", "sum_scale", "zero"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(1, np.float32), "pixel_scale"),
        numpy_helper.from_array(np.array(SUM_STEP, np.float32), "sum_scale"),
        numpy_helper.from_array(np.array(0, np.uint8), "zero"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "spatial"),
    ]
    return save(path, nodes, [image], [answer], constants)


def save_small_net(path: Path) -> Path:
    """A convolution, ReLU, mean and four classes, in floating point: NCHW, `PICTURE`."""
    random = np.random.default_rng(3)
    constants = [
        numpy_helper.from_array((random.standard_normal((8, 3, 3, 3)) * 0.4).astype(np.float32), "kernel"),
        numpy_helper.from_array((random.standard_normal((8, 4)) * 3).astype(np.float32), "weights"),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["convolved"], kernel_shape=[3, 3]),
        helper.make_node("Relu", ["convolved"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["features"]),
        helper.make_node("Gemm", ["features", "weights"], ["answer"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *PICTURE])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 4])
    return save(path, nodes, [image], [answer], constants)


def save_counter(path: Path) -> Path:
    """How many pixels are not nothing: `NonZero`, whose output has no fixed size, is not QNN's."""
    nodes = [
        helper.make_node("Relu", ["image"], ["positive"]),
        helper.make_node("NonZero", ["positive"], ["places"]),
        helper.make_node("Cast", ["places"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["numbers", "rows"], ["answer"], keepdims=0),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", *PICTURE])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [4])
    return save(path, nodes, [image], [answer], [numpy_helper.from_array(np.array([1], np.int64), "rows")])


def quantize(source: Path, path: Path, pictures: NDArray[np.generic]) -> Path:
    """Quantise a model to eight bits, by what these pictures do in it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    batches: Iterator[dict[str, Any]] = iter([{"image": picture[None]} for picture in pictures])

    class Reader(CalibrationDataReader):  # type: ignore[misc] # untyped
        def get_next(self) -> dict[str, Any] | None:
            return next(batches, None)

    quantize_static(
        source,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QUInt8,
    )
    return path


def save_quantized_net(path: Path) -> Path:
    """`save_small_net`, quantised."""
    source = save_small_net(path.with_name("float.onnx"))
    return quantize(source, path, some_pictures(16))


def some_pictures(count: int, seed: int = 1) -> NDArray[np.float32]:
    """Pictures of a colour and noise, so that the answers differ."""
    random = np.random.default_rng(seed)
    colours = random.standard_normal((count, 3, 1, 1)) + random.standard_normal((count, *PICTURE)) * 0.3
    return colours.astype(np.float32)


def make_qnn(_: int | None = None) -> Backend:
    """Make the back end that runs them, or skip."""
    need("onnxruntime_qnn")
    return make_backend("qnn")
