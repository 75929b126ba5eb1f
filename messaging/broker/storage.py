"""The data directory of an embedded broker: locked, identified, and swept where it was temporary."""

import base64
import fcntl
import os
import re
import shutil
import tempfile
import time
import uuid
from pathlib import Path
from typing import Final

from messaging.broker.errors import BrokerBusyError, BrokerSettingError

_TEMPORARY_PREFIX: Final = "aic-streamer-broker-"
#: A directory that is younger may not have been locked yet by the broker that made it, in s.
_SWEEP_AFTER_S: Final = 60.0


class DataDirectory:
    """A data directory that this process has for itself.

    The lock is the open file's, and the broker's nodes inherit that file: the directory is free again only when
    the last of them has ended, even where this process was killed.

    Args:
        path: The directory, made if need be; None for a temporary one, deleted by `close`.

    Raises:
        BrokerBusyError: Another broker has it.
        BrokerSettingError: It cannot be made or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._is_temporary = path is None
        try:
            if path is None:
                sweep_temporary_directories(Path(tempfile.gettempdir()))
                path = Path(tempfile.mkdtemp(prefix=_TEMPORARY_PREFIX))
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path = path.resolve()
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise BrokerSettingError(f"data directory {path} cannot be used ({exc.strerror}); choose another") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            owner = os.read(lock, 20).decode(errors="replace").strip()
            os.close(lock)
            raise BrokerBusyError(
                f"data directory {self.path} is in use by the broker of process {owner or 'unknown'}; "
                "stop that one, or choose another directory"
            ) from exc
        os.ftruncate(lock, 0)
        os.write(lock, f"{os.getpid()}\n".encode())
        self._lock: int | None = lock

    @property
    def lock_descriptor(self) -> int:
        """The lock's file descriptor, for a node to inherit."""
        assert self._lock is not None
        return self._lock

    def node_directory(self, node: int) -> Path:
        """Give the directory of one node, made if need be."""
        directory = self.path / f"node-{node}"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def cluster_id(self, nodes: int) -> str:
        """Give the id that the storage was formatted with, or a new one where it was not.

        Raises:
            BrokerSettingError: It was formatted for another number of nodes.
        """
        formatted = sorted(self.path.glob("node-*/data/meta.properties"))
        too_many = [meta for meta in formatted if int(meta.parts[-3].removeprefix("node-")) > nodes]
        if too_many or (nodes > 1 and len(formatted) == 1):
            raise BrokerSettingError(
                f"data directory {self.path} was made by a broker of {3 if too_many else 1} nodes, not {nodes}; "
                "choose another directory"
            )
        ids = [re.search(r"^cluster\.id=(\S+)$", meta.read_text("utf-8"), re.MULTILINE) for meta in formatted]
        return next((found[1] for found in ids if found), None) or new_cluster_id()

    def close(self) -> None:
        """Let the directory go, and delete it where it was temporary. Closing twice is harmless."""
        if self._lock is None:
            return
        if self._is_temporary:
            shutil.rmtree(self.path, ignore_errors=True)
        # Closed, not unlocked: a node that still runs keeps its copy, and with it the lock.
        os.close(self._lock)
        self._lock = None


def new_cluster_id() -> str:
    """Make an id as Kafka does: 16 random bytes in URL-safe Base64, never with a leading dash.

    Source: org.apache.kafka.common.Uuid.randomUuid.
    """
    while (text := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return text


def sweep_temporary_directories(base: Path) -> None:
    """Delete the temporary directories that killed brokers of this user left behind."""
    for directory in base.glob(f"{_TEMPORARY_PREFIX}*"):
        try:
            status = directory.stat()
            if status.st_uid != os.getuid() or time.time() - status.st_mtime < _SWEEP_AFTER_S:
                continue
            with (directory / "lock").open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(directory, ignore_errors=True)
        except OSError:
            continue  # in use, or gone
