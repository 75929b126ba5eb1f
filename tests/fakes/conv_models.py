"""Small convolutional ONNX models, as exporters leave them: with normalisation, constants and waste."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.onnx_models import save

SIDE_PX, CHANNELS, CLASSES = 32, 8, 4


def save_conv(path: Path, *, opset: int = 17, batch: int | str = "batch", blocks: int = 1) -> Path:
    """Pictures, float32[batch, 3, 32, 32], → scores, float32[batch, 4].

    Each block is a convolution, a batch normalisation and a Relu, and all but the first are added to what they took.
    Beside them stand a node that nothing uses, a scale that is computed from constants, and two equal biases.
    """
    random = np.random.default_rng(5)

    def normal(*shape: int, scale: float = 1.0) -> NDArray[np.float32]:
        return (random.standard_normal(shape) * scale).astype(np.float32)

    nodes = [helper.make_node("Relu", ["image"], ["unused"], "waste")]
    weights: dict[str, NDArray[np.float32]] = {}
    taken, depth = "image", 3
    for number in range(blocks):
        mine = {
            f"filter{number}": normal(CHANNELS, depth, 3, 3, scale=(9 * depth) ** -0.5),
            f"bias{number}": np.full(CHANNELS, 0.25, np.float32),
            f"gamma{number}": 1 + normal(CHANNELS, scale=0.1),
            f"beta{number}": np.full(CHANNELS, 0.25, np.float32),
            f"mean{number}": normal(CHANNELS, scale=0.1),
            f"var{number}": 1 + random.random(CHANNELS).astype(np.float32),
        }
        weights |= mine
        made = [f"conv{number}", f"norm{number}", f"relu{number}"]
        nodes += [
            helper.make_node("Conv", [taken, *list(mine)[:2]], made[:1], made[0], pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", [made[0], *list(mine)[2:]], made[1:2], made[1]),
            helper.make_node("Relu", made[1:2], made[2:], made[2]),
        ]
        if number:
            nodes.append(helper.make_node("Add", [made[2], taken], [f"sum{number}"], f"sum{number}"))
        taken, depth = f"sum{number}" if number else made[2], CHANNELS
    weights |= {
        "a": np.array([2.0], np.float32),
        "b": np.array([0.5], np.float32),
        "dense": normal(CLASSES, CHANNELS),
        "dense_bias": normal(CLASSES),
    }
    nodes += [
        helper.make_node("Mul", ["a", "b"], ["one"], "constant"),
        helper.make_node("Mul", [taken, "one"], ["scaled"], "scaled"),
        helper.make_node("GlobalAveragePool", ["scaled"], ["pooled"], "pooled"),
        helper.make_node("Flatten", ["pooled"], ["flat"], "flat"),
        helper.make_node("Gemm", ["flat", "dense", "dense_bias"], ["scores"], "scores", transB=1),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [batch, 3, SIDE_PX, SIDE_PX])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [batch, CLASSES])
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    return save(path, nodes, [image], [scores], tensors, opset=opset, metadata={"streamer.name": "tiny"})


def parameters_of(blocks: int) -> int:
    """How many weights such a model has."""
    filters = CHANNELS * 9 * (3 + CHANNELS * (blocks - 1))
    return filters + blocks * 5 * CHANNELS + 2 + CLASSES * CHANNELS + CLASSES


def macs_of(blocks: int) -> int:
    """How many multiplications with an addition it has for one picture."""
    return SIDE_PX**2 * CHANNELS * 9 * (3 + CHANNELS * (blocks - 1)) + CLASSES * CHANNELS
