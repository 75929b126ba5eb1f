"""Writing under a picture what was said about it."""

from collections.abc import Mapping
from io import BytesIO
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from engine.errors import ImageError
from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from messaging.outcome import Classified
from streamer.evidence.errors import PictureError
from streamer.evidence.stored_outcome import StoredOutcome
from streamer.terminal import harmless

#: Pillow's name of the format, by the suffix of a file.
FORMATS: Mapping[str, str] = MappingProxyType(
    {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".bmp": "BMP"}
)

_MAX_LABEL_CHARS = 60
_MAX_SCORE_CHARS = 12
_MIN_WIDTH_PX = 192
_MIN_FONT_PX, _MAX_FONT_PX = 11, 48
#: Characters that a caption of the largest letters may have before they get smaller, about.
_WIDTH_PER_FONT = 16
_BACKGROUND, _INK = "#16181d", "#d7dae0"


def caption_of(outcome: StoredOutcome | None) -> str:
    """Return what stands under a picture, in one line; names from outside are cut, and have no control characters."""
    if outcome is None:
        return "no outcome yet"
    if isinstance(outcome.answer, Classified):
        score = f"{outcome.answer.score:.3f}"[:_MAX_SCORE_CHARS]
        return f"{score}  {harmless(outcome.answer.label, _MAX_LABEL_CHARS)}"
    status = outcome.status.replace("dead-lettered", "dead letter")
    return f"{status}: {harmless(outcome.reason, _MAX_LABEL_CHARS)}" if outcome.reason else status


def draw_caption(data: bytes, caption: str, image_format: str, limits: ImageLimits) -> bytes:
    """Put a caption under a picture; the picture itself is whole, so that nothing is hidden.

    Args:
        data: The encoded picture: JPEG, PNG, WebP or BMP.
        caption: One line; it gets smaller, and is cut, until it fits. What is no ASCII is escaped: Pillow's own font
            has no more, and would draw the same box for all of it.
        image_format: One of the values of `FORMATS`.
        limits: What is decoded, at the most.

    Returns:
        The new picture, encoded.

    Raises:
        PictureError: It cannot be decoded, or is too large for the format.
    """
    try:
        header = read_header(data, limits)
        row = np.empty((header.height_px, header.width_px, 3), np.uint8)
        decode_into(data, header, Resize(min(row.shape[:2]), *row.shape[:2]), row)
    except ImageError as exc:
        raise PictureError(
            f"nothing can be drawn on the picture, {exc.reason}: {exc} (--raw writes its bytes)"
        ) from exc
    width_px = max(header.width_px, _MIN_WIDTH_PX)
    text, font = _fitted(caption.replace("…", "...").encode("ascii", "backslashreplace").decode(), width_px)
    strip_px = round(font.size * 1.7)
    canvas = Image.new("RGB", (width_px, header.height_px + strip_px), _BACKGROUND)
    canvas.paste(Image.fromarray(row), ((width_px - header.width_px) // 2, 0))
    middle = header.height_px + strip_px / 2
    ImageDraw.Draw(canvas).text((font.size / 2, middle), text, _INK, font, anchor="lm")
    buffer = BytesIO()
    try:
        canvas.save(buffer, image_format, quality=90)
    except (OSError, ValueError) as exc:
        size = f"{canvas.width}×{canvas.height}"
        raise PictureError(f"a picture of {size} pixels cannot be a {image_format}: give another suffix") from exc
    return buffer.getvalue()


def _fitted(caption: str, width_px: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return the caption, cut if need be, and the largest font in which it fits."""
    font_px = min(max(width_px // _WIDTH_PER_FONT, _MIN_FONT_PX), _MAX_FONT_PX)
    font = _font(font_px)
    room_px = width_px - font_px
    if (length_px := font.getlength(caption)) > room_px:
        font = _font(max(int(font_px * room_px / length_px), _MIN_FONT_PX))
        room_px = width_px - round(font.size)
    shown = caption
    while font.getlength(shown) > room_px:
        shown = f"{shown[:-4]}..."
    return shown, font


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "with a size it is always one"
    return font
