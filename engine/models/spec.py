"""What has to be known of a classifier to feed it pictures and to read its answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from engine.images.decode import Resize

Layout = Literal["NCHW", "NHWC"]
Activation = Literal["softmax", "none"]

#: Mean and deviation of ImageNet's pictures per channel (RGB, 0–1), and the usual way to 224×224.
#: Source: torchvision.transforms presets `ImageClassification`.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
IMAGENET_SHORT_SIDE_PX = 256
IMAGENET_CROP_PX = 224


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become the model's input.

    Attributes:
        resize: Short side, then centre crop.
        layout: The input's order of axes.
        dtype: The input's type. uint8 takes the pixels as they are.
        mean: Per channel, RGB on the 0–1 scale; None leaves floats at 0–255.
        std: The deviation to divide by; None with `mean`.
    """

    resize: Resize
    layout: Layout
    dtype: np.dtype[np.generic]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def takes_pixels(self) -> bool:
        """Whether decoded rows are the input, without a copy: uint8, NHWC."""
        return self.layout == "NHWC" and self.dtype == np.uint8

    def rows(self, count: int) -> NDArray[np.uint8]:
        """Make the rows that pictures are decoded into: uint8[count, height, width, 3], RGB."""
        return np.zeros((count, self.resize.height_px, self.resize.width_px, 3), np.uint8)

    def model_input(self, rows: NDArray[np.uint8]) -> NDArray[np.generic]:
        """Turn decoded rows into the model's input.

        Args:
            rows: uint8[count, height, width, 3], RGB.
        """
        if self.takes_pixels:
            return rows
        values: NDArray[np.generic] = rows
        if self.dtype != np.uint8:
            scaled = rows.astype(np.float32)
            if self.mean is not None and self.std is not None:
                # (pixel / 255 - mean) / std, as one multiplication and one addition.
                mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
                scaled *= np.float32(1) / (np.float32(255) * std)
                scaled -= mean / std
            values = scaled.astype(self.dtype, copy=False)
        if self.layout == "NCHW":
            values = values.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(values)


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """A classifier, ready to be fed.

    Attributes:
        name: What results call it.
        path: The file.
        digest: `sha256:` and the hash of the file.
        input_name: The tensor that takes pictures.
        output_name: The tensor that holds one value per class.
        labels: One per class.
        activation: What makes probabilities of the output: `softmax`, or `none` where it holds them already.
        fixed_batch: The batch size that the graph insists on; None where it takes any.
        assumptions: What the file did not say, in words for the user.
    """

    name: str
    path: Path
    digest: str
    input_name: str
    output_name: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    activation: Activation
    fixed_batch: int | None = None
    assumptions: tuple[str, ...] = ()

    def probabilities(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Turn the output, [count, classes, 1...], into probabilities, float32[count, classes]."""
        values = output.reshape(len(output), -1).astype(np.float32, copy=False)
        if self.activation == "none":
            return values
        exponentials = np.exp(values - values.max(axis=1, keepdims=True))
        result: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result
