"""The caption under a picture: whole pictures, bounded text, and pictures that were never meant to be decoded."""

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from engine.images.header import ImageLimits
from streamer.evidence import PictureError, caption_of, draw_caption
from streamer.evidence.drawing import FORMATS
from tests.fakes import pictures
from tests.fakes.ways import classified, frame, skipped, stored, stored_dead, timed

FRAME = frame()
LIMITS = ImageLimits()
HOSTILE = "\x1b]0;owned\x07\u202e\r\nforged"


def drawn(data: bytes, caption: str = "0.983  scratch", kind: str = "PNG") -> NDArray[np.uint8]:
    with Image.open(BytesIO(draw_caption(data, caption, kind, LIMITS))) as image:
        return np.asarray(image.convert("RGB"))


def strip_of(caption: str, width_px: int = 256) -> NDArray[np.uint8]:
    """What stands under a black picture."""
    return drawn(pictures.encoded(np.zeros((32, width_px, 3), np.uint8), "PNG"), caption)[32:]


def ink(strip: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where the strip is written on."""
    written: NDArray[np.bool_] = strip.max(axis=2) > 100
    return written


def test_the_caption_says_the_outcome() -> None:
    assert caption_of(stored(FRAME, classified(FRAME))) == "0.983  scratch"
    assert caption_of(stored(FRAME, timed(FRAME))) == "timed"
    assert caption_of(stored(FRAME, skipped(FRAME, "too-old", "g"))) == "skipped: too-old"
    assert caption_of(stored_dead(FRAME)) == "dead letter: truncated"
    assert caption_of(None) == "no outcome yet"


def test_names_from_outside_are_cut_and_harmless() -> None:
    for outcome in (
        stored(FRAME, classified(FRAME, label=HOSTILE * 1000, score=1e300)),
        stored(FRAME, skipped(FRAME, HOSTILE * 1000, "g")),
    ):
        caption = caption_of(outcome)
        assert caption.isprintable()
        assert "owned" in caption
        assert len(caption) < 400


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "JPEG"])
def test_the_picture_is_whole_and_its_pixels_are_untouched(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = pictures.encoded(pictures.photograph_of(300, 200), kind, **options)
    result = drawn(data)
    assert result.shape[0] > 200
    assert result.shape[1] == 300
    difference = np.abs(result[:200].astype(int) - pictures.decoded(data))
    assert difference.mean() < (3 if kind == "JPEG" else 0.01)  # the engine decodes JPEGs in its own, fast way
    assert ink(result[200:]).any()


@pytest.mark.parametrize(("suffix", "kind"), FORMATS.items())
def test_it_is_encoded_as_asked(suffix: str, kind: str) -> None:
    data = draw_caption(pictures.encoded(pictures.photograph_of(64, 64), "PNG"), "x", kind, LIMITS)
    with Image.open(BytesIO(data)) as image:
        assert image.format == kind
    assert suffix.startswith(".")


@pytest.mark.parametrize(("width_px", "height_px"), [(1, 1), (1, 3000), (3000, 1), (64, 48), (1920, 1080)])
def test_a_picture_of_any_size_has_a_caption_that_can_be_read(width_px: int, height_px: int) -> None:
    result = drawn(pictures.encoded(pictures.photograph_of(width_px, height_px), "PNG"))
    assert result.shape[1] == max(width_px, 192)
    written = np.flatnonzero(ink(result[height_px:]).any(axis=1))
    assert len(written) >= 8, "as high as that, in pixels"


@pytest.mark.parametrize("width_px", [1, 192, 256, 1920])
def test_a_long_caption_is_made_to_fit(width_px: int) -> None:
    columns = np.flatnonzero(ink(strip_of("W" * 400, width_px)).any(axis=0))
    assert columns[-1] < max(width_px, 192) - 3


def test_different_names_look_different() -> None:
    # Pillow's own font has ASCII alone, and would draw the same box for each other character.
    assert not np.array_equal(strip_of("线路"), strip_of("产品"))
    assert np.array_equal(strip_of("größe"), strip_of(r"gr\xf6\xdfe"))


def grey_16() -> bytes:
    return pictures.png(2, 2, 16, 0, b"\x00\x00\x00\x00\x00" * 2)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"no picture", "not-an-image"),
        (pictures.encoded(pictures.photograph_of(64, 64), "JPEG")[:-200], "truncated"),
        (pictures.encoded(pictures.photograph_of(64, 64), "PNG")[:-200], "truncated"),
        (pictures.png(50_000, 50_000, 8, 2), "too-many-pixels"),
        (pictures.webp_with_size(pictures.photograph_of(8, 8), 16_000, 16_000), "too-many-pixels"),
        (grey_16(), "unsupported"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_decoded_is_one_line(data: bytes, reason: str) -> None:
    with pytest.raises(PictureError, match=f"nothing can be drawn on the picture, {reason}: .*--raw") as caught:
        draw_caption(data, "x", "PNG", LIMITS)
    assert "\n" not in str(caught.value)


def test_the_limits_are_those_that_are_given() -> None:
    data = pictures.encoded(pictures.photograph_of(64, 64), "PNG")
    for limits in (replace(LIMITS, max_pixels=64 * 63), replace(LIMITS, max_bytes=100)):
        with pytest.raises(PictureError, match=r"too-many-pixels|too-large"):
            draw_caption(data, "x", "PNG", limits)


def test_a_picture_that_the_format_cannot_hold_is_one_line() -> None:
    data = pictures.encoded(np.zeros((1, 70_000, 3), np.uint8), "PNG")
    assert draw_caption(data, "x", "PNG", LIMITS)
    for kind in ("JPEG", "WEBP"):
        with pytest.raises(PictureError, match="give another suffix"):
            draw_caption(data, "x", kind, LIMITS)
