"""A model that fails on data wherever shapes are checked as it runs: not every runtime checks an index."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.onnx_models import FATAL_PIXEL, save


def save_mismatched(path: Path, batch: int | None = None) -> Path:
    """Sums of the channels as `answer`; with a pixel of `FATAL_PIXEL` two matrices do not fit each other."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [batch or "batch", 8, 8, 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [batch or "batch", 3])
    nodes = [
        helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["pixels"], ["brightest"], keepdims=0),
        helper.make_node("Div", ["brightest", "fatal"], ["ratio"]),
        helper.make_node("Cast", ["ratio"], ["too_many"], to=TensorProto.INT64),
        helper.make_node("Add", ["too_many", "one"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["row"]),
        helper.make_node("MatMul", ["row", "column"], ["zero"]),
        helper.make_node("ReduceSum", ["pixels", "spatial"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "zero"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(np.array(FATAL_PIXEL, np.float32), "fatal"),
        numpy_helper.from_array(np.ones(1, np.int64), "one"),
        numpy_helper.from_array(np.zeros(1, np.float32), "column"),
        numpy_helper.from_array(np.array([1, 2], np.int64), "spatial"),
    ]
    return save(path, nodes, [image], [answer], constants)
