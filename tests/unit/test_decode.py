"""Decoding into a row, beside Pillow's own way there."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ImageError
from engine.images.decode import Resize, _eighths, _scaled, decode_into
from engine.images.header import ImageHeader, ImageLimits, read_header
from tests.fakes.pictures import (
    EOI,
    bmp_with_size,
    decoded,
    encoded,
    grey_jpeg,
    photograph,
    photograph_of,
    png,
    with_application_data,
    without_segments,
)

LIMITS = ImageLimits()
PHOTOGRAPHS = ("astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg")
PRESET = Resize(256, 224, 224)


def row_of(data: bytes, resize: Resize) -> NDArray[np.uint8]:
    row = np.zeros((resize.height_px, resize.width_px, 3), np.uint8)
    decode_into(data, read_header(data, LIMITS), resize, row)
    return row


def expected(pixels: NDArray[np.uint8], resize: Resize) -> NDArray[np.uint8]:
    """Resize all of it by Pillow, then cut the centre out."""
    height_px, width_px = resize.resized(*pixels.shape[:2])
    whole = np.asarray(Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.BILINEAR))
    top, left = resize.offset(height_px, width_px)
    return whole[top : top + resize.height_px, left : left + resize.width_px]


def difference(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours.astype(int) - theirs.astype(int)).mean())


def reason(data: bytes, resize: Resize = PRESET) -> str:
    with pytest.raises(ImageError) as caught:
        row_of(data, resize)
    return caught.value.reason


@pytest.mark.parametrize("name", PHOTOGRAPHS)
@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 1.5), ("BMP", 1.5), ("WEBP", 1.5), ("JPEG", 4)])
@pytest.mark.parametrize("resize", [PRESET, Resize(64, 64, 64), Resize(500, 300, 480)], ids=str)
def test_photographs_come_out_as_pillow_would_have_them(name: str, kind: str, tolerance: float, resize: Resize) -> None:
    data = encoded(photograph(name), kind)
    assert difference(row_of(data, resize), expected(decoded(data), resize)) < tolerance


@pytest.mark.parametrize("eighths", range(1, 9))
def test_the_way_in_place_equals_the_way_by_resizing_at_every_scale(eighths: int) -> None:
    side_px = 128
    data = encoded(photograph_of(side_px, side_px), "JPEG", quality=90)
    resize = Resize(side_px * eighths // 8, side_px * eighths // 8, side_px * eighths // 8)
    assert _eighths(read_header(data, LIMITS), resize.height_px, resize.width_px) == eighths
    ours, theirs = row_of(data, resize), expected(decoded(data), resize)
    # The inverse DCT smooths otherwise than Pillow; a picture one pixel beside itself is another matter.
    shifted = [difference(np.roll(ours, 1, axis), theirs) for axis in (0, 1)]
    assert difference(ours, theirs) < min(7, *(shift / 2 for shift in shifted))


def test_the_way_in_place_writes_into_the_batch_and_nowhere_else() -> None:
    data = encoded(photograph_of(64, 64), "JPEG")
    rows = np.full((3, 64, 64, 3), 7, np.uint8)
    decode_into(data, read_header(data, LIMITS), Resize(64, 64, 64), rows[1])
    assert (rows[0] == 7).all()
    assert (rows[2] == 7).all()
    assert difference(rows[1], decoded(data)) < 4


@pytest.mark.parametrize("side_px", [7, 8, 63, 64, 65, 100, 333])
def test_the_scale_that_is_foretold_is_the_one_that_libjpeg_takes(side_px: int) -> None:
    data = encoded(photograph_of(side_px, side_px + 9), "JPEG")
    header = read_header(data, LIMITS)
    for least_px in range(1, side_px + 20):
        pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=least_px, min_width=least_px, min_factor=1)
        assert _scaled(header, _eighths(header, least_px, least_px)) == pixels.shape[:2], least_px


@pytest.mark.parametrize(("width_px", "height_px"), [(300, 200), (200, 300), (257, 511), (31, 17), (225, 225), (1, 1)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_the_crop_is_the_centre(width_px: int, height_px: int, kind: str) -> None:
    data = encoded(photograph_of(width_px, height_px), kind, **({"quality": 95} if kind == "JPEG" else {}))
    for resize in (PRESET, Resize(64, 48, 64), Resize(64, 64, 48)):
        # A JPEG of 225 pixels has 84.375 at 3/8 and comes as 85: where that is forgotten its edge is half a pixel off.
        assert difference(row_of(data, resize), expected(decoded(data), resize)) < (5 if kind == "JPEG" else 1.5)


def test_a_thread_of_a_picture_costs_no_more_than_its_row() -> None:
    # Its short side at 256 px makes 5 million lines of it: more than 3 GiB of pixels.
    stripe = np.zeros((20_000, 1, 3), np.uint8)
    stripe[9_990:10_010] = 255
    for pixels in (stripe, stripe.transpose(1, 0, 2)):
        row = row_of(encoded(np.ascontiguousarray(pixels), "PNG"), PRESET)
        assert (row == 255).all()


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")),
        *(("BMP", mode) for mode in ("1", "L", "P", "RGB", "RGBA")),
        *(("WEBP", mode) for mode in ("L", "RGB", "RGBA")),
        *(("JPEG", mode) for mode in ("1", "L", "RGB")),
    ],
)
def test_all_usual_modes_are_decoded(kind: str, mode: str) -> None:
    data = encoded(Image.fromarray(photograph_of(64, 64)).convert(mode), kind)
    assert difference(row_of(data, Resize(64, 64, 64)), decoded(data)) < 4


def test_grey_pictures_have_three_equal_channels() -> None:
    for kind in ("JPEG", "PNG"):
        row = row_of(encoded(Image.fromarray(photograph_of(300, 200)).convert("L"), kind), PRESET)
        np.testing.assert_array_equal(row[..., 0], row[..., 1])
        np.testing.assert_array_equal(row[..., 0], row[..., 2])
        assert row.std() > 20


def test_cmyk_is_converted() -> None:
    photograph = photograph_of(300, 200)
    data = encoded(Image.fromarray(photograph).convert("CMYK"), "JPEG", quality=95)
    assert difference(row_of(data, PRESET), expected(photograph, PRESET)) < 3


def test_palettes_with_opacities_are_decoded_without_a_warning() -> None:
    image = Image.fromarray(photograph_of(64, 64)).convert("P")
    data = encoded(image, "PNG", transparency=bytes(range(200)))
    assert difference(row_of(data, Resize(64, 64, 64)), np.asarray(image.convert("RGB"))) == 0


def test_an_animation_is_its_first_picture() -> None:
    photograph = photograph_of(64, 64)
    other = Image.fromarray(np.zeros((64, 64, 3), np.uint8))
    for kind in ("PNG", "WEBP"):
        lossless = {"lossless": True} if kind == "WEBP" else {}
        data = encoded(photograph, kind, save_all=True, append_images=[other], **lossless)
        assert difference(row_of(data, Resize(64, 64, 64)), photograph) == 0


def test_a_bmp_may_go_from_top_to_bottom() -> None:
    photograph = photograph_of(64, 64)
    data = bmp_with_size(encoded(photograph, "BMP"), 64, -64)
    np.testing.assert_array_equal(row_of(data, Resize(64, 64, 64)), photograph[::-1])


@pytest.mark.parametrize("options", [{"progressive": True}, {"restart_marker_blocks": 4}, {"subsampling": "4:4:4"}])
def test_every_usual_jpeg_is_decoded(options: dict[str, object]) -> None:
    data = encoded(photograph_of(300, 200), "JPEG", **options)
    assert difference(row_of(data, PRESET), expected(decoded(data), PRESET)) < 4


def test_webcams_leave_out_the_huffman_tables() -> None:
    whole = simplejpeg.encode_jpeg(np.ascontiguousarray(photograph_of(64, 64)))
    bare = without_segments(without_segments(whole, 0xC4), 0xE0)
    assert len(bare) < len(whole) - 400
    np.testing.assert_array_equal(row_of(bare, Resize(64, 64, 64)), row_of(whole, Resize(64, 64, 64)))


@pytest.mark.parametrize("padding", [b"\x12" * 5, bytes(16), bytes(range(1, 60)), bytes(5000), b"\xff" * 100])
@pytest.mark.parametrize("resize", [Resize(64, 64, 64), Resize(40, 40, 40)], ids=str)
def test_webcams_pad_between_the_scan_and_the_end(padding: bytes, resize: Resize) -> None:
    whole = encoded(photograph_of(64, 64), "JPEG")
    padded = whole[:-2] + padding + EOI + bytes(100)
    np.testing.assert_array_equal(row_of(padded, resize), row_of(whole, resize))


def test_a_scan_that_ended_long_before_its_bytes_is_damaged() -> None:
    whole = encoded(photograph_of(64, 64), "JPEG")
    left_over = encoded(photograph_of(64, 64), "JPEG", quality=30)[700:-2]
    assert reason(whole[:-2] + left_over + EOI) == "not-an-image"


def test_application_data_and_trailing_bytes_do_no_harm() -> None:
    whole = encoded(photograph_of(64, 64), "JPEG")
    thumbnail = encoded(photograph_of(16, 16), "JPEG", progressive=True)
    for data in (with_application_data(whole, b"Exif\0\0" + thumbnail), whole + thumbnail, whole + bytes(1000)):
        np.testing.assert_array_equal(row_of(data, Resize(64, 64, 64)), row_of(whole, Resize(64, 64, 64)))


@pytest.mark.parametrize(
    "sampling", [((3, 1), (1, 1), (1, 1)), ((2, 1), (2, 1), (2, 1)), ((1, 2), (1, 1), (1, 2)), ((1, 1),)], ids=str
)
def test_samplings_that_turbojpeg_does_not_know_are_decoded(sampling: tuple[tuple[int, int], ...]) -> None:
    row = row_of(grey_jpeg(64, 64, sampling), Resize(64, 64, 64))
    assert np.abs(row.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_jpeg_is_no_grey_picture(options: dict[str, object], share: float) -> None:
    data = encoded(photograph_of(256, 256), "JPEG", **options)
    for resize in (PRESET, Resize(256, 256, 256)):
        assert reason(data[: int(len(data) * share)], resize) == "truncated"
    assert reason(data[:-2]) == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_other_truncated_pictures_are_refused(kind: str, share: float) -> None:
    data = encoded(photograph_of(256, 256), kind)
    assert reason(data[: int(len(data) * share)]) == "truncated"


def test_a_png_without_its_pixels_is_truncated() -> None:
    assert reason(png(4_000, 4_000, 8, 2)) == "truncated"


def test_damaged_jpegs_are_refused() -> None:
    data = encoded(photograph_of(256, 256), "JPEG")
    middle = len(data) // 2
    assert reason(without_segments(data, 0xDB)) == "not-an-image"
    assert reason(data[:middle] + b"\xff\xc0" * 40 + data[middle + 80 :]) in {"not-an-image", "truncated"}
    cmyk = encoded(Image.fromarray(photograph_of(256, 256)).convert("CMYK"), "JPEG")
    assert reason(cmyk[: len(cmyk) // 2]) == "truncated"


def test_a_header_of_another_picture_is_not_trusted() -> None:
    row = np.zeros((32, 32, 3), np.uint8)
    for kind in ("JPEG", "PNG"):
        data, name = encoded(photograph_of(64, 64), kind), read_header(encoded(photograph_of(64, 64), kind), LIMITS)
        for width_px, height_px in ((40, 48), (200, 200), (64, 8)):
            header = ImageHeader(name.format, width_px, height_px, name.needs_pillow)
            with pytest.raises(ImageError):
                decode_into(data, header, Resize(32, 32, 32), row)


def test_pictures_may_be_decoded_on_many_threads() -> None:
    pictures = [
        encoded(photograph_of(256 - 8 * index, 256), kind)
        for index, kind in enumerate(["JPEG", "PNG", "WEBP", "BMP", "JPEG", "JPEG"])
    ]
    pictures.append(encoded(Image.fromarray(photograph_of(128, 128)).convert("CMYK"), "JPEG"))
    alone = [row_of(data, PRESET) for data in pictures]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda index: row_of(pictures[index % len(pictures)], PRESET), range(70)))
    for index, row in enumerate(together):
        np.testing.assert_array_equal(row, alone[index % len(pictures)])
