"""The built-in functions of a pipeline's description: what comes before and after a classifier."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ImageError
from engine.images.decode import decode_into
from engine.images.header import ImageLimits, read_header
from engine.models.spec import ClassifierSpec, Preprocessing


class DecodeImage:
    """Decodes one picture to the size that a classifier takes."""

    def __init__(self, preprocessing: Preprocessing, limits: ImageLimits) -> None:
        """Take the geometry from the classifier.

        Args:
            preprocessing: The classifier's.
            limits: What is decoded, at the most.
        """
        self._preprocessing = preprocessing
        self._limits = limits

    def __call__(self, data: bytes) -> NDArray[np.uint8]:
        """Return the pixels of an encoded picture: uint8[height, width, 3], RGB.

        Raises:
            ImageError: It is no picture that may be decoded.
        """
        if not isinstance(data, bytes):
            raise ImageError(
                "not-an-image", f"an item of a decode step is an encoded picture, not {type(data).__name__}"
            )
        header = read_header(data, self._limits)
        (row,) = self._preprocessing.rows(1)
        decode_into(data, header, self._preprocessing.resize, row)
        pixels: NDArray[np.uint8] = row
        return pixels


class NameClasses:
    """Names the best classes of a classifier's answer."""

    def __init__(self, spec: ClassifierSpec, top: int) -> None:
        """Take the labels from the classifier.

        Args:
            spec: The classifier.
            top: How many classes are named, at the most.
        """
        self._spec = spec
        self._top = min(top, len(spec.labels))

    def __call__(self, answer: NDArray[np.generic] | Mapping[str, NDArray[np.generic]]) -> dict[str, Any]:
        """Return the best class of a row of the output (`label`, `score`), and `classes` with some more, best first."""
        output = answer[self._spec.output_name] if isinstance(answer, Mapping) else answer
        best, scores = self._spec.best(output[None], self._top)
        classes = [
            {"label": self._spec.labels[index], "score": score}
            for index, score in zip(best[0].tolist(), scores[0].tolist(), strict=True)
        ]
        return {**classes[0], "classes": classes}
