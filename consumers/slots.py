"""Worker slots: which of a group's workers on this machine this process is.

A slot is a file under an exclusive lock, which the kernel takes back from a process however it ends. Its number makes
names that survive a restart: the key of the worker's status, the member of the group, the id of its transactions.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from consumers.errors import SlotError

_MAX_SLOTS = 1024
_IN_USE, _CLEAN = b"in use\n", b"clean\n"


class Slot:
    """A slot that this process holds."""

    def __init__(self, number: int, descriptor: int) -> None:
        """Take over a locked file."""
        self.number = number
        self._descriptor: int | None = descriptor

    @property
    def was_left_open(self) -> bool:
        """Whether its last holder began transactions and did not say that it had ended them."""
        return self._descriptor is not None and os.pread(self._descriptor, len(_IN_USE), 0) == _IN_USE

    def begin_transactions(self) -> None:
        """Leave word that a transaction may be open, for whoever finds the slot free."""
        self._write(_IN_USE)

    def end_transactions(self) -> None:
        """Leave word that none is."""
        self._write(_CLEAN)

    def free(self) -> None:
        """Let it go; freeing twice is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _write(self, mark: bytes) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, mark, 0)


class Slots:
    """The slots of one group and device at one cluster, on this machine."""

    def __init__(self, state_directory: Path, bootstrap_servers: str, group: str, device: str) -> None:
        """Name their directory; nothing is made yet."""
        servers = ",".join(sorted(server.strip() for server in bootstrap_servers.split(",")))
        name = hashlib.sha256(f"{servers}\0{group}\0{device}".encode()).hexdigest()[:32]
        self._directory = state_directory / "slots" / name

    def take(self) -> Slot:
        """Take the lowest free slot.

        Raises:
            SlotError: The state directory cannot be used, or all slots are taken.
        """
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for number in range(_MAX_SLOTS):
                if (slot := self._lock(number)) is not None:
                    return slot
        except OSError as exc:
            raise SlotError(
                f"cannot keep worker slots in {self._directory} ({exc.strerror}): name a directory that can be "
                "written with --state-directory"
            ) from exc
        raise SlotError(f"all {_MAX_SLOTS} worker slots in {self._directory} are taken")

    @contextmanager
    def left_open(self) -> Iterator[list[Slot]]:
        """Give the free slots whose last holder may have left a transaction open; they are held meanwhile."""
        slots: list[Slot] = []
        try:
            for path in sorted(self._directory.glob("*.slot")):
                # Read before it is locked: a worker that starts meanwhile may want a clean one.
                if not path.stem.isdigit() or path.read_bytes() != _IN_USE:
                    continue
                slot = self._lock(int(path.stem))
                if slot is not None and slot.was_left_open:
                    slots.append(slot)
                elif slot is not None:  # its holder ended it just now
                    slot.free()
            yield slots
        finally:
            for slot in slots:
                slot.free()

    def _lock(self, number: int) -> Slot | None:
        """Return a slot; None where another process has it."""
        path = self._directory / f"{number}.slot"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return Slot(number, descriptor)
