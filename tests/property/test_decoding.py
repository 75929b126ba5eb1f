"""Whatever the bytes are, either there is a picture or an `ImageError`."""

from functools import cache

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine.errors import ImageError
from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from tests.fakes.pictures import encoded, grey_jpeg, photograph_of, png

LIMITS = ImageLimits(max_bytes=200_000, max_pixels=100_000)
RESIZES = (Resize(32, 32, 32), Resize(40, 32, 24), Resize(48, 48, 48))
SIDE_PX = 48


@cache
def pictures() -> list[bytes]:
    pixels = photograph_of(SIDE_PX, SIDE_PX)
    image = Image.fromarray(pixels)
    return [
        encoded(pixels, "JPEG"),
        encoded(pixels, "JPEG", progressive=True),
        encoded(pixels, "JPEG", restart_marker_blocks=2),
        encoded(image.convert("CMYK"), "JPEG"),
        encoded(image.convert("L"), "JPEG"),
        encoded(pixels, "PNG"),
        encoded(image.convert("P"), "PNG", transparency=bytes(range(200))),
        encoded(pixels, "WEBP"),
        encoded(pixels, "WEBP", lossless=True, exif=b"Exif\0\0MM"),
        encoded(pixels, "BMP"),
        encoded(image.convert("P"), "BMP"),
        grey_jpeg(40, 24, [(3, 1), (1, 1), (1, 1)]),
        png(4, 4, 16, 2, bytes(4 * 25)),
    ]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real picture with bytes changed, put in, left out, doubled or cut off."""
    data = bytearray(draw(st.sampled_from(pictures())))
    for _ in range(draw(st.integers(1, 6))):
        # The headers are worth most of the attempts.
        end = min(len(data), draw(st.sampled_from([40, 700, len(data)])))
        position = draw(st.integers(0, max(end - 1, 0)))
        length = draw(st.integers(0, 12))
        kind = draw(st.sampled_from(["change", "insert", "remove", "double", "cut"]))
        if kind == "change":
            change = draw(st.binary(min_size=1, max_size=4))
            data[position : position + len(change)] = change
        elif kind == "insert":
            data[position:position] = draw(st.sampled_from([b"\xff\xd8", b"\xff\x01", b"\xff\xda", b"\xff\xc2", b"\0"]))
        elif kind == "remove":
            del data[position : position + length]
        elif kind == "double":
            data[position:position] = data[position : position + length]
        else:
            del data[position:]
    return bytes(data)


def attempt(data: bytes, resize: Resize) -> None:
    rows = np.full((3, resize.height_px, resize.width_px, 3), 77, np.uint8)
    try:
        header = read_header(data, LIMITS)
        assert 0 < header.width_px * header.height_px <= LIMITS.max_pixels
        decode_into(data, header, resize, rows[1])
    except ImageError as exc:
        assert exc.reason  # noqa: PT017 - no error at all is fine as well
    assert (rows[0] == 77).all(), "the row before"
    assert (rows[2] == 77).all(), "the row after"


@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM"]))
@example(data=b"", prefix=b"")
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes(data: bytes, prefix: bytes) -> None:
    attempt(prefix + data, RESIZES[0])


@given(data=mutated(), resize=st.sampled_from(RESIZES))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_real_pictures_that_were_damaged(data: bytes, resize: Resize) -> None:
    attempt(data, resize)


@given(
    width_px=st.integers(1, 300), height_px=st.integers(1, 300), crop=st.tuples(st.integers(1, 40), st.integers(1, 40))
)
@settings(max_examples=80, deadline=None)
def test_every_size_fills_every_row(width_px: int, height_px: int, crop: tuple[int, int]) -> None:
    """A flat picture is flat wherever it is cut, and no row stays as it was."""
    for short_side_px in (max(crop), max(crop) + 5):
        resize = Resize(short_side_px, *crop)
        for kind in ("JPEG", "PNG"):
            data = encoded(np.full((height_px, width_px, 3), 200, np.uint8), kind)
            row = np.zeros((*crop, 3), np.uint8)
            decode_into(data, read_header(data, LIMITS), resize, row)
            assert np.abs(row.astype(int) - 200).max() <= 2
