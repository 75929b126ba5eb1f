"""Locks on files, which the kernel takes back from a process however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from engine.errors import StoreError

_POLL_INTERVAL_S: Final = 0.02


def try_lock(descriptor: int) -> bool:
    """Lock an open file, and tell whether that was possible: another one who has opened it may hold the lock.

    Raises:
        OSError: Files cannot be locked there.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: Path, timeout_s: float) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is not there.

    Args:
        path: The file.
        timeout_s: For how long others may hold it before.

    Raises:
        StoreError: They held it for longer.
        OSError: The file cannot be opened or locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        deadline = time.monotonic() + timeout_s
        while not try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise StoreError(
                    f"another process has been changing the model store {path.parent} for {timeout_s:g} s: "
                    "try again when it is done"
                )
            time.sleep(_POLL_INTERVAL_S)
        yield
    finally:
        os.close(descriptor)
