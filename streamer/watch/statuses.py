"""What cameras and workers say about themselves: the newest status of each."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from messaging.errors import MessageError
from messaging.frame import MAX_CAMERA_CHARS, MAX_ID_CHARS
from messaging.status import CameraStatus, WorkerStatus, read_status
from streamer.watch.roster import Roster

#: A camera says some 400 bytes, and a worker 100 for each of its partitions.
_MAX_CAMERA_BYTES = 16 * 1024
_MAX_WORKER_BYTES = 128 * 1024
_WORKER_KEY = b"worker/"
_CAMERA_KEY = b"camera/"

S = TypeVar("S")


@dataclass(slots=True)
class Said(Generic[S]):
    """The newest status of one; None before the first.

    Attributes:
        at_s: When it was said, s since 1970.
    """

    status: S | None = None
    at_s: float = 0.0


class Statuses:
    """Keeps the newest status of each camera and worker, and forgets those that are deleted from the topic.

    Attributes:
        cameras: By name.
        workers: By group, host, device and slot, with `/` between them, as in the key of their statuses.
    """

    def __init__(self, cameras: int = 1000, workers: int = 500) -> None:
        """Begin with none; the numbers say how many are kept."""
        self.cameras: Roster[Said[CameraStatus]] = Roster(cameras, Said)
        self.workers: Roster[Said[WorkerStatus]] = Roster(workers, Said)

    def take(self, record: Any, at_s: float) -> None:
        """Take in a record of the status topic (kafka-python's `ConsumerRecord`) of that time, s since 1970.

        Raises:
            MessageError: It is no status of streamer.
        """
        key, value = record.key or b"", record.value
        if value is None:
            self._forget(key)
            return
        if len(value) > (_MAX_WORKER_BYTES if key.startswith(_WORKER_KEY) else _MAX_CAMERA_BYTES):
            raise MessageError("a status that is too large to be one of streamer's")
        status = read_status(value)
        if isinstance(status, CameraStatus):
            if len(status.camera) > MAX_CAMERA_CHARS:
                raise MessageError("a status of a camera whose name is too long")
            if (camera := self.cameras.hear(status.camera, at_s)) is not None:
                camera.status, camera.at_s = status, at_s
            return
        name = f"{status.group}/{status.host}/{status.device}/{status.slot}"
        if len(name) > MAX_ID_CHARS:
            raise MessageError("a status of a worker whose name is too long")
        if (worker := self.workers.hear(name, at_s)) is not None:
            worker.status, worker.at_s = status, at_s

    def _forget(self, key: bytes) -> None:
        text = key.decode(errors="replace")
        if key.startswith(_CAMERA_KEY):
            self.cameras.drop(text.removeprefix(_CAMERA_KEY.decode()))
        elif key.startswith(_WORKER_KEY):
            self.workers.drop(text.removeprefix(_WORKER_KEY.decode()))
