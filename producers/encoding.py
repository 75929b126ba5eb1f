"""From a source's picture to the bytes of a frame."""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, ImageFile, ImageOps, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from producers.errors import PictureError, SourceSettingError
from producers.image_type import BMP, JPEG, PNG, WEBP, content_type_of
from producers.sources.base import Picture

#: Larger pictures are refused from their header, before memory is spent on them. It lies below the size at which
#: Pillow begins to warn of decompression bombs.
MAX_PIXELS = 64_000_000

#: A JPEG can hold no longer side. Source: ITU-T T.81, B.2.2, less libjpeg-turbo's own limit.
MAX_SIDE_PX = 65_500

#: A progressive JPEG has about ten scans; each further one makes decoding dearer at 16 bytes apiece.
MAX_SCANS = 100

_START_OF_SCAN = b"\xff\xda"

# Not `Image.open`: it warns or raises of large pictures in words of its own, and finds a type MPO in JPEGs.
_READERS: dict[str, Callable[[BytesIO], ImageFile.ImageFile]] = {
    JPEG: JpegImagePlugin.JpegImageFile,
    PNG: PngImagePlugin.PngImageFile,
    WEBP: WebPImagePlugin.WebPImageFile,
    BMP: BmpImagePlugin.BmpImageFile,
}


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame as it is sent.

    Attributes:
        data: The image file.
        content_type: `image/jpeg`, or what the source gave where it passes untouched.
        width_px: Columns as stored in `data`.
        height_px: Rows as stored in `data`.
    """

    data: bytes
    content_type: str
    width_px: int
    height_px: int


class JpegEncoder:
    """Shrinks pictures to a short side and writes them as JPEG; touches nothing that already fits.

    A picture is never enlarged. An encoded picture which fits passes byte for byte, whatever its type and with
    its EXIF data: an orientation that it has is then the reader's to honour. A picture that is encoded anew is
    turned upright first and carries no EXIF. Transparency is dropped, not blended.

    Used by one thread at a time.

    Args:
        short_side_px: The short side that pictures are shrunk to; None leaves their size alone.
        quality: JPEG quality, 1 to 100.

    Raises:
        SourceSettingError: A value is out of its range.
    """

    def __init__(self, short_side_px: int | None = 256, quality: int = 85) -> None:
        if short_side_px is not None and not 1 <= short_side_px <= MAX_SIDE_PX:
            raise SourceSettingError(f"short side {short_side_px}: give 1 to {MAX_SIDE_PX} pixels, or leave it out")
        if not 1 <= quality <= 100:
            raise SourceSettingError(f"JPEG quality {quality}: give 1 to 100")
        self._short_side_px = short_side_px
        self._quality = quality

    def encode(self, picture: Picture) -> EncodedFrame:
        """Make the frame that is sent for `picture`.

        Args:
            picture: Pixels uint8[height, width, 3], RGB, or the bytes of an image file.

        Returns:
            The frame.

        Raises:
            PictureError: This picture cannot be used: damaged, too large, or not an image.
        """
        if picture.encoded is not None:
            return self._encode_file(picture.encoded)
        pixels = picture.pixels
        if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8:
            raise PictureError("a picture without pixels uint8[height, width, 3]; the source is at fault")
        height_px, width_px = pixels.shape[:2]
        _check_size(width_px, height_px)
        target = self._target(width_px, height_px)
        if target != (width_px, height_px):
            pixels = np.asarray(_resized(Image.fromarray(pixels), target))
        return self._write(pixels)

    def _encode_file(self, data: bytes) -> EncodedFrame:
        with _opened(data) as image:
            content_type = Image.MIME[str(image.format)]
            target = self._target(*image.size)
            if target == image.size:
                return EncodedFrame(data, content_type, *image.size)
            try:
                image.draft("RGB", target)  # a JPEG is decoded at 1/2, 1/4 or 1/8 where that is large enough
                pixels = np.asarray(_upright(_resized(_as_rgb(image), target)))
            except Exception as exc:  # Pillow's readers raise anything on damaged bytes
                raise PictureError(f"{len(data)} bytes of {content_type} that cannot be decoded: {exc}") from exc
        return self._write(pixels)

    def _target(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height with the short side shrunk."""
        short_px = min(width_px, height_px)
        wanted_px = min(self._short_side_px or short_px, short_px)
        return (
            max(1, (width_px * wanted_px + short_px // 2) // short_px),
            max(1, (height_px * wanted_px + short_px // 2) // short_px),
        )

    def _write(self, pixels: NDArray[np.uint8]) -> EncodedFrame:
        import simplejpeg

        height_px, width_px = pixels.shape[:2]
        if max(height_px, width_px) > MAX_SIDE_PX:
            raise PictureError(f"{width_px}x{height_px} pixels: a JPEG's sides end at {MAX_SIDE_PX}")
        data = simplejpeg.encode_jpeg(
            np.ascontiguousarray(pixels), self._quality, colorspace="RGB", colorsubsampling="420", fastdct=True
        )
        return EncodedFrame(data, JPEG, width_px, height_px)


def _check_size(width_px: int, height_px: int) -> None:
    if not 1 <= width_px * height_px <= MAX_PIXELS:
        raise PictureError(f"{width_px}x{height_px} pixels: 1 to {MAX_PIXELS:,} are taken")


def _opened(data: bytes) -> ImageFile.ImageFile:
    """Read the header, and refuse what would cost too much to decode, here or at the consumer."""
    content_type = content_type_of(data)
    if content_type is None:
        raise PictureError(f"{len(data)} bytes that are no JPEG, PNG, WebP or BMP image")
    try:
        image = _READERS[content_type](BytesIO(data))
    except Exception as exc:  # Pillow's readers raise anything on damaged bytes
        raise PictureError(f"{len(data)} bytes of {content_type} with a damaged header: {exc}") from exc
    _check_size(*image.size)
    if content_type == JPEG and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise PictureError(f"a JPEG with more than {MAX_SCANS} scans")
    return image


def _as_rgb(image: Image.Image) -> Image.Image:
    # Pillow would clip 16-bit grey at 255 instead of scaling it.
    if image.mode.startswith("I"):
        grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        grey.info = image.info  # the orientation is in there
        return grey.convert("RGB")
    return image.convert("RGB")


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _upright(image: Image.Image) -> Image.Image:
    """Undo an EXIF orientation; damaged EXIF data means upright."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - Pillow raises anything on damaged EXIF data
        return image
