"""What ONNX Runtime answers: the reference for other back ends."""

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.fakes.onnx_models import TinyClassifier

#: A classifier of each shape and type that users bring.
VARIANTS = {
    "float": TinyClassifier(end="softmax"),
    "nhwc-uint8": TinyClassifier(layout="NHWC", dtype="uint8"),
    "float16": TinyClassifier(dtype="float16"),
    "float64": TinyClassifier(dtype="float64"),
    "fixed": TinyClassifier(batch=3, end="log-softmax"),
    "unnamed": TinyClassifier(batch=None, end="sigmoid"),
    "minus-one": TinyClassifier(batch=-1, end="decomposed-softmax"),
    "trailing": TinyClassifier(trailing_ones=2, leading_ones=1),
    "silent": TinyClassifier(is_silent=True),
    "opset-18": TinyClassifier(opset=18),
    "open-size": TinyClassifier(height="height", width="width"),
}
ROWS = 3


def pixels(model: TinyClassifier, rows: int = ROWS) -> NDArray[np.generic]:
    """Random inputs for a variant."""
    shape = (rows, 3, 32, 32) if model.layout == "NCHW" else (rows, 32, 32, 3)
    values = np.random.default_rng(rows).random(shape)
    return (values * 255 if model.dtype == "uint8" else values).astype(model.dtype)


def reference(model: Path, inputs: dict[str, NDArray[np.generic]]) -> list[NDArray[np.generic]]:
    """Return ONNX Runtime's answers."""
    answers: list[NDArray[np.generic]] = onnxruntime.InferenceSession(model).run(None, inputs)
    return answers


def assert_near(given: NDArray[np.generic], wanted: NDArray[np.generic], tolerance: float = 1e-4) -> None:
    """Check that answers are the same but for rounding, in type and shape too."""
    assert (given.dtype, given.shape) == (wanted.dtype, wanted.shape)
    np.testing.assert_allclose(given.astype(np.float64), wanted.astype(np.float64), rtol=tolerance, atol=tolerance)
