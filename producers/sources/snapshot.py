"""A camera that gives one image for each GET."""

from producers.errors import SourceFailedError
from producers.image_type import content_type_of
from producers.sources.base import Picture, Source
from producers.sources.web import WebBody, WebClient


class SnapshotSource(Source):
    """One image for each GET of an HTTP(S) address; the camera's pace says how often.

    `open` asks for nothing. `read` takes at most `timeout_s` from connecting to the last byte (looking up the
    host's name may add to that what the system's resolver allows itself).

    Args:
        url: The address, perhaps with `user:password@`.
        timeout_s: Seconds for one image.

    Raises:
        SourceSettingError: The address cannot be used.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0) -> None:
        self._client = WebClient(url, timeout_s)
        self.display_name = self._client.shown
        self._is_open = False

    def open(self) -> None:
        """Let `read` ask."""
        self._is_open = True

    def read(self) -> Picture:
        """Get one image."""
        if not self._is_open:
            raise SourceFailedError(f"{self.display_name}: read before it was opened")
        body = self._client.get()
        try:
            return picture_of(body, self.display_name)
        finally:
            body.close()

    def close(self) -> None:
        """Forget an interruption; no connection is kept."""
        self._is_open = False
        self._client.reset()

    def interrupt(self) -> None:
        """Break a GET off."""
        self._client.interrupt()


def picture_of(body: WebBody, shown: str) -> Picture:
    """Read an answer that should be one image.

    Args:
        body: The answer.
        shown: The redacted address, for messages.

    Returns:
        The image, byte for byte.

    Raises:
        SourceFailedError: It is no image, is too large, or broke off.
    """
    data = body.read_all()
    if content_type_of(data) is None:
        raise SourceFailedError(f"{shown}: {body.content_type} instead of a JPEG, PNG, WebP or BMP image")
    return Picture(encoded=data)
