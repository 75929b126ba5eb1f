"""An HTTP(S) address that turns out to be a stream or a snapshot when it is asked."""

from typing import Literal

import av

from producers.errors import SourceFailedError
from producers.sources.base import Picture, Source
from producers.sources.snapshot import picture_of
from producers.sources.video_reader import AV_ERRORS, VideoReader, describe
from producers.sources.web import WebBody, WebClient

# What may be read before a stream's first picture.
_MAX_PROBE_BYTES = 16 * 1024 * 1024

_MULTIPART = "multipart/x-mixed-replace"
_STREAM_FORMATS = "mov,mp4,matroska,webm,mpegts,flv,h264,hevc,mjpeg,mpjpeg"


class HttpSource(Source):
    """Asks an HTTP(S) address once in `open` and goes by the answer's content type.

    An image makes it a snapshot camera: `is_live` is False, each `read` is one GET. A
    `multipart/x-mixed-replace` (MJPEG) or `video/...` answer is read as a stream from the connection that `open`
    made, for many cameras allow one alone; `is_live` is then True, or False where the server tells its length.

    `is_live` and `fps` hold once it is open. All of HTTP is done by `WebClient`; FFmpeg opens no connection.

    Args:
        url: The address, perhaps with `user:password@`.
        timeout_s: Seconds that `open` or one `read` may take.
        short_side_px: Shrink video to this short side while converting; None keeps the size. MJPEG and
            snapshots come byte for byte.

    Raises:
        SourceSettingError: The address cannot be used.
    """

    def __init__(self, url: str, *, timeout_s: float = 10.0, short_side_px: int | None = None) -> None:
        self._client = WebClient(url, timeout_s)
        self.display_name = self._client.shown
        self._timeout_s = timeout_s
        self._short_side_px = short_side_px
        self._state: Literal["closed", "snapshot", "stream"] = "closed"
        self._first: Picture | None = None
        self._body: WebBody | None = None
        self._reader: VideoReader | None = None

    @property
    def fps(self) -> float | None:
        """A stream's average rate in frames/s, where it has one."""
        return self._reader.fps if self._reader else None

    def open(self) -> None:
        """Ask, and find out what the address is."""
        self.close()
        body = self._client.get()
        self._body = body
        try:
            if body.content_type == _MULTIPART or body.content_type.startswith("video/"):
                self.is_live = body.is_endless
                self._reader = self._open_stream(body)
                self._state = "stream"
            else:
                self._first = picture_of(body, self.display_name)
                self.is_live = False
                self._state = "snapshot"
                self._let_go()
        except SourceFailedError:
            self._let_go()
            raise

    def read(self) -> Picture | None:
        """Give the stream's next picture, or get the next image."""
        if self._state == "closed":
            raise SourceFailedError(f"{self.display_name}: read before it was opened")
        if self._reader and self._body:
            self._body.restart(self._timeout_s)
            return self._read_stream(self._reader)
        if self._first is not None:
            picture, self._first = self._first, None
            return picture
        self._body = self._client.get()
        try:
            return picture_of(self._body, self.display_name)
        finally:
            self._let_go()

    def close(self) -> None:
        """Close the connection and forget an interruption."""
        self._state = "closed"
        self._first = None
        self._let_go()
        self._client.reset()

    def interrupt(self) -> None:
        """Break the connection off; a blocked `open` or `read` fails at once."""
        self._client.interrupt()

    def _open_stream(self, body: WebBody) -> VideoReader:
        # The time that `get` took counts: both share the deadline.
        body.limit(_MAX_PROBE_BYTES)
        is_multipart = body.content_type == _MULTIPART
        try:
            container = av.open(
                body,
                mode="r",
                format="mpjpeg" if is_multipart else None,
                options={"protocol_whitelist": "none", "format_whitelist": _STREAM_FORMATS},
            )
            return VideoReader(
                container, timeout_s=self._timeout_s, short_side_px=self._short_side_px, is_live=is_multipart
            )
        except AV_ERRORS as exc:  # what `body` raises passes through PyAV unchanged
            failure = describe(exc)
        raise SourceFailedError(f"{self.display_name}: {failure} ({body.content_type})")

    def _read_stream(self, reader: VideoReader) -> Picture | None:
        failure = None
        try:
            picture = reader.next()
        except AV_ERRORS as exc:
            failure = describe(exc)
        else:
            if picture is not None or not self.is_live:
                return picture
        raise SourceFailedError(f"{self.display_name}: {failure or 'the stream ended'}")

    def _let_go(self) -> None:
        reader, self._reader = self._reader, None
        body, self._body = self._body, None
        if reader:
            reader.close()
        if body:
            body.close()
