"""Small ONNX models of every shape that users bring, and of some that they should not."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.models.spec import Layout

End = Literal["logits", "softmax", "log-softmax", "sigmoid", "decomposed-softmax"]

_TYPES = {
    "uint8": TensorProto.UINT8,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
}
_ENDS = {"softmax": "Softmax", "log-softmax": "LogSoftmax", "sigmoid": "Sigmoid"}
UNNAMED = None


@dataclass(frozen=True)
class TinyClassifier:
    """A classifier that weighs the mean colour of a picture; `answer` says what it has to say.

    Attributes:
        batch: A number, a name, -1, or None for an axis of which the file says nothing.
        trailing_ones: How many axes of one entry follow the classes.
        leading_ones: How many stand between the rows and the classes.
        is_silent: Whether the file does not say the shape of the output.
        gain: What the logits are multiplied by.
    """

    layout: Layout = "NCHW"
    dtype: Literal["uint8", "float32", "float16", "float64"] = "float32"
    batch: int | str | None = "batch"
    height: int | str | None = 32
    width: int | str | None = 32
    channels: int | str | None = 3
    classes: int = 4
    end: End = "logits"
    trailing_ones: int = 0
    leading_ones: int = 0
    is_silent: bool = False
    opset: int = 17
    gain: float = 4.0
    metadata: Mapping[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> Path:
        spatial: list[int | str | None] = [self.height, self.width]
        axes = [self.channels, *spatial] if self.layout == "NCHW" else [*spatial, self.channels]
        image = helper.make_tensor_value_info("image", _TYPES[self.dtype], [self.batch, *axes])
        out_type = TensorProto.FLOAT if self.dtype == "uint8" else _TYPES[self.dtype]
        shape = None if self.is_silent else [self.batch, *[1] * self.leading_ones, self.classes]
        output = helper.make_tensor_value_info("answer", out_type, shape and [*shape, *[1] * self.trailing_ones])
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            *self._mean(),
            helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
            *self._end(),
            helper.make_node("Reshape", ["ended", "out_shape"], ["reshaped"]),
            helper.make_node("Cast", ["reshaped"], ["answer"], to=out_type),
        ]
        constants = [
            numpy_helper.from_array(self.weights, "weights"),
            numpy_helper.from_array(
                np.array([0, *[1] * self.leading_ones, self.classes, *[1] * self.trailing_ones], np.int64), "out_shape"
            ),
            numpy_helper.from_array(np.array(self._spatial_axes, np.int64), "spatial"),
        ]
        return save(path, nodes, [image], [output], constants, opset=self.opset, metadata=self.metadata)

    @property
    def weights(self) -> NDArray[np.float32]:
        scale = self.gain / 255 if self.dtype == "uint8" else self.gain
        channels = self.channels if isinstance(self.channels, int) else 3
        return (np.random.default_rng(7).standard_normal((channels, self.classes)) * scale).astype(np.float32)

    def probabilities(self, inputs: NDArray[np.generic]) -> NDArray[np.float64]:
        """What should be published for these inputs, one row each."""
        logits = inputs.astype(np.float64).mean(axis=tuple(self._spatial_axes)) @ self.weights.astype(np.float64)
        if self.end == "sigmoid":
            return np.asarray(1 / (1 + np.exp(-logits)))
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))

    @property
    def _spatial_axes(self) -> list[int]:
        return [2, 3] if self.layout == "NCHW" else [1, 2]

    def _mean(self) -> list[Any]:
        if self.opset >= 18:
            return [helper.make_node("ReduceMean", ["pixels", "spatial"], ["colour"], keepdims=0)]
        return [helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=self._spatial_axes, keepdims=0)]

    def _end(self) -> list[Any]:
        if self.end == "logits":
            return [helper.make_node("Identity", ["logits"], ["ended"])]
        if self.end == "decomposed-softmax":
            return [
                helper.make_node("Exp", ["logits"], ["exponentials"]),
                helper.make_node("ReduceL1", ["exponentials"], ["sum"], axes=[1]),
                helper.make_node("Div", ["exponentials", "sum"], ["ended"]),
            ]
        attributes = {} if self.end == "sigmoid" else {"axis": 1}
        return [helper.make_node(_ENDS[self.end], ["logits"], ["ended"], **attributes)]


def save(
    path: Path,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    constants: list[Any] | None = None,
    *,
    opset: int = 17,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("nowhere", 1)]
    model = helper.make_model(
        helper.make_graph(nodes, "tiny", inputs, outputs, constants or []), opset_imports=imports, ir_version=8
    )
    helper.set_model_props(model, dict(metadata or {}))
    path.write_bytes(model.SerializeToString())
    return path


def _image(batch: int | str | None = "batch") -> Any:
    return helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, 32, 32])


def _float(name: str, shape: list[int | str | None] | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def save_detector(path: Path, *, is_open: bool = False) -> Path:
    """Ten boxes and their scores for each picture, as detectors with their selection built in give them."""
    boxes = None if is_open else 10
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "to_scores"], ["scores"]),
        helper.make_node("MatMul", ["colour", "to_boxes"], ["flat"]),
        helper.make_node("Reshape", ["flat", "box_shape"], ["boxes"]),
    ]
    constants = [
        numpy_helper.from_array(np.ones((3, 10), np.float32), "to_scores"),
        numpy_helper.from_array(np.ones((3, 40), np.float32), "to_boxes"),
        numpy_helper.from_array(np.array([0, 10, 4], np.int64), "box_shape"),
    ]
    outputs = [_float("boxes", ["batch", boxes, 4]), _float("scores", ["batch", boxes])]
    return save(path, nodes, [_image()], outputs, constants)


def save_regressor(path: Path) -> Path:
    """One number for each picture."""
    return TinyClassifier(classes=1).save(path)


def save_segmenter(path: Path) -> Path:
    """A picture for each picture."""
    return save(path, [helper.make_node("Relu", ["image"], ["mask"])], [_image()], [_float("mask", ["b", 3, 32, 32])])


def save_summary(path: Path) -> Path:
    """One number for a whole batch."""
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0)]
    return save(path, nodes, [_image()], [_float("mean", None)])


def save_two_inputs(path: Path) -> Path:
    other = _float("other", ["batch", 3, 32, 32])
    nodes = [
        helper.make_node("Add", ["image", "other"], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], ["answer"], axes=[2, 3], keepdims=0),
    ]
    return save(path, nodes, [_image(), other], [_float("answer", ["batch", 3])])


def save_with_features(path: Path) -> Path:
    """The features come first, of a size that the file does not say; then the classes."""
    nodes = [
        helper.make_node("Flatten", ["image"], ["features"]),
        helper.make_node("ReduceMean", ["image"], ["classes"], axes=[2, 3], keepdims=0),
    ]
    outputs = [_float("features", ["batch", None]), _float("classes", ["batch", 3])]
    return save(path, nodes, [_float("image", ["batch", 3, "height", "width"])], outputs)


def save_nan(path: Path) -> Path:
    """Not a number, whatever the picture."""
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["colour"], axes=[2, 3], keepdims=0),
        helper.make_node("Abs", ["colour"], ["positive"]),
        helper.make_node("Sub", ["zero", "positive"], ["negative"]),
        helper.make_node("Sub", ["negative", "one"], ["below"]),
        helper.make_node("Log", ["below"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(np.zeros(1, np.float32), "zero"),
        numpy_helper.from_array(np.ones(1, np.float32), "one"),
    ]
    return save(path, nodes, [_image()], [_float("answer", ["batch", 3])], constants)


def save_unsupported_operator(path: Path) -> Path:
    nodes = [helper.make_node("Unheard", ["image"], ["answer"], domain="nowhere")]
    return save(path, nodes, [_image()], [_float("answer", ["batch", 3])])


def save_one_at_a_time(path: Path) -> Path:
    """It says that it takes any batch, and takes one picture."""
    nodes = [helper.make_node("Reshape", ["image", "one_row"], ["answer"])]
    constants = [numpy_helper.from_array(np.array([1, 3072], np.int64), "one_row")]
    return save(path, nodes, [_image()], [_float("answer", ["batch", 3072])], constants)


#: The pixel value at which `save_fragile` fails.
FATAL_PIXEL = 250


def save_fragile(path: Path, batch: int | None = None) -> Path:
    """Sums of the channels as `answer`; a batch with a pixel of `FATAL_PIXEL` or more fails as it runs."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "batch", 8, 8, 3])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels"], ["brightest"], keepdims=0),
        helper.make_node("Cast", ["brightest"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["zeros", "index"], ["zero"]),
        helper.make_node("ReduceSum", ["pixels", "spatial"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "zero"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(np.zeros(FATAL_PIXEL, np.float32), "zeros"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "spatial"),
    ]
    return save(path, nodes, [image], [_float("answer", [batch or "batch", 3])], constants)


def save_old_style(path: Path) -> Path:
    """An export whose weights stand among the inputs as well."""
    model = onnx.load(str(replace(TinyClassifier(opset=11), end="softmax").save(path)))
    weights = helper.make_tensor_value_info("weights", TensorProto.FLOAT, [3, 4])
    model.graph.input.append(weights)
    path.write_bytes(model.SerializeToString())
    return path
