"""What cameras and workers say about themselves: the newest status of each."""

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from messaging.errors import MessageError
from messaging.frame import MAX_CAMERA_CHARS, MAX_ID_CHARS
from messaging.status import CameraStatus, WorkerStatus, read_status
from streamer.watch.roster import Roster

#: A camera says some 400 bytes, and a worker 100 for each of its partitions.
_MAX_CAMERA_BYTES = 16 * 1024
_MAX_WORKER_BYTES = 128 * 1024
#: Pages draw each of them, once a second.
_MAX_STEPS = 32
_MAX_PARTITIONS = 2000
_MAX_REASONS = 32
_MAX_TEXT_CHARS = 200
_MAX_ERROR_CHARS = 500
_WORKER_KEY = b"worker/"
_CAMERA_KEY = b"camera/"

S = TypeVar("S")
T = TypeVar("T", bound=msgspec.Struct)


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
            _check_count(status.shed, _MAX_REASONS, "reasons")
            if (camera := self.cameras.hear(status.camera, at_s)) is not None:
                camera.status, camera.at_s = _shortened(status), at_s
            return
        name = f"{status.group}/{status.host}/{status.device}/{status.slot}"
        if len(name) > MAX_ID_CHARS:
            raise MessageError("a status of a worker whose name is too long")
        _check_count(status.steps, _MAX_STEPS, "steps")
        _check_count(status.partitions, _MAX_PARTITIONS, "partitions")
        _check_count(status.first_offsets, _MAX_PARTITIONS, "first offsets")
        if (worker := self.workers.hear(name, at_s)) is not None:
            steps = tuple(_shortened(step) for step in status.steps)
            worker.status, worker.at_s = msgspec.structs.replace(_shortened(status), steps=steps), at_s

    def _forget(self, key: bytes) -> None:
        text = key.decode(errors="replace")
        if key.startswith(_CAMERA_KEY):
            self.cameras.drop(text.removeprefix(_CAMERA_KEY.decode()))
        elif key.startswith(_WORKER_KEY):
            self.workers.drop(text.removeprefix(_WORKER_KEY.decode()))


def _check_count(items: Sized, limit: int, what: str) -> None:
    if len(items) > limit:
        raise MessageError(f"a status with {len(items)} {what}, which is more than the {limit} that are kept")


def _shortened(told: T) -> T:
    """Cut texts that are too long for a page."""
    texts = {
        name: text[: _MAX_ERROR_CHARS if name == "error" else _MAX_TEXT_CHARS]
        for name, text in msgspec.structs.asdict(told).items()
        if isinstance(text, str) and len(text) > _MAX_TEXT_CHARS
    }
    return msgspec.structs.replace(told, **texts) if texts else told
