"""What a picture is, by its bytes."""

from engine.errors import ImageError
from engine.images.header import ImageLimits, read_header


def image_type(data: bytes) -> str:
    """Return the content type of an encoded picture that a browser may show; "" where it is none, or a bomb."""
    try:
        return f"image/{read_header(data, ImageLimits()).format.lower()}"
    except ImageError:
        return ""
