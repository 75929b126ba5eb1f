"""How much may lie in the folder of what was sent in, with what was made of it."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from streamer.web import words
from streamer.web.model_work.kinds import UploadError

#: Of the disk, unless a tenth of it is less.
_RESERVE_BYTES: Final = 1024**3
#: What a file may overrun the room by before it is looked at again is one part of so many.
_LOOKS: Final = 256


class DiskUsage(Protocol):
    """What `shutil.disk_usage` tells, in bytes."""

    @property
    def total(self) -> int:
        """Of the whole disk."""

    @property
    def free(self) -> int:
        """What this process may write still."""


class Room:
    """Bounds the bytes of everything below a folder, and leaves a reserve of the disk. Any thread may look."""

    def __init__(
        self, folder: Path, max_bytes: int, disk_usage: Callable[[Path], DiskUsage] = shutil.disk_usage
    ) -> None:
        """Say how much.

        Args:
            folder: What lies below it counts, whoever wrote it.
            max_bytes: So much may.
            disk_usage: Tells of the disk that a folder is on.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._disk_usage = disk_usage
        #: After so many bytes more it is to be looked at again.
        self.step_bytes: Final = max(max_bytes // _LOOKS, 1)

    def check(self, more_bytes: int = 0) -> None:
        """Demand room for so many bytes more.

        Raises:
            UploadError: There is none.
            OSError: The disk cannot be asked.
        """
        if _bytes_below(self._folder) + more_bytes > self._max_bytes:
            raise UploadError(
                507,
                f"the files of all open pages together may have {words.size(self._max_bytes)}, and would have more: "
                "close pages that are done, or start with a larger --max-upload-bytes",
            )
        disk = self._disk_usage(self._folder)
        if disk.free - more_bytes < min(_RESERVE_BYTES, disk.total // 10):
            raise UploadError(
                507, "the disk would be almost full: make room where temporary files are, or set TMPDIR to another disk"
            )


def _bytes_below(folder: Path) -> int:
    size_bytes = 0
    for at, _, names in os.walk(folder):  # what goes meanwhile is left out
        for name in names:
            with suppress(FileNotFoundError):
                size_bytes += os.lstat(os.path.join(at, name)).st_size  # noqa: PTH118 - as os.walk has it
    return size_bytes
