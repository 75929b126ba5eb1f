"""Decoding a picture straight into its row of a batch."""

import re
from dataclasses import dataclass
from functools import partial

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ImageError
from engine.images.header import ImageHeader, open_with_pillow

#: Source: the texts of libjpeg-turbo's `JWRN_EXTRANEOUS_DATA` and of TurboJPEG.
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_UNKNOWN_SAMPLING = "Could not determine subsampling"
#: libjpeg-turbo has no vector code for these: to decode in full and resize more is 1.2 to 1.5 times as fast
#: (measured, 256×256 to 1920×1080; 5/8 and full scale are even, 3/8 is the faster).
_SLOW_EIGHTHS = (6, 7)
_EOI = b"\xff\xd9"
_MAX_LEFT_OVER_BYTES = 64


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture of any size becomes a row: short side to `short_side_px`, then the centre is cut out.

    Source: torchvision's `Resize` and `CenterCrop`, roundings included.

    Attributes:
        short_side_px: The short side after resizing; at least the larger side of the crop.
        height_px: Height of the crop, and of the row.
        width_px: Width of the crop, and of the row.
    """

    short_side_px: int
    height_px: int
    width_px: int

    def resized(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return height and width before the crop."""
        short = min(height_px, width_px)
        return (
            max(height_px * self.short_side_px // short, self.height_px),
            max(width_px * self.short_side_px // short, self.width_px),
        )

    def offset(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Return top and left of the crop in a picture that has been resized to this height and width."""
        return round((height_px - self.height_px) / 2), round((width_px - self.width_px) / 2)


def decode_into(data: bytes, header: ImageHeader, resize: Resize, row: NDArray[np.uint8]) -> None:
    """Decode a picture into `row`.

    A JPEG that is 1/8 … 8/8 of the wanted size needs no second pass: the scaling happens in the inverse DCT and
    the pixels land in the row. Everything else is decoded at the nearest larger scale, and of that the part that
    the crop shows is resized: a picture of 1 × 60,000 pixels costs no more than its row. Any thread may call.

    Args:
        data: The encoded picture.
        header: What `read_header` said of it.
        resize: The geometry; its crop is the shape of `row`.
        row: uint8[height, width, 3], RGB, C-contiguous. Where an error is raised it may hold anything.

    Raises:
        ImageError: The bytes are damaged.
    """
    height_px, width_px = resize.resized(header.height_px, header.width_px)
    pixels, eighths = None, 8
    if not header.needs_pillow:
        eighths = _eighths(header, height_px, width_px)
        fits = row.shape[:2] == (height_px, width_px) == _scaled(header, eighths)
        if eighths in _SLOW_EIGHTHS and not fits:
            eighths = 8
        least = (header.height_px, header.width_px) if eighths == 8 else (height_px, width_px)
        pixels = _decode_jpeg(data, *least, row if fits else None)
        if fits and pixels is not None:
            return
    if pixels is None:
        pixels, eighths = _decode_with_pillow(data, header), 8
    if pixels.shape[:2] != _scaled(header, eighths):
        raise ImageError("not-an-image", "the picture has another size than its header says")
    if pixels.shape[:2] == (height_px, width_px):
        top, left = resize.offset(height_px, width_px)
        row[:] = pixels[top : top + resize.height_px, left : left + resize.width_px]
    else:
        # libjpeg fills the last pixel up: what counts is how far the picture goes.
        extent = header.height_px * eighths / 8, header.width_px * eighths / 8
        row[:] = _resized_crop(pixels, extent, resize, (height_px, width_px))


def _decode_jpeg(
    data: bytes, min_height_px: int, min_width_px: int, row: NDArray[np.uint8] | None
) -> NDArray[np.uint8] | None:
    """Decode at the smallest scale that is large enough; None where TurboJPEG does not know the sampling."""
    decode = partial(
        simplejpeg.decode_jpeg,
        data,
        "RGB",
        fastdct=True,
        fastupsample=True,
        min_height=min_height_px,
        min_width=min_width_px,
        min_factor=1,
        buffer=row,
    )
    pixels: NDArray[np.uint8]
    try:
        try:
            # strict: without it a truncated file gives grey pixels and no error.
            pixels = decode(strict=True)
        except ValueError as exc:
            if _UNKNOWN_SAMPLING in str(exc):
                return None
            if not _is_only_padded(data, str(exc)):
                raise
            pixels = decode(strict=False)
    except ValueError as exc:
        is_cut = "premature end" in str(exc).lower()
        raise ImageError("truncated" if is_cut else "not-an-image", f"damaged JPEG: {exc}") from exc
    return pixels


def _is_only_padded(data: bytes, message: str) -> bool:
    """Tell whether all that libjpeg complains of are bytes between the last scan and the end, as webcams leave them.

    Every pixel is there then. Where many bytes are left over, and not just one value again and again, the scan was
    damaged and came to its end too early.
    """
    if (found := _LEFT_OVER.search(message)) is None:
        return False
    count, end = int(found[1]), data.rfind(_EOI)
    padding = data[max(end - count, 0) : end]
    return count <= _MAX_LEFT_OVER_BYTES or padding == padding[:1] * count


def _eighths(header: ImageHeader, min_height_px: int, min_width_px: int) -> int:
    """Return the scale that libjpeg decodes at: the smallest that is not below the minimum, or 8.

    Source: simplejpeg's `decode_jpeg` (min_height, min_width) over libjpeg-turbo's `tjGetScalingFactors`.
    """
    least = min(min_height_px, header.height_px), min(min_width_px, header.width_px)
    for eighths in range(1, 8):
        height_px, width_px = _scaled(header, eighths)
        if height_px >= least[0] and width_px >= least[1]:
            return eighths
    return 8


def _scaled(header: ImageHeader, eighths: int) -> tuple[int, int]:
    """Return the height and width that libjpeg gives at a scale. Source: libjpeg-turbo's `TJSCALED`."""
    return -(-header.height_px * eighths // 8), -(-header.width_px * eighths // 8)


def _decode_with_pillow(data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
    try:
        with open_with_pillow(data, header.format) as image:
            # By way of RGBA, since Pillow warns of a palette with opacities.
            opaque = image.convert("RGBA") if image.mode == "P" else image
            return np.asarray(opaque.convert("RGB"))
    except Exception as exc:  # Pillow's readers raise anything on damaged bytes
        raise ImageError("truncated", f"damaged picture: {exc}") from exc


def _resized_crop(
    pixels: NDArray[np.uint8], extent: tuple[float, float], resize: Resize, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resize decoded pixels, of which the picture takes `extent`, to `size`; but only as much as the crop shows."""
    top, left = resize.offset(*size)
    down, across = extent[0] / size[0], extent[1] / size[1]
    box = (
        left * across,
        top * down,
        min((left + resize.width_px) * across, pixels.shape[1]),
        min((top + resize.height_px) * down, pixels.shape[0]),
    )
    shape = (resize.width_px, resize.height_px)
    return np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR, box, reducing_gap=2.0))
