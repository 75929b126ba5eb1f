"""A file on its way into the store: a copy that is looked at before it gets its place."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Final, Self
from uuid import uuid4

from engine.errors import StoreError
from engine.models.store.lock import try_lock

#: How the names of such files begin; no model's name does.
_PREFIX: Final = ".incoming"
_COPY_BYTES: Final = 1024**2


class Incoming:
    """A file under a name of its own in the store's directory; for a `with` block, which removes it at its end.

    Its writer has it locked. So `clear_left` tells it from what somebody who was killed left.

    Attributes:
        path: Where it is, unless somebody has moved it.
    """

    def __init__(self, directory: Path) -> None:
        """Make the file. The store's lock is held, so nobody clears away before this one is locked.

        Raises:
            OSError: It cannot be made.
        """
        self.path = directory / f"{_PREFIX}-{uuid4().hex}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(self.path, flags, 0o666), "wb")
        try_lock(self._file.fileno())

    def copy(self, file: Path) -> str:
        """Copy a plain file, and return its SHA-256: what is looked at afterwards is what was copied.

        Raises:
            StoreError: It is none, or cannot be read.
            OSError: The copy cannot be written.
        """
        hashed = hashlib.sha256()
        try:
            source = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as exc:
            raise StoreError(f"{file} cannot be read: {exc.strerror}") from exc
        if not stat.S_ISREG(os.fstat(source).st_mode):
            os.close(source)
            raise StoreError(f"{file} is no plain file: give a model's file")
        with os.fdopen(source, "rb") as reading:
            while block := reading.read(_COPY_BYTES):
                hashed.update(block)
                self._file.write(block)
        self._file.flush()
        os.fsync(self._file.fileno())
        return hashed.hexdigest()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it, unless somebody has moved it."""
        self.path.unlink(missing_ok=True)
        self._file.close()


def clear_left(directory: Path) -> None:
    """Remove the copies that nobody writes any more. The store's lock is held.

    Raises:
        OSError: One cannot be removed.
    """
    for path in directory.glob(f"{_PREFIX}*"):
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                continue  # no copy, whoever has put it there
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its writer gave up just now
        try:
            if try_lock(descriptor):
                path.unlink(missing_ok=True)
        finally:
            os.close(descriptor)
