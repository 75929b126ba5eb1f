"""Looking at a picture before decoding it: what it is, how large, and whether it may be decoded at all."""

from dataclasses import dataclass
from io import BytesIO
from typing import Literal

from PIL import BmpImagePlugin, Image, ImageFile, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from engine.errors import ImageError

Format = Literal["jpeg", "png", "webp", "bmp"]

#: A progressive JPEG with 400 extra scans of 16 bytes costs 11 times the CPU, and one of 8 MB that is nothing but
#: scans two hours; cameras send one scan, progressive files about ten. Source: measured; libjpeg-turbo's own advice is
#: to limit scans (its `-maxscans`).
MAX_SCANS = 100

_SOI = b"\xff\xd8\xff"
_SOS = b"\xff\xda"
#: Start-of-frame markers; C4, C8 and CC are no frames. Source: ITU-T T.81, table B.1.
_BASELINE = {0xC0, 0xC1}
_PROGRESSIVE = 0xC2
_UNSUPPORTED_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_GREY_OR_COLOUR = {1, 3}
#: Markers without a length. A reader that gave them one would see another picture than libjpeg does.
_STANDALONE = {0x01, *range(0xD0, 0xD8)}
#: No marker of a segment that may come before the frame: a stuffed zero, the start, the end and scans.
_END_OR_SCAN = {0x00, 0xD8, 0xD9, 0xDA}
_SCAN = 0xDA
#: Segments and fill bytes before the frame, and before the first scan; large profiles come in some 250 pieces.
#: Measured: two million empty segments cost 7 s.
_MAX_SEGMENTS = 1000

#: BMPs without compression, and with bit masks; the others Pillow unpacks in Python, byte by byte (measured: 13 s for
#: a file of 1 KB). Source: https://learn.microsoft.com/windows/win32/api/wingdi/ns-wingdi-bitmapinfoheader
_BMP_PLAIN = {0, 3}
_BMP_INFO_HEADER_BYTES = 40
_BMP_COMPRESSION_END = 34
#: Chunks beside the pixels, and those of them that are unpacked; pictures have a dozen, and one or two.
#: Measured: 7,590 profiles in one file of 8 MB cost 21 s.
_MAX_PNG_CHUNKS = 128
_MAX_PNG_PACKED = 8
#: Chunks of pixels; libpng writes 8 KiB into each. Measured: 600,000 empty ones cost 1.6 s.
_MAX_PNG_PIECES = 16_384
_PNG_PACKED = {b"iCCP", b"zTXt", b"iTXt"}


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """What is decoded, at the most.

    To decode takes up to 14 bytes of memory a pixel (measured: animated WebP and CMYK, 530 MiB for 40 million), in each
    thread that decodes.
    """

    max_bytes: int = 8 * 1024 * 1024
    max_pixels: int = 40_000_000
    max_scans: int = MAX_SCANS


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What a picture's first bytes say.

    Attributes:
        needs_pillow: Whether simplejpeg cannot decode it: not a JPEG, or one of other than 1 or 3 components.
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
    for _ in range(_MAX_SEGMENTS):
        if position + 9 >= end:
            raise ImageError("truncated", "the JPEG ends before its frame header")
        if data[position] != 0xFF:
            raise ImageError("not-an-image", f"no JPEG marker at byte {position}")
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        if marker == _PROGRESSIVE or marker in _BASELINE:
            return _frame_header(data, position, marker, limits)
        if marker in _UNSUPPORTED_FRAMES:
            raise ImageError("unsupported", f"JPEG process {marker:#x} (lossless or arithmetic) is not supported")
        if marker in _END_OR_SCAN:
            raise ImageError("not-an-image", f"the JPEG has no frame header before byte {position}")
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    raise ImageError("unsupported", f"a JPEG with more than {_MAX_SEGMENTS} segments before its frame")


def _frame_header(data: bytes, position: int, marker: int, limits: ImageLimits) -> ImageHeader:
    precision_bits, components = data[position + 4], data[position + 9]
    if precision_bits != 8:
        raise ImageError("unsupported", f"a JPEG of {precision_bits} bits a sample is not supported")
    # Looking for scans costs a pass over the bytes; a thumbnail's come before the frame.
    may_be_many = marker == _PROGRESSIVE or not _is_one_scan(data, position, components)
    if may_be_many and (scans := data.count(_SOS, position)) > limits.max_scans:
        raise ImageError("too-many-scans", f"{scans} scans are over the limit of {limits.max_scans}")
    return ImageHeader(
        "jpeg",
        width_px=int.from_bytes(data[position + 7 : position + 9], "big"),
        height_px=int.from_bytes(data[position + 5 : position + 7], "big"),
        needs_pillow=components not in _GREY_OR_COLOUR,
    )


def _is_one_scan(data: bytes, position: int, components: int) -> bool:
    """Tell whether a picture that is not progressive has all its components in its first scan, beyond doubt.

    libjpeg then reads no other one. Else it goes over the whole picture for each, be that a few bytes (measured: 11 ms
    for 11 bytes). Source: libjpeg-turbo's `has_multiple_scans`.
    """
    for _ in range(_MAX_SEGMENTS):
        if position + 5 > len(data) or data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker == _SCAN:
            return data[position + 4] == components
        if marker in _END_OR_SCAN:
            return False
        if marker == 0xFF:
            position += 1
        elif marker in _STANDALONE:
            position += 2
        else:
            position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _other_header(data: bytes) -> ImageHeader:
    """Let Pillow read the header of a PNG, WebP or BMP; the pixels are left alone."""
    kind = _other_format(data)
    if kind is None:
        raise ImageError("not-an-image", f"neither JPEG, PNG, WebP nor BMP: begins with {data[:8].hex(' ')}")
    if kind == "png":
        _check_png_chunks(data)
    elif kind == "bmp" and len(data) >= _BMP_COMPRESSION_END and data[14] >= _BMP_INFO_HEADER_BYTES:
        compression = int.from_bytes(data[30:_BMP_COMPRESSION_END], "little")
        if compression not in _BMP_PLAIN:
            raise ImageError("unsupported", f"a BMP with compression {compression} is not supported")
    try:
        with open_with_pillow(data, kind) as image:
            mode, (width_px, height_px) = image.mode, image.size
            # Pillow halves the samples of 16-bit colour, and says so only here.
            packings = " ".join(str(tile[3]) for tile in image.tile)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:  # its WebP reader asks for itself
        raise ImageError("too-many-pixels", f"the {kind} has too many pixels: {exc}") from exc
    except Exception as exc:  # Pillow's readers raise anything on damaged bytes
        raise ImageError("truncated", f"damaged picture: {exc}") from exc
    if mode not in {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX"} or ";16B" in packings:
        raise ImageError("unsupported", f"{kind} pixels of 16 bits a sample (or float) are not supported")
    return ImageHeader(kind, width_px, height_px, needs_pillow=True)


def _check_png_chunks(data: bytes) -> None:
    """Refuse a PNG whose chunks cost more than its pixels: Pillow unpacks each profile and text, one by one."""
    position, pieces, other, packed = 8, 0, 0, 0
    while position + 8 <= len(data):
        kind = data[position + 4 : position + 8]
        if kind == b"IDAT":
            pieces += 1
            if pieces > _MAX_PNG_PIECES:
                raise ImageError("unsupported", f"a PNG with its pixels in more than {_MAX_PNG_PIECES} pieces")
        else:
            other += 1
            packed += kind in _PNG_PACKED
            if other > _MAX_PNG_CHUNKS or packed > _MAX_PNG_PACKED:
                raise ImageError("unsupported", f"a PNG with more than {other - 1} chunks beside its pixels")
        position += 12 + int.from_bytes(data[position : position + 4], "big")


def _other_format(data: bytes) -> Format | None:
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "webp"
    return "bmp" if data.startswith(b"BM") else None


_READERS: dict[Format, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
}


def open_with_pillow(data: bytes, kind: Format) -> ImageFile.ImageFile:
    """Open a picture with Pillow, knowing what it is; the pixels are left alone.

    Not `Image.open`: that warns of sizes, or refuses them, by a limit of its own.
    """
    return _READERS[kind](BytesIO(data))
