"""Telling an image file from other files by its first bytes."""

JPEG, PNG, WEBP, BMP = "image/jpeg", "image/png", "image/webp", "image/bmp"

#: As many bytes as `content_type_of` looks at.
MAGIC_BYTES = 32

# The sizes that a BMP's second header can have.
# Source: https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types
_BMP_HEADER_BYTES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


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
