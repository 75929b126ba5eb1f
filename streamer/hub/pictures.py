"""A picture from an address or a file, made to fit a model's input."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

from engine.errors import ImageError
from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from producers.errors import PictureError, SourceNotFoundError, SourceSettingError
from producers.sources.address import local_path, redact
from producers.sources.snapshot import SnapshotSource

_LIMITS = ImageLimits()
_RGB = 3


@dataclass(frozen=True, slots=True)
class Layout:
    """How an input holds pictures.

    Attributes:
        count: Pictures.
        is_planar: Whether the channels come before height and width (NCHW).
        has_batch: Whether there is an axis for the pictures at all.
    """

    count: int
    height_px: int
    width_px: int
    is_planar: bool
    has_batch: bool


def process_image(url: str, input_shape: Sequence[int]) -> NDArray[np.float32]:
    """Fetch a picture and make it fit an input of a model.

    The short side is resized to cover the input and the centre is cut out, so that nothing is distorted. Pixels are
    RGB and scaled to 0–1, without a mean taken off. The order of axes is NHWC where the last size is 3, else NCHW
    where the channels' is. A batch of several holds the picture several times.

    Args:
        url: An `http(s)` address (10 s, 8 MiB, three redirects, none of them further into a network), a file, or the
            `file:` URI of one; JPEG, PNG, WebP or BMP.
        input_shape: `(1, 224, 224, 3)`, `(1, 3, 224, 224)`, or either without its batch.

    Returns:
        float32 of that shape, 0–1.

    Raises:
        SourceSettingError: The address, or the shape, is none.
        SourceNotFoundError: There is no such file.
        SourceFailedError: The address does not give a picture.
        PictureError: It cannot be decoded, or has more than 40 million pixels.
    """
    layout = layout_of(input_shape)
    return decode(read_picture(url), layout, redact(url))


def read_picture(url: str) -> bytes:
    """Fetch an encoded picture; what may go wrong is as for `process_image`."""
    if url.lower().startswith(("http:", "https:")):
        with SnapshotSource(url) as source:
            return source.read().encoded or b""
    path = local_path(url)
    try:
        if not path.is_file():
            raise SourceNotFoundError(f"{redact(url)}: no such picture: give a file, or an http or https address")
        with path.open("rb") as file:
            return file.read(_LIMITS.max_bytes + 1)
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else None
        raise SourceNotFoundError(f"{redact(url)} cannot be read: {why or 'no path'}: give another picture") from exc


def decode(data: bytes, layout: Layout, shown: str) -> NDArray[np.float32]:
    """Decode a picture into an input; see `process_image`.

    Args:
        data: The encoded picture.
        layout: The input's.
        shown: What messages call the picture.
    """
    pixels = np.zeros((layout.height_px, layout.width_px, _RGB), np.uint8)
    resize = Resize(max(pixels.shape[:2]), layout.height_px, layout.width_px)
    try:
        decode_into(data, read_header(data, _LIMITS), resize, pixels)
    except ImageError as exc:
        raise PictureError(f"{shown}: {exc} ({exc.reason}): give another picture") from exc
    image = pixels.astype(np.float32) / np.float32(255)
    image = image.transpose(2, 0, 1) if layout.is_planar else image
    if layout.has_batch:
        image = np.repeat(image[None], layout.count, axis=0)
    return np.ascontiguousarray(image)


def layout_of(shape: Sequence[int]) -> Layout:
    """Tell how an input of this shape holds pictures.

    Raises:
        SourceSettingError: It holds none.
    """
    sizes = tuple(shape)
    count, rest = (sizes[0], sizes[1:]) if len(sizes) == 4 else (1, sizes)
    if len(rest) == 3 and min(sizes) > 0 and _RGB in (rest[0], rest[2]):
        is_planar = rest[2] != _RGB
        height_px, width_px = rest[1:] if is_planar else rest[:2]
        if count * height_px * width_px <= _LIMITS.max_pixels:
            return Layout(count, height_px, width_px, is_planar, len(sizes) == 4)
    raise SourceSettingError(
        f"an input of {list(sizes)} takes no picture: its shape has to be like 1,224,224,3 or 1,3,224,224"
    )


def digest_of(data: bytes | memoryview, *circumstances: object) -> str:
    """Return a name for data: another for others, or for the same in other circumstances."""
    digest = sha256(data)
    digest.update(repr(circumstances).encode())
    return digest.hexdigest()[:32]
