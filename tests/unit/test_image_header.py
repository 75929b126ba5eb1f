"""What a picture's first bytes say, and what is refused by them alone."""

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from engine.errors import ImageError
from engine.images.header import ImageLimits, read_header
from tests.fakes.pictures import (
    EOI,
    SOS,
    bmp_with_size,
    encoded,
    frame_header,
    grey_jpeg,
    photograph_of,
    png,
    segment,
    webp_with_size,
    with_application_data,
    with_scans,
)

LIMITS = ImageLimits()
PHOTOGRAPH = photograph_of(40, 30)
JPEG = encoded(PHOTOGRAPH, "JPEG")
PROGRESSIVE = encoded(PHOTOGRAPH, "JPEG", progressive=True)


def reason(data: bytes, limits: ImageLimits = LIMITS) -> str:
    with pytest.raises(ImageError) as caught:
        read_header(data, limits)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_the_bytes_say_what_it_is_and_how_large(kind: str) -> None:
    header = read_header(encoded(PHOTOGRAPH, kind), LIMITS)
    assert (header.format, header.width_px, header.height_px) == (kind.lower(), 40, 30)
    assert header.needs_pillow == (kind != "JPEG")


@pytest.mark.parametrize(
    ("mode", "kinds"),
    [
        ("1", ("PNG", "BMP", "JPEG")),
        ("L", ("PNG", "BMP", "JPEG", "WEBP")),
        ("LA", ("PNG",)),
        ("P", ("PNG", "BMP")),
        ("RGBA", ("PNG", "BMP", "WEBP")),
        ("CMYK", ("JPEG",)),
    ],
)
def test_all_usual_kinds_of_pixels_are_taken(mode: str, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        header = read_header(encoded(Image.fromarray(PHOTOGRAPH).convert(mode), kind), LIMITS)
        assert (header.width_px, header.height_px) == (40, 30)
        assert header.needs_pillow == (kind != "JPEG" or mode == "CMYK")


def test_nothing_is_empty() -> None:
    assert reason(b"") == "empty"


def test_too_many_bytes_are_refused_and_just_enough_are_not() -> None:
    assert reason(JPEG, ImageLimits(max_bytes=len(JPEG) - 1)) == "too-large"
    read_header(JPEG, ImageLimits(max_bytes=len(JPEG)))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_too_many_pixels_are_refused_and_just_enough_are_not(kind: str) -> None:
    data = encoded(PHOTOGRAPH, kind)
    assert reason(data, ImageLimits(max_pixels=40 * 30 - 1)) == "too-many-pixels"
    read_header(data, ImageLimits(max_pixels=40 * 30))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(png(100_000, 100_000, 8, 2), id="png"),
        pytest.param(png(9_600, 9_600, 8, 2), id="png, at which Pillow warns"),
        pytest.param(bmp_with_size(encoded(PHOTOGRAPH, "BMP"), 30_000, 30_000), id="bmp"),
        pytest.param(webp_with_size(PHOTOGRAPH, 65_000, 65_000), id="webp"),
        pytest.param(webp_with_size(PHOTOGRAPH, 10_000, 10_000), id="webp, at which Pillow warns"),
        pytest.param(b"\xff\xd8" + frame_header(65_535, 65_535), id="jpeg"),
    ],
)
def test_a_few_bytes_cannot_ask_for_gigabytes(data: bytes) -> None:
    assert reason(data) == "too-many-pixels"


def test_other_formats_are_no_images() -> None:
    for data in (b"x", b"GIF89a" + bytes(50), b"\0\0\0\x0cjP  \r\n\x87\n", b"%PDF-1.7\n", bytes(100), b"\xff\xd8"):
        assert reason(data) == "not-an-image"
    assert reason(encoded(PHOTOGRAPH, "TIFF")) == "not-an-image"


@pytest.mark.parametrize(
    ("colour", "samples"), [pytest.param(0, 1, id="grey"), pytest.param(2, 3, id="rgb"), (4, 2), (6, 4)]
)
def test_a_png_of_16_bits_is_not_supported(colour: int, samples: int) -> None:
    assert reason(png(4, 4, 16, colour, (b"\0" + b"\x12\x34" * samples * 4) * 4)) == "unsupported"
    read_header(png(4, 4, 8, colour, (b"\0" + b"\x12" * samples * 4) * 4), LIMITS)


@pytest.mark.parametrize("bits", [12, 16])
def test_a_jpeg_of_more_than_8_bits_is_not_supported(bits: int) -> None:
    assert reason(b"\xff\xd8" + frame_header(16, 16, marker=0xC1, bits=bits) + EOI) == "unsupported"


@pytest.mark.parametrize("marker", [0xC3, 0xC5, 0xC7, 0xC9, 0xCA, 0xCB, 0xCF])
def test_lossless_and_arithmetic_jpegs_are_not_supported(marker: int) -> None:
    assert reason(b"\xff\xd8" + frame_header(16, 16, marker=marker) + EOI) == "unsupported"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
def test_whatever_is_cut_in_its_header_is_refused(kind: str) -> None:
    data = encoded(PHOTOGRAPH, kind)
    end = data.index(b"\xff\xc0") + 9 if kind == "JPEG" else 26
    for length in range(20, end):
        assert reason(data[:length]) == "truncated", length
    for length in range(1, 20):
        assert reason(data[:length]) in {"truncated", "not-an-image"}, length


def test_no_pixels_are_no_image() -> None:
    for width_px, height_px in ((0, 16), (16, 0), (0, 0)):
        assert reason(b"\xff\xd8" + frame_header(width_px, height_px) + EOI) == "not-an-image"
        assert reason(png(width_px, height_px, 8, 2)) in {"not-an-image", "truncated"}
        bmp = bmp_with_size(encoded(PHOTOGRAPH, "BMP"), width_px, height_px)
        assert reason(bmp) in {"not-an-image", "truncated"}


def test_a_bmp_may_go_from_top_to_bottom() -> None:
    header = read_header(bmp_with_size(encoded(PHOTOGRAPH, "BMP"), 40, -30), LIMITS)
    assert (header.width_px, header.height_px) == (40, 30)


def test_more_than_100_scans_are_refused() -> None:
    read_header(with_scans(PROGRESSIVE, 100), LIMITS)
    assert with_scans(PROGRESSIVE, 100).count(SOS) == 100
    assert reason(with_scans(PROGRESSIVE, 101)) == "too-many-scans"
    assert reason(PROGRESSIVE, ImageLimits(max_scans=5)) == "too-many-scans"


def baseline_with_scans(count: int, components: int, filling: bytes = b"") -> bytes:
    """A picture whose scans have one component and one byte each, which libjpeg fills up."""
    scans = b"".join(segment(0xDA, bytes([1, 1 + i % components, 0, 0, 63, 0])) + b"\0" for i in range(count))
    return b"\xff\xd8" + frame_header(64, 64, sampling=[(1, 1)] * components) + filling + scans + EOI


@pytest.mark.parametrize("components", [2, 3, 4])
def test_the_scans_count_where_there_may_be_many(components: int) -> None:
    read_header(baseline_with_scans(100, components), LIMITS)
    assert reason(baseline_with_scans(101, components)) == "too-many-scans"


@pytest.mark.parametrize(
    "filling",
    [
        pytest.param(b"junk", id="bytes between segments"),
        pytest.param(b"\xff\x00\x00\x02\xff\xda\x00\x08\x03", id="a stuffed zero"),
        pytest.param(b"\0\xda\x00\x08\x03", id="a scan that libjpeg does not see"),
        pytest.param(segment(0xE0, b"") * 2000, id="many segments"),
    ],
)
def test_no_filling_hides_the_scans(filling: bytes) -> None:
    assert reason(baseline_with_scans(101, 3, filling)) == "too-many-scans"


def test_what_follows_a_scan_of_all_components_does_not_count() -> None:
    # libjpeg does not read it, and a photograph's bytes may hold anything behind its end.
    assert read_header(JPEG + SOS * 200, LIMITS).width_px == 40
    assert read_header(encoded(Image.fromarray(PHOTOGRAPH).convert("CMYK"), "JPEG") + SOS * 200, LIMITS).width_px == 40


@pytest.mark.parametrize(
    "filling",
    [
        pytest.param(b"\xff" * 100_000, id="fill bytes"),
        pytest.param(b"\xff\x01" * 100_000, id="markers without a length"),
        pytest.param(segment(0xE0, b"") * 100_000, id="empty segments"),
    ],
)
def test_a_frame_behind_very_many_segments_is_not_looked_for(filling: bytes) -> None:
    assert reason(JPEG[:2] + filling + JPEG[2:]) == "unsupported"


def test_profiles_in_many_pieces_are_stepped_over() -> None:
    assert (
        read_header(JPEG[:2] + segment(0xE2, b"ICC_PROFILE\0" + bytes(60_000)) * 100 + JPEG[2:], LIMITS).width_px == 40
    )


def test_the_scans_of_a_thumbnail_do_not_count() -> None:
    data = with_application_data(PROGRESSIVE, b"Exif\0\0" + SOS * 200)
    assert read_header(data, LIMITS).width_px == 40


def test_the_size_of_a_thumbnail_is_not_the_pictures() -> None:
    data = with_application_data(JPEG, b"Exif\0\0" + encoded(photograph_of(8, 8), "JPEG"))
    assert read_header(data, LIMITS).width_px == 40


def test_fill_bytes_and_markers_without_a_length_are_stepped_over() -> None:
    for filling in (b"\xff\xff\xff", b"\xff\x01", b"\xff\xd0\xff\xd7"):
        assert read_header(JPEG[:2] + filling + JPEG[2:], LIMITS).width_px == 40


def test_a_frame_cannot_hide_behind_a_marker_without_a_length() -> None:
    # A reader that takes the next two bytes, FF C0, for the length of FF 01 jumps over the large frame to the small.
    large = b"\xff\xd8\xff\x01" + frame_header(60_000, 60_000)
    data = large + bytes(2 + 2 + 0xFFC0 - len(large)) + frame_header(8, 8) + EOI + bytes(20)
    assert reason(data) == "too-many-pixels"


@pytest.mark.parametrize(
    "inserted",
    [
        pytest.param(b"\xff\xd8", id="a second start"),
        pytest.param(b"\xff\x00", id="a stuffed zero"),
        pytest.param(b"\xff\xe0\x00\x00", id="a length of 0"),
        pytest.param(b"\xff\xe0\x00\x01", id="a length of 1"),
        pytest.param(b"\xff\xd9", id="the end"),
        pytest.param(b"\xff\xda\x00\x02", id="a scan"),
    ],
)
def test_what_must_not_come_before_the_frame_is_refused(inserted: bytes) -> None:
    assert reason(JPEG[:2] + inserted + JPEG[2:]) == "not-an-image"


def test_bytes_between_segments_are_refused() -> None:
    position = JPEG.index(b"\xff\xdb")
    assert reason(JPEG[:position] + b"junk" + JPEG[position:]) == "not-an-image"


@pytest.mark.parametrize("components", [1, 2, 3, 4])
def test_only_one_or_three_components_are_left_to_simplejpeg(components: int) -> None:
    header = read_header(grey_jpeg(16, 16, [(1, 1)] * components), LIMITS)
    assert header.needs_pillow == (components not in (1, 3))


def test_an_animation_is_its_first_picture() -> None:
    other = Image.fromarray(np.zeros((30, 40, 3), np.uint8))
    for kind in ("PNG", "WEBP"):
        data = encoded(PHOTOGRAPH, kind, save_all=True, append_images=[other])
        assert (read_header(data, LIMITS).width_px, read_header(data, LIMITS).height_px) == (40, 30)


def png_with(chunks: list[tuple[bytes, bytes]]) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    plain = buffer.getvalue()
    extra = b"".join(
        len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big") for kind, data in chunks
    )
    return plain[:33] + extra + plain[33:]


@pytest.mark.parametrize(
    "chunks",
    [
        [(b"iCCP", b"p\0\0" + zlib.compress(bytes(1000)))] * 20,
        [(b"zTXt", b"k\0\0" + zlib.compress(bytes(1000)))] * 20,
        [(b"tEXt", b"k\0v")] * 1000,
    ],
)
def test_a_png_that_is_mostly_chunks_is_refused_unread(chunks: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(ImageError) as caught:
        read_header(png_with(chunks), ImageLimits())
    assert caught.value.reason == "unsupported"


def test_a_png_in_very_many_pieces_is_refused() -> None:
    with pytest.raises(ImageError, match="more than 16384 pieces") as caught:
        read_header(png_with([(b"IDAT", b"")] * 20_000), ImageLimits())
    assert caught.value.reason == "unsupported"
    assert read_header(png_with([(b"IDAT", b"")] * 10_000), ImageLimits()).width_px == 8


def test_a_png_with_a_few_chunks_is_read() -> None:
    header = read_header(png_with([(b"tEXt", b"k\0v")] * 20), ImageLimits())
    assert (header.width_px, header.height_px) == (8, 8)


def test_a_packed_bmp_is_refused_before_it_is_unpacked() -> None:
    info = struct.pack("<IiiHHIIiiII", 40, 4_000_000, 1, 1, 8, 1, 6, 0, 0, 256, 0)
    body = bytes(1024) + bytes([1, 0, 0, 0, 0, 1])
    head = b"BM" + struct.pack("<IHHI", 14 + len(info) + len(body), 0, 0, 14 + len(info) + 1024)
    with pytest.raises(ImageError) as caught:
        read_header(head + info + body, ImageLimits())
    assert caught.value.reason == "unsupported"
