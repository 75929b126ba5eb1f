"""Decoding a picture straight into its row of a batch."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from engine.errors import ImageError
from engine.images.header import ImageHeader


@dataclass(frozen=True, slots=True)
class Resize:
    """How a picture of any size becomes a row: short side to `short_side_px`, then the centre is cut out.

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
            max(round(height_px * self.short_side_px / short), self.height_px),
            max(round(width_px * self.short_side_px / short), self.width_px),
        )


def decode_into(data: bytes, header: ImageHeader, resize: Resize, row: NDArray[np.uint8]) -> None:
    """Decode a picture into `row`.

    A JPEG that is 1/8 … 8/8 of the wanted size needs no second pass: the scaling happens in the inverse DCT and
    the pixels land in the row. Everything else is decoded at the nearest larger scale and resized.

    Args:
        data: The encoded picture.
        header: What `read_header` said of it.
        resize: The geometry; its crop is the shape of `row`.
        row: uint8[height, width, 3], RGB, C-contiguous; only written where nothing is raised.

    Raises:
        ImageError: The bytes are damaged.
    """
    height_px, width_px = resize.resized(header.height_px, header.width_px)
    pixels: NDArray[np.uint8]
    if header.needs_pillow:
        pixels = _decode_by_pillow(data)
    else:
        needs_no_crop = (height_px, width_px) == row.shape[:2]
        fits = needs_no_crop and _scaled(header, height_px, width_px) == (height_px, width_px)
        try:
            # strict: without it a truncated file gives grey pixels and no error.
            pixels = simplejpeg.decode_jpeg(
                data,
                "RGB",
                fastdct=True,
                fastupsample=True,
                min_height=height_px,
                min_width=width_px,
                min_factor=1,
                buffer=row if fits else None,
                strict=True,
            )
        except ValueError as exc:
            is_cut = "premature end" in str(exc).lower()
            raise ImageError("truncated" if is_cut else "not-an-image", f"damaged JPEG: {exc}") from exc
        if fits:
            return
    if pixels.shape[:2] != (height_px, width_px):
        resized = Image.fromarray(pixels).resize((width_px, height_px), Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = np.asarray(resized)
    top, left = (height_px - row.shape[0]) // 2, (width_px - row.shape[1]) // 2
    row[:] = pixels[top : top + row.shape[0], left : left + row.shape[1]]


def _scaled(header: ImageHeader, min_height_px: int, min_width_px: int) -> tuple[int, int]:
    """Return the size that libjpeg decodes to: the smallest n/8 of the picture that is not below the minimum.

    Source: simplejpeg's `decode_jpeg` (min_height, min_width) over libjpeg-turbo's `tjGetScalingFactors`.
    """
    for eighths in range(1, 9):
        height = -(-header.height_px * eighths // 8)
        width = -(-header.width_px * eighths // 8)
        if height >= min_height_px and width >= min_width_px:
            return height, width
    return header.height_px, header.width_px


def _decode_by_pillow(data: bytes) -> NDArray[np.uint8]:
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "PNG", "WEBP", "BMP")) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as exc:  # Pillow's readers raise anything on damaged bytes
        raise ImageError("truncated", f"damaged picture: {exc}") from exc
