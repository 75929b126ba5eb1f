"""Looking at a picture before decoding it: what it is, how large, and whether it may be decoded at all."""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import Image

from engine.errors import ImageError

Format = Literal["jpeg", "png", "webp", "bmp"]

#: A progressive JPEG with 400 extra scans of 16 bytes costs 11 times the CPU; cameras send one scan, progressive
#: files about ten. Source: measured; libjpeg-turbo's own advice is to limit scans (its `-maxscans`).
MAX_SCANS = 100

_SOI = b"\xff\xd8\xff"
_SOS = b"\xff\xda"
#: Start-of-frame markers; C4, C8 and CC are no frames. Source: ITU-T T.81, table B.1.
_BASELINE = {0xC0, 0xC1}
_PROGRESSIVE = 0xC2
_UNSUPPORTED_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_GREY_OR_COLOUR = {1, 3}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is decoded, at the most."""

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_scans: int = MAX_SCANS


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture's first bytes say.

    Attributes:
        needs_pillow: Whether simplejpeg cannot decode it: not a JPEG, or a CMYK one.
    """

    format: Format
    width_px: int
    height_px: int
    needs_pillow: bool


def read_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Look at an encoded picture without decoding it.

    Raises:
        ImageError: It is empty, too large, no picture, damaged, or of a kind that is not supported.
    """
    if not data:
        raise ImageError("empty", "the frame has no bytes")
    if len(data) > limits.max_bytes:
        raise ImageError("too-large", f"{len(data)} bytes are over the limit of {limits.max_bytes}")
    header = _jpeg_header(data, limits) if data.startswith(_SOI) else _other_header(data)
    pixels = header.width_px * header.height_px
    if pixels > limits.max_pixels:
        raise ImageError(
            "too-many-pixels", f"{header.width_px}×{header.height_px} pixels are over the limit of {limits.max_pixels}"
        )
    if pixels == 0:
        raise ImageError("not-an-image", "the picture has no pixels")
    return header


def _jpeg_header(data: bytes, limits: ImageLimits) -> ImageHeader:
    """Walk from marker to marker up to the start of the frame."""
    position = 2
    end = len(data)
    while position + 9 < end:
        if data[position] != 0xFF:
            raise ImageError("not-an-image", f"no JPEG marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker == _PROGRESSIVE or marker in _BASELINE:
            return _frame_header(data, position, marker, limits)
        if marker in _UNSUPPORTED_FRAMES:
            raise ImageError("unsupported", f"JPEG process {marker:#x} (lossless or arithmetic) is not supported")
        if marker in {0xD9, 0xDA}:
            raise ImageError("not-an-image", "the JPEG has no frame header")
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ImageError("truncated", "the JPEG ends before its frame header")


def _frame_header(data: bytes, position: int, marker: int, limits: ImageLimits) -> ImageHeader:
    precision_bits, components = data[position + 4], data[position + 9]
    if precision_bits != 8:
        raise ImageError("unsupported", f"a JPEG of {precision_bits} bits a sample is not supported")
    # Only a progressive file can repeat scans without end; looking for them costs a pass over the bytes.
    if marker == _PROGRESSIVE and (scans := data.count(_SOS)) > limits.max_scans:
        raise ImageError("too-many-scans", f"{scans} scans are over the limit of {limits.max_scans}")
    return ImageHeader(
        "jpeg",
        width_px=int.from_bytes(data[position + 7 : position + 9], "big"),
        height_px=int.from_bytes(data[position + 5 : position + 7], "big"),
        needs_pillow=components not in _GREY_OR_COLOUR,
    )


def _other_header(data: bytes) -> ImageHeader:
    """Let Pillow read the header of a PNG, WebP or BMP; the pixels are left alone."""
    try:
        with Image.open(BytesIO(data), formats=("PNG", "WEBP", "BMP")) as image:
            mode, (width_px, height_px) = image.mode, image.size
            kind = (image.format or "").lower()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise ImageError("too-many-pixels", str(exc)) from exc
    except Exception as exc:  # Pillow's readers raise anything on damaged bytes
        if data.startswith((b"\x89PNG", b"BM")) or data[8:12] == b"WEBP":
            raise ImageError("truncated", f"damaged picture: {exc}") from exc
        raise ImageError("not-an-image", f"neither JPEG, PNG, WebP nor BMP: begins with {data[:8].hex(' ')}") from exc
    if mode not in {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK"}:
        raise ImageError("unsupported", f"pixels of the kind {mode} (16 bits or float) are not supported")
    return ImageHeader(_FORMATS[kind], width_px, height_px, needs_pillow=True)


_FORMATS: dict[str, Format] = {"png": "png", "webp": "webp", "bmp": "bmp"}
