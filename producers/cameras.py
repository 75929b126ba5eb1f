"""All cameras of a process: a thread each, one publisher, and a report every second."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Lock, Thread
from typing import Final

from messaging.status import write_status
from messaging.timestamps import now_us
from producers.camera import Camera
from producers.metrics import show_cameras
from producers.publisher import FramePublisher

log = logging.getLogger(__name__)

_REPORT_INTERVAL_S: Final = 1.0
_TICK_S: Final = 0.2
_STOP_TIMEOUT_S: Final = 2.0
_DRAIN_TIMEOUT_S: Final = 10.0


class Cameras:
    """Runs cameras until they are done or told to stop."""

    def __init__(self, cameras: Sequence[Camera], publisher: FramePublisher) -> None:
        """Put them together; `run` starts them."""
        self.cameras = tuple(cameras)
        self._publisher = publisher
        self._running = len(self.cameras)
        self._lock = Lock()
        self._all_done = Event()
        self._number = 0
        self._awaited: set[str] = set()

    def run(self, until: Event, progress: Callable[[], None] = lambda: None) -> int:
        """Run until every camera is done, or until told to stop.

        Args:
            until: Stops all cameras.
            progress: Called about once a second.

        Returns:
            How many frames, and notices of shed frames, the broker does not have at the end.

        Raises:
            BrokerUnavailableError: No broker answers at the start.
            FramesRefusedError: Kafka refuses frames for good.
        """
        self._publisher.open()
        stop = Event()
        self._report()  # before the first frame, so that the session is known
        for camera in self.cameras:
            Thread(target=self._run_one, args=(camera, stop), name=f"camera-{camera.name}", daemon=True).start()
        try:
            next_s = time.monotonic() + _REPORT_INTERVAL_S
            while not (self._all_done.wait(_TICK_S) or until.is_set() or self._publisher.failure):
                if time.monotonic() >= next_s:
                    next_s += _REPORT_INTERVAL_S
                    self._report()
                    progress()
        finally:
            stop.set()
            if not self._all_done.wait(_TICK_S):  # a source waits for a picture that may never come
                for camera in self.cameras:
                    camera.interrupt()
                self._all_done.wait(_STOP_TIMEOUT_S)
            left = self._publisher.drain(_DRAIN_TIMEOUT_S)
            self._awaited.clear()
            self._report()
            self._publisher.close()
        if self._publisher.failure is not None:
            raise self._publisher.failure
        return left

    def show_metrics(self, frames_topic: str) -> None:
        """Have the cameras' figures looked at by whatever SDK is set up by now."""
        show_cameras(self.cameras, self._publisher, frames_topic)

    def why_not_ready(self) -> str:
        """Return, in a line, why not every camera's frames arrive; "" where they do. Any thread."""
        waiting = [camera for camera in self.cameras if camera.state in ("connecting", "retrying", "failed")]
        if waiting:
            count = f"{len(waiting)} of {len(self.cameras)}"
            return f"camera {waiting[0].name} is {waiting[0].state}; {count} cameras give no frames"
        return self._publisher.why_not_ready()

    def _run_one(self, camera: Camera, stop: Event) -> None:
        try:
            camera.run(stop)
        finally:
            with self._lock:
                self._running -= 1
                if not self._running:
                    self._all_done.set()

    def _report(self) -> None:
        """Send each camera's status, unless the broker has not taken its last one."""
        for camera in self.cameras:
            if camera.name not in self._awaited:
                self._number += 1
                self._awaited.add(camera.name)
                message = write_status(camera.status(), self._number, now_us())
                self._publisher.send_aside(message, partial(self._awaited.discard, camera.name))
