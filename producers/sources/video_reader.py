"""Pictures from an open video, through PyAV."""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from producers.sources.base import Picture
from producers.sources.worker import InterruptedCallError


class NoVideoError(Exception):
    """A container holds no video that can be decoded."""


#: What may go wrong inside PyAV and around it.
AV_ERRORS = (av.error.FFmpegError, OSError, ValueError, RuntimeError, InterruptedCallError, NoVideoError)

#: A stream that claims more pixels a frame is not decoded.
MAX_PIXELS = 64_000_000

# Above it, a rate is an artefact of the clock that the stream counts in.
_MAX_FPS = 240

# Some USB cameras leave the Huffman tables out. Not every decoder knows the usual ones by heart, but FFmpeg does.
_HUFFMAN_TABLE = b"\xff\xc4"
_TABLES_END_BYTES = 4096
# What some cameras put behind a JPEG's end.
_PADDING_BYTES = 4096


class VideoReader:
    """Reads one open container picture by picture.

    One thread decodes (many cameras share a process), and swscale shrinks and converts to RGB in one pass: from
    1280x720 to a short side of 256 that takes a quarter of the CPU of a full conversion and Pillow (1.4 of 5.9 ms).

    The packets of a live MJPEG stream are JPEG files already; they are given as they came and not decoded.

    Args:
        container: An open container; the reader closes it.
        timeout_s: A picture must come within so many seconds though packets keep coming; None for a file.
        short_side_px: Shrink to this short side; None keeps the size. Pictures are never enlarged.
        is_live: The packets of MJPEG may be given as pictures.

    Raises:
        NoVideoError: There is no video that can be decoded.
    """

    def __init__(
        self, container: InputContainer, *, timeout_s: float | None, short_side_px: int | None, is_live: bool
    ) -> None:
        self._container = container
        self._timeout_s = timeout_s
        self._short_side_px = short_side_px
        self._frames: deque[VideoFrame] = deque()
        self._stream = _video_stream(container)
        context = self._stream.codec_context
        context.thread_type = "SLICE"  # threads by frame would hold frames back
        context.thread_count = 1
        context.options = {"max_pixels": str(MAX_PIXELS)}
        self._may_give_packets = is_live and context.name == "mjpeg"
        self._packets: Iterator[Packet[VideoStream]] = container.demux(self._stream)

    @property
    def fps(self) -> float | None:
        """The stream's average rate in frames/s; None where it has none that is plausible."""
        rate = self._stream.average_rate
        return float(rate) if rate and 0 < rate <= _MAX_FPS else None

    def next(self) -> Picture | None:
        """Give the next picture, or None at the end.

        Packets which cannot be decoded are passed over: a lost one must not end a stream.

        Raises:
            TimeoutError: Packets come, but no picture in time.
        """
        end_s = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        while not self._frames:
            packet = next(self._packets, None)
            if packet is None:
                return None
            data = bytes(packet) if self._may_give_packets else b""
            if _is_whole_jpeg(data) and _HUFFMAN_TABLE in data[:_TABLES_END_BYTES]:
                return Picture(encoded=data)
            if not self._may_give_packets or _is_whole_jpeg(data):
                self._decode(packet)
            if end_s is not None and not self._frames and time.monotonic() > end_s:
                raise TimeoutError("packets arrive, but none can be decoded")
        return self._picture(self._frames.popleft())

    def close(self) -> None:
        """Close the container."""
        self._frames.clear()
        self._packets = iter(())
        self._container.close()

    def _decode(self, packet: "Packet[VideoStream]") -> None:
        with suppress(av.error.InvalidDataError):
            self._frames.extend(frame for frame in packet.decode() if isinstance(frame, VideoFrame))

    def _picture(self, frame: VideoFrame) -> Picture:
        width_px, height_px = self._size(frame.width, frame.height)
        is_smaller = (width_px, height_px) != (frame.width, frame.height)
        # With threads left to choose, swscale starts one for each core.
        rgb = frame.reformat(
            width_px, height_px, format="rgb24", interpolation="AREA" if is_smaller else None, threads=1
        )
        pixels = rgb.to_ndarray()
        if frame.rotation:
            pixels = np.rot90(pixels, round(frame.rotation / 90))
        # PyAV's rows are padded to 32 bytes where the width is no multiple.
        return Picture(pixels=np.ascontiguousarray(pixels, dtype=np.uint8))

    def _size(self, width_px: int, height_px: int) -> tuple[int, int]:
        short_px = min(width_px, height_px)
        if self._short_side_px is None or short_px <= self._short_side_px:
            return width_px, height_px
        return (
            (width_px * self._short_side_px + short_px // 2) // short_px,
            (height_px * self._short_side_px + short_px // 2) // short_px,
        )


def describe(exc: Exception) -> str:
    """Say what went wrong without quoting the address, as PyAV's own messages do.

    Args:
        exc: One of `AV_ERRORS`.

    Returns:
        FFmpeg's own words for the error's number.
    """
    if isinstance(exc, av.error.ExitError | av.error.TimeoutError):
        return "timed out"
    if isinstance(exc, TimeoutError | InterruptedCallError | NoVideoError):
        return str(exc)  # our own words
    if isinstance(exc, av.error.ArgumentError | av.error.InvalidDataError):
        return "no video that is understood"
    if isinstance(exc, av.error.FFmpegError | OSError) and exc.strerror:
        return exc.strerror
    return type(exc).__name__


def _video_stream(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        # PyAV has no context for a codec that FFmpeg cannot decode.
        if getattr(stream, "codec_context", None) is not None:
            return stream
    container.close()
    raise NoVideoError("there is no video in it that can be decoded")


def _is_whole_jpeg(data: bytes) -> bool:
    """Tell a picture from the half of one, which FFmpeg gives where a connection ends."""
    return data.startswith(b"\xff\xd8\xff") and data[-_PADDING_BYTES:].rstrip(b"\0\r\n").endswith(b"\xff\xd9")
