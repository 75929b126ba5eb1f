"""Pictures whose label can be read off them, and the model that reads it: the corners of the colour cube."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from tests.fakes.onnx_models import save

SIDE_PX = 32
_DARK, _LIGHT = 40, 215
#: The label is the place in this list; bit 2 is red, bit 1 green, bit 0 blue.
LABELS = ("black", "blue", "green", "cyan", "red", "magenta", "yellow", "white")
#: The colour of a picture that a faulty back end chokes on; random pixels, as in a trial run, are not near it.
_FATAL = np.array([215, 128, 40], np.float32)


def _corners() -> NDArray[np.float32]:
    """float32[8, 3], the colour of each label."""
    bits = [[number >> 2 & 1, number >> 1 & 1, number & 1] for number in range(len(LABELS))]
    return (np.array(bits, np.float32) * (_LIGHT - _DARK)) + _DARK


@cache
def pictures() -> dict[str, bytes]:
    """Return a JPEG of each label, of about 700 bytes."""
    return {label: _jpeg(colour) for label, colour in zip(LABELS, _corners(), strict=True)}


@cache
def fatal_picture() -> bytes:
    """Return a JPEG that a faulty back end can be told to choke on."""
    return _jpeg(_FATAL)


def truth_of(camera: int, sequence: int) -> str:
    """Return the label of a frame: neighbours in a camera, and cameras at one moment, differ."""
    return LABELS[(sequence * 3 + camera * 5) % len(LABELS)]


def is_plain(rows: NDArray[np.generic]) -> bool:
    """Tell whether these rows, uint8[batch, 32, 32, 3], begin with one of our pictures and not with random pixels."""
    return bool(rows[0].std(axis=(0, 1)).max() < 20)


def is_fatal(rows: NDArray[np.generic]) -> bool:
    """Tell whether one of these rows is the fatal picture."""
    means = rows.mean(axis=(1, 2))
    return bool((np.abs(means - _FATAL).max(axis=1) < 20).any())


def save_colour_model(path: Path) -> Path:
    """Write the model: uint8[batch, 32, 32, 3] in, the nearest corner's class out."""
    corners = _corners() / 255
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE_PX, SIDE_PX, 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", len(LABELS)])
    nodes = [
        helper.make_node("Cast", ["image"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["levels", "full"], ["pixels"]),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2], keepdims=0),
        # |colour - corner|² is least where colour·corner - |corner|²/2 is greatest.
        helper.make_node("MatMul", ["colour", "corners"], ["products"]),
        helper.make_node("Sub", ["products", "halves"], ["nearness"]),
        helper.make_node("Mul", ["nearness", "gain"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"], axis=1),
    ]
    constants = [
        numpy_helper.from_array(np.array(255, np.float32), "full"),
        numpy_helper.from_array(np.ascontiguousarray(corners.T), "corners"),
        numpy_helper.from_array((corners**2).sum(axis=1) / 2, "halves"),
        numpy_helper.from_array(np.array(50, np.float32), "gain"),
    ]
    return save(path, nodes, [image], [answer], constants, metadata={"streamer.labels": json.dumps(LABELS)})


def _jpeg(colour: NDArray[np.float32]) -> bytes:
    pixels = np.full((SIDE_PX, SIDE_PX, 3), colour, np.float32).astype(np.uint8)
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=85)
    return encoded
