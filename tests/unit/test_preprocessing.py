"""From pixels to a model's input, beside torchvision's `ImageClassification` written down in plain numpy."""

from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from engine.models.spec import (
    IMAGENET_CROP_PX,
    IMAGENET_MEAN,
    IMAGENET_SHORT_SIDE_PX,
    IMAGENET_STD,
    ClassifierSpec,
    Layout,
    Preprocessing,
)
from tests.fakes.pictures import encoded, photograph

PRESET = Resize(IMAGENET_SHORT_SIDE_PX, IMAGENET_CROP_PX, IMAGENET_CROP_PX)
TOLERANCES: dict[type[Any], float] = {np.float32: 1e-5, np.float16: 2e-3}


def preprocessing(layout: str, dtype: type[Any], **options: Any) -> Preprocessing:
    described: dict[str, Any] = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD, "resize": Resize(20, 12, 17), **options}
    return Preprocessing(layout=cast("Layout", layout), dtype=np.dtype(dtype), **described)


def normalised(rows: NDArray[np.uint8], layout: str) -> NDArray[np.float64]:
    """Torchvision's `convert_image_dtype` and `normalize`."""
    values: NDArray[np.float64] = (rows / 255.0 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STD)
    return values.transpose(0, 3, 1, 2) if layout == "NCHW" else values


def assert_close(ours: ArrayLike, theirs: ArrayLike, tolerance: float) -> None:
    first, second = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert first.shape == second.shape
    assert np.abs(first - second).max() <= tolerance


def some_rows() -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (5, 12, 17, 3), dtype=np.uint8)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floats_are_normalised_by_mean_and_deviation(layout: str, dtype: type[Any]) -> None:
    rows = some_rows()
    values = preprocessing(layout, dtype).model_input(rows)
    assert values.dtype == dtype
    assert values.flags.c_contiguous
    assert_close(values, normalised(rows, layout), TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floats_without_a_mean_are_the_pixels(dtype: type[Any]) -> None:
    rows = some_rows()
    values = preprocessing("NCHW", dtype, mean=None, std=None).model_input(rows)
    assert values.dtype == dtype
    np.testing.assert_array_equal(values, rows.transpose(0, 3, 1, 2))


def test_uint8_takes_the_pixels_as_they_are() -> None:
    rows = some_rows()
    described = preprocessing("NHWC", np.uint8, mean=None, std=None)
    assert described.takes_pixels
    assert described.model_input(rows) is rows
    planar = preprocessing("NCHW", np.uint8, mean=None, std=None).model_input(rows)
    assert planar.flags.c_contiguous
    np.testing.assert_array_equal(planar, rows.transpose(0, 3, 1, 2))


def test_the_rows_are_left_alone_and_may_be_a_part_of_a_batch() -> None:
    rows = some_rows()
    before = rows.copy()
    values = preprocessing("NCHW", np.float32).model_input(rows[:2])
    assert values.shape == (2, 3, 12, 17)
    np.testing.assert_array_equal(rows, before)


def test_rows_have_the_shape_of_the_crop() -> None:
    rows = preprocessing("NCHW", np.float32).rows(4)
    assert (rows.shape, rows.dtype) == ((4, 12, 17, 3), np.dtype(np.uint8))


def torchvision_size(height_px: int, width_px: int, short_side_px: int) -> tuple[int, int]:
    """Torchvision's `_compute_resized_output_size`."""
    short, long = min(height_px, width_px), max(height_px, width_px)
    new_long = int(short_side_px * long / short)
    return (new_long, short_side_px) if width_px <= height_px else (short_side_px, new_long)


def test_the_size_and_the_crop_are_torchvisions() -> None:
    for height_px in (1, 3, 224, 256, 300, 427, 719, 1080):
        for width_px in (1, 7, 225, 256, 451, 640, 1279):
            size = PRESET.resized(height_px, width_px)
            assert size == torchvision_size(height_px, width_px, 256)
            # Torchvision's `center_crop`.
            assert PRESET.offset(*size) == (round((size[0] - 224) / 2.0), round((size[1] - 224) / 2.0))


@pytest.mark.parametrize("name", ["astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg"])
def test_a_photograph_becomes_what_torchvision_makes_of_it(name: str) -> None:
    pixels = photograph(name)
    height_px, width_px = torchvision_size(pixels.shape[0], pixels.shape[1], 256)
    resized = np.asarray(Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.BILINEAR))
    top, left = round((height_px - 224) / 2.0), round((width_px - 224) / 2.0)
    reference = normalised(resized[None, top : top + 224, left : left + 224], "NCHW")
    described = preprocessing("NCHW", np.float32, resize=PRESET)
    rows = described.rows(1)
    data = encoded(pixels, "PNG")
    decode_into(data, read_header(data, ImageLimits()), PRESET, rows[0])
    assert_close(described.model_input(rows), reference, 0.02)


def spec(activation: Any) -> ClassifierSpec:
    return ClassifierSpec("", cast("Any", None), "", "", "", ("a", "b"), preprocessing("NCHW", np.float32), activation)


def test_logits_become_probabilities() -> None:
    logits = np.array([[1.0, 3.0, 2.0], [-1000.0, 1000.0, 0.0]], np.float32)
    scores = spec("softmax").probabilities(logits)
    assert_close(scores[0], np.exp([1, 3, 2]) / np.exp([1, 3, 2]).sum(), 1e-6)
    np.testing.assert_array_equal(scores[1], [0, 1, 0])


def test_probabilities_are_left_as_they_are() -> None:
    values = np.array([[0.2, 0.9]], np.float16).reshape(1, 2, 1, 1)
    scores = spec("none").probabilities(values)
    assert (scores.shape, scores.dtype) == ((1, 2), np.dtype(np.float32))
    np.testing.assert_array_equal(scores, values.reshape(1, 2))


def test_logarithms_of_probabilities_become_probabilities() -> None:
    logarithms = np.log(np.array([[0.25, 0.75], [1e-40, 1.0]]))
    assert_close(spec("softmax").probabilities(logarithms), [[0.25, 0.75], [0.0, 1.0]], 1e-6)


def test_an_infinite_logit_is_certain_or_impossible_and_harms_no_other_row() -> None:
    infinite = np.float16(np.inf)
    scores = spec("softmax").probabilities(np.array([[infinite, 1, 2], [-infinite, 1, 1], [1, 1, 1]], np.float16))
    assert_close(scores, [[1.0, 0.0, 0.0], [0.0, 0.5, 0.5], [1 / 3] * 3], 1e-6)


@pytest.mark.parametrize("activation", ["softmax", "none"])
def test_a_row_with_a_nan_has_no_answer_and_harms_no_other(activation: str) -> None:
    scores = spec(activation).probabilities(np.array([[np.nan, 1], [0.5, 0.5]], np.float32))
    assert scores.dtype == np.float32
    assert np.isnan(scores[0]).all()
    np.testing.assert_array_equal(scores[1], [0.5, 0.5])
