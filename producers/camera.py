"""A camera: a source read at its pace, each picture encoded, numbered and published; failures are retried."""

import logging
import random
import time
from dataclasses import dataclass
from secrets import token_hex
from threading import Event
from typing import Literal

from messaging.frame import Frame, frame_id
from messaging.kafka import MAX_FRAME_BYTES
from messaging.status import CameraStatus
from messaging.timestamps import format_us, now_us
from producers.encoding import JpegEncoder
from producers.errors import PictureError, SourceFailedError, SourceNotFoundError, SourceSettingError
from producers.pacing import Backoff, Pacer
from producers.pictures import paced
from producers.publisher import CameraLedger, FramePublisher
from producers.sources.base import Picture, Source

log = logging.getLogger(__name__)

State = Literal["connecting", "running", "retrying", "stopped", "failed"]
DEFAULT_FPS = 25.0


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """How a camera runs.

    Attributes:
        fps: Frames/s; None takes the source's own rate, else 25.
        frames: Stop after so many; None goes on.
        does_loop: Begin again at the end of a source that ends.
    """

    fps: float | None = None
    frames: int | None = None
    does_loop: bool = False


class Camera:
    """One camera of this process, run by one thread.

    A session begins with the object; sequences count from 0 in it, and a reconnect keeps both. Each frame that gets
    a sequence is published or accounted for.
    """

    def __init__(
        self, name: str, source: Source, encoder: JpegEncoder, publisher: FramePublisher, options: CameraOptions
    ) -> None:
        """Put a camera together; `run` starts it."""
        self.name = name
        self._source = source
        self._encoder = encoder
        self._publisher = publisher
        self._options = options
        self._ledger = CameraLedger(name, f"{now_us():x}{token_hex(2)}")
        self._state: State = "connecting"
        self._error: str | None = None
        #: How often the source failed and was tried again.
        self.reconnects = 0
        self._backoff = Backoff()
        #: Frames/s that were asked for, or that the source names; None while nobody knows.
        self.fps_declared = options.fps
        #: Frames/s captured between the last two reports.
        self.fps_delivered = 0.0
        self._previous = (time.monotonic(), 0)

    @property
    def ledger(self) -> CameraLedger:
        """What became of the frames of this session."""
        return self._ledger

    @property
    def state(self) -> State:
        """What the camera is doing; `stopped` and `failed` are final."""
        return self._state

    @property
    def error(self) -> str | None:
        """Why it is `retrying` or `failed`, one line."""
        return self._error

    def run(self, until: Event) -> None:
        """Read and publish until told to stop, until the source ends, or until it can never work."""
        try:
            while not (until.is_set() or self._is_complete()):
                try:
                    if not self._read_through(until):
                        break
                except SourceFailedError as exc:
                    self._state, self._error = "retrying", str(exc)
                    delay_s = self._backoff.failed(random.random())  # noqa: S311 - jitter is no secret
                    log.warning("camera %s: %s; next try in %.1f s", self.name, exc, delay_s)
                    self.reconnects += 1
                    until.wait(delay_s)
            self._state, self._error = "stopped", None
        except (SourceNotFoundError, SourceSettingError) as exc:
            self._fail(exc)
        except Exception as exc:
            log.debug("camera %s", self.name, exc_info=True)
            self._fail(exc)

    def interrupt(self) -> None:
        """Make a source that waits come back soon. From another thread."""
        self._source.interrupt()

    def status(self) -> CameraStatus:
        """Return the camera's report about itself, with the rate since the last one."""
        now_s, captured = time.monotonic(), self._ledger.captured
        before_s, before = self._previous
        self._previous = (now_s, captured)
        self.fps_delivered = round((captured - before) / max(now_s - before_s, 1e-3), 2)
        shed = self._ledger.shed.total
        return CameraStatus(
            camera=self.name,
            session=self._ledger.session,
            source=self._source.display_name,
            state=self._state,
            captured=captured,
            sent=self._ledger.sent,
            shed={"camera-buffer-full": shed} if shed else {},
            fps_declared=self.fps_declared,
            fps_delivered=self.fps_delivered,
            reconnects=self.reconnects,
            updated_at=format_us(now_us()),
            error=self._error,
        )

    def _fail(self, exc: Exception) -> None:
        self._state, self._error = "failed", " ".join(str(exc).split())
        log.error("camera %s: %s", self.name, self._error)

    def _is_complete(self) -> bool:
        return self._options.frames is not None and self._ledger.captured >= self._options.frames

    def _read_through(self, until: Event) -> bool:
        """Open the source and read it to its end; False where there is nothing more to read."""
        before = self._ledger.captured
        with self._source:
            for picture in paced(self._source, self._pacer(), until):
                self._publish(picture, now_us())
                if self._is_complete():
                    return False
            return False if until.is_set() else self._ended(before)

    def _pacer(self) -> Pacer | None:
        """Return the pace: as asked for, else the source's own, else 25/s; a live source keeps its own."""
        own = self._source.fps
        self.fps_declared = self._options.fps or own or (None if self._source.is_live else DEFAULT_FPS)
        if self._source.is_live and self._options.fps is None:
            return None
        return Pacer(self.fps_declared or DEFAULT_FPS)

    def _ended(self, before: int) -> bool:
        """Tell whether a source that came to its end is read again."""
        if self._source.is_live:
            raise SourceFailedError(f"{self._source.display_name} ended")
        if self._options.does_loop and self._ledger.captured == before:
            raise SourceFailedError(f"{self._source.display_name} gave no picture that can be used")
        return self._options.does_loop

    def _publish(self, picture: Picture, captured_at_us: int) -> None:
        try:
            encoded = self._encoder.encode(picture)
        except PictureError as exc:
            log.warning("camera %s: a picture was left out: %s", self.name, exc)
            return
        if len(encoded.data) > MAX_FRAME_BYTES:
            log.warning(
                "camera %s: a picture of %d bytes was left out: a message takes %d (try a smaller --short-side)",
                self.name,
                len(encoded.data),
                MAX_FRAME_BYTES,
            )
            return
        ledger = self._ledger
        sequence = ledger.captured
        ledger.captured += 1
        if self._state != "running":
            self._state, self._error = "running", None
            self._backoff.succeeded()
        frame = Frame(
            camera=self.name,
            session=ledger.session,
            sequence=sequence,
            frame_id=frame_id(self.name, ledger.session, sequence),
            captured_at_us=captured_at_us,
            data=encoded.data,
            content_type=encoded.content_type,
            traceparent="",
            truth=picture.truth,
        )
        self._publisher.publish(ledger, frame)
