"""Video files, RTSP cameras and USB cameras."""

import errno
import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from producers.errors import SourceFailedError, SourceNotFoundError, SourceSettingError
from producers.sources.address import local_path, parse_address, redact
from producers.sources.base import Picture, Source
from producers.sources.tls import trust_of
from producers.sources.video_reader import AV_ERRORS, VideoReader, describe
from producers.sources.worker import Worker

_Result = TypeVar("_Result")

# Containers and raw streams alone: no play list or script (concat, hls, dash, sdp) that names further files.
_FILE_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,m4v,flv,asf,ogg,nut,ivf,obu,gif,"
    "h264,hevc,mjpeg,mpjpeg,yuv4mpegpipe,dv,mxf,wtv,rm"
)
_RTSP_OPTIONS = {
    "rtsp_transport": "tcp",
    "allowed_media_types": "video",  # packets of audio would keep a stream alive whose picture is frozen
    # Half a second tells all that is needed. The packets read for it are kept (no `nobuffer`): without them
    # the first picture waits for the next key frame, 0.8 s instead of 0.0 s with one key frame a second.
    "analyzeduration": "500000",
}
_USB = re.compile(r"usb:([0-9]{1,3})")
_DEVICE = re.compile(r"/dev/video[0-9]+")


@dataclass(frozen=True, slots=True)
class _Input:
    """What PyAV is asked to open."""

    target: str
    path: Path | None = None
    is_live: bool = True
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    is_checked: bool = False


class VideoSource(Source):
    """A video file, an RTSP stream (over TCP) or a USB camera.

    A file is read to its end, and opening it again starts at its beginning. Pictures stand upright where the file
    says how it was turned. A live stream that ends, freezes or breaks raises; opening it again is the camera's
    part. It is read by a helper thread, so that neither FFmpeg nor a driver can block longer than the time-out.

    FFmpeg is given `file`, `rtsp` and `rtsps` addresses and video devices, and no other of its protocols. The
    certificates of `rtsps` cameras are checked (FFmpeg by itself would not): see `tls.trust_of`. An RTSP camera may
    redirect to any other one, and FFmpeg takes the user name and password along; it has no option that forbids it.

    Args:
        uri: A path, `file://...`, `rtsp://...`, `rtsps://...`, `usb:N` or `/dev/videoN`.
        timeout_s: Seconds that `open` or `read` may take at a live source.
        short_side_px: Shrink to this short side while converting; None keeps the size. Never enlarges.

    Raises:
        SourceSettingError: The URI cannot be used.
    """

    def __init__(self, uri: str, *, timeout_s: float = 10.0, short_side_px: int | None = None) -> None:
        self.display_name = redact(uri)
        self._input = _resolve(uri)
        self.is_live = self._input.is_live
        self._timeout_s = timeout_s
        self._short_side_px = short_side_px
        self._reader: VideoReader | None = None
        self._worker: Worker | None = None
        self._fps: float | None = None

    @property
    def fps(self) -> float | None:
        """The stream's average rate in frames/s, once open."""
        return self._fps

    def check(self) -> None:
        """Refuse a file or device that is not there, and a file that is no video."""
        self._find()
        if not self.is_live:
            self.open()
            self.close()

    def _find(self) -> None:
        path = self._input.path
        if path is None:
            return
        try:
            mode = path.stat().st_mode
        except (OSError, ValueError):
            mode = 0
        if self.is_live and not stat.S_ISCHR(mode):
            present = ", ".join(sorted(str(found) for found in Path("/dev").glob("video*"))) or "none"
            raise SourceNotFoundError(f"{self.display_name}: no such camera; present are: {present}")
        if not self.is_live and not stat.S_ISREG(mode):
            raise SourceNotFoundError(f"{self.display_name}: no such video file")

    def open(self) -> None:
        """Open the file from its start, or the live stream from now."""
        self.close()
        self._find()
        if self.is_live:
            self._worker = Worker(f"video {self.display_name}")
            self._worker.start()
        self._reader = self._run(self._connect)
        self._fps = self._reader.fps

    def read(self) -> Picture | None:
        """Give the next picture."""
        if self._reader is None:
            raise SourceFailedError(f"{self.display_name}: read before it was opened")
        picture = self._run(self._reader.next)
        if picture is None and self.is_live:
            raise SourceFailedError(f"{self.display_name}: the stream ended")
        return picture

    def close(self) -> None:
        """Close the video; a thread that is still blocked in it closes it later."""
        worker, self._worker = self._worker, None
        reader, self._reader = self._reader, None
        self._fps = None
        if worker:
            worker.finish(reader.close if reader else lambda: None)
        elif reader:
            reader.close()

    def interrupt(self) -> None:
        """Make a blocked `open` or `read` of a live source fail at once."""
        worker = self._worker
        if worker:
            worker.interrupt()

    def _connect(self) -> VideoReader:
        import av

        timeout_s = self._timeout_s if self.is_live else None
        container = av.open(
            self._input.target,
            format=self._input.format,
            options=dict(self._input.options),
            timeout=(timeout_s, timeout_s),
        )
        return VideoReader(container, timeout_s=timeout_s, short_side_px=self._short_side_px, is_live=self.is_live)

    def _run(self, job: Callable[[], _Result]) -> _Result:
        """Run a job of PyAV's, in the helper thread where there is one."""
        try:
            return self._worker.call(job, self._timeout_s) if self._worker else job()
        except AV_ERRORS as exc:
            failure = describe(exc)
        if self._input.is_checked and not self._reader and failure == os.strerror(errno.EIO):  # all that FFmpeg says
            failure += "; its certificate may be one that nobody vouches for: add #tls-ca=FILE to the address"
        # Outside of `except`: PyAV's exception quotes the address, password included, and would be its context.
        if self.is_live or self._reader:
            raise SourceFailedError(f"{self.display_name}: {failure}")
        raise SourceSettingError(f"{self.display_name}: {failure}; give a video file that can be read")


def _resolve(uri: str) -> _Input:
    usb = _USB.fullmatch(uri)
    if usb or _DEVICE.fullmatch(uri):
        device = f"/dev/video{int(usb[1])}" if usb else uri
        return _Input(device, path=Path(device), format="v4l2", options={"protocol_whitelist": "none"})
    if uri.lower().startswith(("rtsp:", "rtsps:")):
        address = parse_address(uri)
        trust = trust_of(address, redact(uri))
        options = _RTSP_OPTIONS | {"protocol_whitelist": "rtsp,tcp"}
        if address.scheme == "rtsps":
            options |= {"protocol_whitelist": "rtsp,tls,tcp", "tls_verify": "1" if trust.is_checked else "0"}
            options |= {"ca_file": trust.authorities} if trust.is_checked else {}
        target = uri.strip().removesuffix(f"#{address.tls_options}")
        return _Input(target, options=options, is_checked="ca_file" in options)
    if "://" in uri and not uri.lower().startswith("file:"):
        raise SourceSettingError(f"{redact(uri)}: only file, rtsp and rtsps are read as video")
    path = local_path(uri)
    # No absolute path is taken for a protocol, whatever colons it has.
    options = {"protocol_whitelist": "file", "format_whitelist": _FILE_FORMATS}
    return _Input(str(path.absolute()), path=path, is_live=False, options=options)
