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
        is_planar = self.layout == "NCHW"
        source = rows.transpose(0, 3, 1, 2) if is_planar else rows
        if self.dtype == np.uint8:
            return np.ascontiguousarray(source)
        result = np.empty(source.shape, self.dtype)
        scale, shift = self._scale_and_shift()
        if self.dtype == np.float32:
            # Interleaved, for a full line of the picture: else numpy's inner loops have three steps.
            scales, shifts = (
                of_channel[:, None, None] if is_planar else np.tile(of_channel, (rows.shape[2], 1))
                for of_channel in (scale, shift)
            )
            # Picture by picture, which stays in the cache: 8 times as fast as the whole batch at once (8 × 224×224).
            for pixels, image in zip(source, result, strict=True):
                image[...] = np.ascontiguousarray(pixels)
                np.multiply(image, scales, out=image)
                np.subtract(image, shifts, out=image)
            return result
        # A table of the 256 values spares the slow conversion of every pixel to float16: 4 to 8 times as fast.
        table = (np.arange(256, dtype=np.float32) * scale[:, None] - shift[:, None]).astype(self.dtype)
        for pixels, image in zip(rows, result, strict=True):
            for channel in range(3):
                plane = image[channel] if is_planar else image[:, :, channel]
                np.take(table[channel], pixels[:, :, channel], out=plane, mode="clip")
        return result

    def _scale_and_shift(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return (pixel / 255 - mean) / std as one multiplication and one subtraction, per channel."""
        if self.mean is None or self.std is None:
            return np.ones(3, np.float32), np.zeros(3, np.float32)
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        return np.float32(1) / (np.float32(255) * std), mean / std


@dataclass(frozen=True, slots=True)
class ClassifierSpec:
    """A classifier, ready to be fed.

    Attributes:
        name: What results call it.
        path: The file; for a simulated card without a model its name.
        digest: `sha256:` and the hash of the file; empty where there is none.
        input_name: The tensor that takes pictures.
        output_name: The tensor that holds one value per class; empty where nothing is computed.
        labels: One per class.
        activation: What makes probabilities of the output: `softmax`, or `none` where it holds them already.
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
    assumptions: tuple[str, ...] = ()

    def best(self, output: NDArray[np.generic], top: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Find the best classes of each row of the output.

        Returns:
            Their indices, best first, int[count, top], and their probabilities, float32[count, top].
        """
        scores = self.probabilities(output)
        # A stable sort, so that equal scores keep the order of the classes.
        best = np.argsort(-scores, axis=1, kind="stable")[:, :top]
        return best, scores[np.arange(len(scores))[:, None], best]

    def probabilities(self, output: NDArray[np.generic]) -> NDArray[np.float32]:
        """Turn the output, [count, classes, 1...], into probabilities, float32[count, classes].

        A row in which the model gave any NaN is NaN throughout: it has no answer.
        """
        values = output.reshape(len(output), -1).astype(np.float32, copy=False)
        if self.activation == "none":
            has_no_answer = np.isnan(values).any(axis=1, keepdims=True)
            return np.where(has_no_answer, np.float32(np.nan), values) if has_no_answer.any() else values
        # The clip keeps an infinite logit (float16 overflows) from making NaN of its row.
        limits = np.finfo(np.float32)
        finite = np.clip(values, limits.min, limits.max)
        with np.errstate(over="ignore"):  # a logit that is so far below the best has no probability
            exponentials = np.exp(finite - finite.max(axis=1, keepdims=True))
        result: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result
