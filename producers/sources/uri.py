"""From what a person writes after `--source` to the source that reads it."""

import re
from pathlib import Path

from producers.errors import SourceNotFoundError, SourceSettingError
from producers.image_type import MAGIC_BYTES, content_type_of
from producers.sources.address import local_path, parse_address, redact
from producers.sources.base import Source

__all__ = ["ACCEPTED", "open_source", "redact"]

#: What a source can be, for help texts and messages.
ACCEPTED = (
    "a video file, an image, a directory or pattern of images, rtsp://..., http://... (MJPEG or snapshot), "
    "usb:N, /dev/videoN or synthetic:..."
)

_DEVICE = re.compile(r"usb:[0-9]{1,3}|/dev/video[0-9]+")
_PATTERN = re.compile(r"[*?\[]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


def open_source(uri: str, *, timeout_s: float = 10.0, short_side_px: int | None = None) -> Source:
    """Make the source that `uri` names; nothing is opened yet, and no network is touched.

    A path that exists is a local source whatever colons it has. An `http(s)` address shows when it is opened
    whether it is a stream or a snapshot.

    Args:
        uri: What the user wrote.
        timeout_s: Seconds that `open` or `read` of a network or USB source may take.
        short_side_px: Let video shrink to this short side while it is decoded; None keeps the size.

    Returns:
        The source, not open.

    Raises:
        SourceNotFoundError: A local path that names nothing.
        SourceSettingError: An address that no source takes.
    """
    uri = uri.strip()
    if not uri:
        raise SourceSettingError(f"no source is named; give {ACCEPTED}")
    lowered = uri.lower()
    if lowered.startswith("synthetic:"):
        from producers.sources.synthetic import SyntheticSource

        return SyntheticSource.from_uri(uri)
    if lowered.startswith(("http:", "https:")):
        parse_address(uri)
        from producers.sources.web_camera import HttpSource

        return HttpSource(uri, timeout_s=timeout_s, short_side_px=short_side_px)
    if lowered.startswith(("rtsp:", "rtsps:")) or _DEVICE.fullmatch(uri):
        from producers.sources.video import VideoSource

        return VideoSource(uri, timeout_s=timeout_s, short_side_px=short_side_px)
    return _open_local(uri, short_side_px)


def _open_local(uri: str, short_side_px: int | None) -> Source:
    from producers.sources.images import ImageSource
    from producers.sources.video import VideoSource

    path = local_path(uri)
    try:
        is_directory, is_file = path.is_dir(), path.is_file()
    except (OSError, ValueError):  # too long, or with a null in it: no path at all
        is_directory = is_file = False
    if is_directory or (is_file and _is_image(path)):
        return ImageSource(uri)
    if is_file:
        return VideoSource(uri, short_side_px=short_side_px)
    if _SCHEME.match(uri) and not uri.lower().startswith("file:"):
        # The scheme is not named: it may be a user name.
        raise SourceSettingError(f"{redact(uri)}: no such file and no known kind of address; give {ACCEPTED}")
    if _PATTERN.search(str(path)):
        return ImageSource(uri)
    raise SourceNotFoundError(f"{redact(uri)}: no such file; give {ACCEPTED}")


def _is_image(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return content_type_of(file.read(MAGIC_BYTES)) is not None
    except OSError:
        return False  # opening it as a video says why
