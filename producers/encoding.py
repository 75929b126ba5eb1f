"""From a source's picture to the bytes of a frame."""

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from producers.errors import PictureError, SourceSettingError
from producers.image_header import JPEG, ImageHeader, orientation_of, read_header
from producers.sources.base import Picture

#: Larger pictures are refused from their header, before memory is spent on them. It lies below the size at which
#: Pillow begins to warn of decompression bombs.
MAX_PIXELS = 64_000_000

#: A JPEG can hold no longer side. Source: ITU-T T.81, B.2.2, less libjpeg-turbo's own limit.
MAX_SIDE_PX = 65_500

#: A progressive JPEG has about ten scans; each further one makes decoding dearer at 16 bytes apiece.
MAX_SCANS = 100

_START_OF_SCAN = b"\xff\xda"


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
        _check_size(pixels.shape[1], pixels.shape[0])
        return self._write(self._shrink(pixels))

    def _encode_file(self, data: bytes) -> EncodedFrame:
        header = _checked_header(data)
        if self._short_side_px is None or min(header.width_px, header.height_px) <= self._short_side_px:
            return EncodedFrame(data, header.content_type, header.width_px, header.height_px)
        try:
            pixels = self._decode_jpeg(data, header) if header.content_type == JPEG else _decode_other(data)
            pixels = _upright(self._shrink(pixels), orientation_of(data))
        except (ValueError, OSError, SyntaxError, EOFError) as exc:  # all that simplejpeg and Pillow raise
            raise PictureError(f"{len(data)} bytes of {header.content_type} that cannot be decoded: {exc}") from exc
        return self._write(pixels)

    def _decode_jpeg(self, data: bytes, header: ImageHeader) -> NDArray[np.uint8]:
        """Decode at the smallest of the DCT's own scales (n/8) that is still large enough."""
        import simplejpeg

        width_px, height_px = self._target(header.width_px, header.height_px)
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data, "RGB", fastdct=True, fastupsample=True, min_width=width_px, min_height=height_px
        )
        return pixels

    def _target(self, width_px: int, height_px: int) -> tuple[int, int]:
        """Width and height with the short side shrunk."""
        short_px = min(width_px, height_px)
        wanted_px = min(self._short_side_px or short_px, short_px)
        return (
            max(1, (width_px * wanted_px + short_px // 2) // short_px),
            max(1, (height_px * wanted_px + short_px // 2) // short_px),
        )

    def _shrink(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        height_px, width_px = pixels.shape[:2]
        target = self._target(width_px, height_px)
        if target == (width_px, height_px):
            return pixels
        image = Image.fromarray(pixels)
        return np.asarray(image.resize(target, Image.Resampling.BILINEAR, reducing_gap=2.0))

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


def _checked_header(data: bytes) -> ImageHeader:
    """Read the header, and refuse what would cost too much to decode, here or at the consumer."""
    try:
        header = read_header(data)
    except ValueError as exc:
        raise PictureError(f"{len(data)} bytes that are no usable picture: {exc}") from exc
    _check_size(header.width_px, header.height_px)
    if header.content_type == JPEG and data.count(_START_OF_SCAN) > MAX_SCANS:
        raise PictureError(f"a JPEG with more than {MAX_SCANS} scans")
    return header


def _decode_other(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    with Image.open(BytesIO(data), formats=("PNG", "WEBP", "BMP")) as image:
        image.load()
        # Pillow would clip 16-bit grey at 255 instead of scaling it.
        if image.mode.startswith("I"):
            grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
            return np.repeat(grey[:, :, np.newaxis], 3, axis=2)
        return np.asarray(image.convert("RGB"))


def _upright(pixels: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo an EXIF orientation: uint8[h, w, 3] in, upright out. Source: Exif 2.32, 4.6.4, tag 274."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
