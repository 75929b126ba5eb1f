"""What the first bytes of an image file say, read without decoding it."""

import struct
from dataclasses import dataclass

JPEG, PNG, WEBP, BMP = "image/jpeg", "image/png", "image/webp", "image/bmp"

#: As many bytes as `content_type_of` looks at.
MAGIC_BYTES = 32

# The sizes that a BMP's second header can have.
# Source: https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})

_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself.

    Attributes:
        content_type: Its media type.
        width_px: Columns as stored, before any EXIF orientation.
        height_px: Rows as stored.
    """

    content_type: str
    width_px: int
    height_px: int


def content_type_of(data: bytes) -> str | None:
    """Tell an image's type by its magic.

    Args:
        data: The file, or its first `MAGIC_BYTES`.

    Returns:
        `image/jpeg`, `image/png`, `image/webp`, `image/bmp`, or None where it is none of them.
    """
    if data[:3] == b"\xff\xd8\xff":
        return JPEG
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WEBP
    # "BM" alone begins many a text.
    if data[:2] == b"BM" and data[6:10] == bytes(4) and int.from_bytes(data[14:18], "little") in _BMP_HEADER_BYTES:
        return BMP
    return None


def read_header(data: bytes) -> ImageHeader:
    """Read an image's type and size from its header.

    Args:
        data: The whole file.

    Returns:
        Type and size, in pixels.

    Raises:
        ValueError: It is no JPEG, PNG, WebP or BMP, or its header is damaged.
    """
    content_type = content_type_of(data)
    if content_type is None:
        raise ValueError("no JPEG, PNG, WebP or BMP image")
    try:
        width_px, height_px = _SIZES[content_type](data)
    except (struct.error, IndexError) as exc:
        raise ValueError("the header is cut off") from exc
    if width_px < 1 or height_px < 1:
        raise ValueError("the header gives no size")
    return ImageHeader(content_type, width_px, height_px)


def orientation_of(data: bytes) -> int:
    """Read an image file's EXIF orientation.

    Args:
        data: The whole file.

    Returns:
        1 (upright) to 8, as Exif 2.32 (4.6.4, tag 274) numbers them; 1 where there is none, or where it is damaged.
    """
    try:
        tiff = _exif(data)
        return _tiff_orientation(tiff) if tiff else 1
    except (struct.error, IndexError):
        return 1


def _exif(data: bytes) -> bytes:
    """The TIFF block of an image file's EXIF data, or nothing."""
    content_type = content_type_of(data)
    if content_type == JPEG:
        at = 2
        while data[at] == 0xFF and data[at + 1] != 0xDA:
            (length,) = struct.unpack_from(">H", data, at + 2)
            if data[at + 1] == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
                return data[at + 10 : at + 2 + length]
            at += 2 + length
        return b""
    chunk = {PNG: b"eXIf", WEBP: b"EXIF"}.get(content_type or "")
    at = data.find(chunk) if chunk else -1
    if at < 0:
        return b""
    # A PNG's chunk has its length before its name, a WebP's after it.
    start = at + (4 if content_type == PNG else 8)
    return data[start:].removeprefix(b"Exif\0\0")


def _tiff_orientation(tiff: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    (directory,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, directory)
    for entry in range(count):
        at = directory + 2 + 12 * entry
        tag, _, _, value = struct.unpack_from(f"{order}HHIH", tiff, at)
        if tag == _ORIENTATION_TAG:
            return int(value) if 1 <= value <= 8 else 1
    return 1


def _jpeg_size(data: bytes) -> tuple[int, int]:
    import simplejpeg

    height_px, width_px, *_ = simplejpeg.decode_jpeg_header(data)
    return int(width_px), int(height_px)


def _png_size(data: bytes) -> tuple[int, int]:
    width_px, height_px = struct.unpack_from(">II", data, 16)
    return int(width_px), int(height_px)


def _bmp_size(data: bytes) -> tuple[int, int]:
    if data[14] in (12, 16):
        layout = "<HH" if data[14] == 12 else "<II"
        width_px, height_px = struct.unpack_from(layout, data, 18)
    else:
        width_px, height_px = struct.unpack_from("<ii", data, 18)
    return int(width_px), abs(int(height_px))  # a negative height: rows from the top


def _webp_size(data: bytes) -> tuple[int, int]:
    # Source: https://developers.google.com/speed/webp/docs/riff_container and RFC 9649, 6386
    kind = data[12:16]
    if kind == b"VP8X":
        return _int24(data, 24) + 1, _int24(data, 27) + 1
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width_px, height_px = struct.unpack_from("<HH", data, 26)
        return width_px & 0x3FFF, height_px & 0x3FFF
    raise ValueError("a WebP file without a picture")


def _int24(data: bytes, at: int) -> int:
    low, high = struct.unpack_from("<HB", data, at)
    return int(low) | int(high) << 16


_SIZES = {JPEG: _jpeg_size, PNG: _png_size, WEBP: _webp_size, BMP: _bmp_size}
