"""Pictures of every kind that arrives in a frame: photographs, and files built byte by byte."""

import struct
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

EOI = b"\xff\xd9"
SOS = b"\xff\xda"


@cache
def photograph(name: str) -> NDArray[np.uint8]:
    """One of scikit-image's bundled photographs, uint8[height, width, 3]."""
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    with Image.open(Path(spec.submodule_search_locations[0]) / "data" / name) as image:
        return np.asarray(image.convert("RGB"))


def photograph_of(width_px: int, height_px: int) -> NDArray[np.uint8]:
    """The astronaut, at any size."""
    return np.asarray(Image.fromarray(photograph("astronaut.png")).resize((width_px, height_px)))


def encoded(pixels: NDArray[np.uint8] | Image.Image, kind: str, **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(data: bytes) -> NDArray[np.uint8]:
    """What Pillow makes of it, in full."""
    with Image.open(BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def segment(marker: int, payload: bytes) -> bytes:
    """A JPEG segment with its length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def frame_header(
    width_px: int,
    height_px: int,
    *,
    marker: int = 0xC0,
    bits: int = 8,
    sampling: Sequence[tuple[int, int]] = ((1, 1), (1, 1), (1, 1)),
) -> bytes:
    components = b"".join(bytes([number, across << 4 | down, 0]) for number, (across, down) in enumerate(sampling, 1))
    return segment(marker, struct.pack(">BHHB", bits, height_px, width_px, len(sampling)) + components)


def grey_jpeg(width_px: int, height_px: int, sampling: Sequence[tuple[int, int]]) -> bytes:
    """A middle grey with any sampling of its components: every coefficient is zero, in two bits a block."""
    across, down = (max(factors) for factors in zip(*sampling, strict=True))
    units = -(-width_px // (8 * across)) * -(-height_px // (8 * down))
    bits = "00" * units * sum(wide * high for wide, high in sampling)
    bits += "1" * (-len(bits) % 8)
    # One code, "0", for the one symbol 0: no difference, and no more coefficients.
    huffman = bytes([1, *[0] * 15, 0])
    scan = bytes([len(sampling), *[byte for number in range(1, len(sampling) + 1) for byte in (number, 0)], 0, 63, 0])
    return (
        b"\xff\xd8"
        + segment(0xDB, bytes([0, *[1] * 64]))
        + frame_header(width_px, height_px, sampling=sampling)
        + segment(0xC4, b"\x00" + huffman + b"\x10" + huffman)
        + segment(0xDA, scan)
        + int(bits, 2).to_bytes(len(bits) // 8, "big")
        + EOI
    )


def without_segments(jpeg: bytes, marker: int) -> bytes:
    """Leave out the segments of a kind before the first scan."""
    kept, position = jpeg[:2], 2
    while jpeg[position + 1] != SOS[1]:
        end = position + 2 + int.from_bytes(jpeg[position + 2 : position + 4], "big")
        if jpeg[position + 1] != marker:
            kept += jpeg[position:end]
        position = end
    return kept + jpeg[position:]


def with_scans(jpeg: bytes, count: int) -> bytes:
    """Repeat a progressive picture's last scan until it has as many as that."""
    begin = jpeg.rfind(SOS)
    scan = jpeg[begin : jpeg.rfind(EOI)]
    return jpeg[:begin] + scan * (count - jpeg.count(SOS) + 1) + EOI


def with_application_data(jpeg: bytes, payload: bytes) -> bytes:
    """Put a segment of application data (where EXIF and its thumbnail are) right after the start."""
    return jpeg[:2] + segment(0xE1, payload) + jpeg[2:]


def png(width_px: int, height_px: int, bits: int, colour: int, lines: bytes = b"") -> bytes:
    """A PNG with any header over any lines (each begins with its filter, 0)."""

    def chunk(kind: bytes, payload: bytes) -> bytes:
        return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))

    header = struct.pack(">IIBBBBB", width_px, height_px, bits, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def bmp_with_size(bmp: bytes, width_px: int, height_px: int) -> bytes:
    """Say another size in a BMP's header; a height below 0 means from top to bottom."""
    return bmp[:18] + struct.pack("<ii", width_px, height_px) + bmp[26:]


def webp_with_size(pixels: NDArray[np.uint8], width_px: int, height_px: int) -> bytes:
    """An animated WebP whose canvas is said to be as large as that."""
    data = encoded(pixels, "WEBP", save_all=True, append_images=[Image.fromarray(255 - pixels)])
    canvas = data.index(b"VP8X") + 12
    size = (width_px - 1).to_bytes(3, "little") + (height_px - 1).to_bytes(3, "little")
    return data[:canvas] + size + data[canvas + 6 :]
