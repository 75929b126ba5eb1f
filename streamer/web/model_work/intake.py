"""One file on its way in: written as it comes, and refused as soon as it can be told that it is not wanted."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, Final

from streamer.web import words
from streamer.web.model_work.kinds import HEAD_BYTES, Kind, UploadError, check_head, too_large
from streamer.web.model_work.room import Room

#: On the average, once it has come for a while: it holds a place that others wait for.
_MIN_RATE_BYTES_PER_S: Final = 64 * 1024
_GRACE_S: Final = 20.0


class Intake:
    """Looks at a body's pieces, and writes them."""

    def __init__(self, kind: Kind, suffix: str, room: Room, clock: Callable[[], float]) -> None:
        """Begin with nothing.

        Args:
            kind: What it has to be.
            suffix: The end of its name.
            room: Where it has to find room.
            clock: Tells the time in s.
        """
        self._kind, self._suffix = kind, suffix
        self._room = room
        self._clock = clock
        self._head = bytearray()
        self._is_head_checked = False
        self._size_bytes = 0
        self._look_at_bytes = room.step_bytes

    async def write(self, pieces: AsyncIterator[bytes], path: Path) -> int:
        """Write a body to a new file as it comes; return its size in bytes.

        Raises:
            UploadError: It is too large, too slow, of another kind, or there is no room for it.
            OSError: It cannot be written.
        """
        began_s = self._clock()
        with path.open("xb") as file:
            async for piece in pieces:
                self._look(piece)
                check_pace(self._size_bytes, self._clock() - began_s)
                await asyncio.to_thread(self._put, file, piece)
        if not self._is_head_checked:
            check_head(self._kind, self._suffix, bytes(self._head))
        return self._size_bytes

    def _look(self, piece: bytes) -> None:
        self._size_bytes += len(piece)
        if self._size_bytes > self._kind.max_bytes:
            raise too_large(self._kind)
        if not self._is_head_checked:
            self._head += piece[:HEAD_BYTES]
            if len(self._head) >= HEAD_BYTES:
                check_head(self._kind, self._suffix, bytes(self._head))
                self._is_head_checked = True

    def _put(self, file: IO[bytes], piece: bytes) -> None:
        file.write(piece)
        if self._size_bytes >= self._look_at_bytes:
            self._look_at_bytes = self._size_bytes + self._room.step_bytes
            file.flush()
            self._room.check()


def check_pace(size_bytes: int, elapsed_s: float) -> None:
    """Demand that a file comes fast enough.

    Args:
        size_bytes: What is here of it.
        elapsed_s: Since it began to come.

    Raises:
        UploadError: It does not.
    """
    if size_bytes < (elapsed_s - _GRACE_S) * _MIN_RATE_BYTES_PER_S:
        rate = words.size(_MIN_RATE_BYTES_PER_S)
        raise UploadError(408, f"the file comes too slowly, with less than {rate} a second: send it over a faster line")
