"""The bound of an engine's queue: so many inputs, and so many bytes, are not answered yet."""

import asyncio
from collections import deque
from typing import Literal

from engine.errors import NotOpenError, QueueFullError

Limit = Literal["inputs", "bytes"]


class Room:
    """Places for inputs, in number and bytes; who waits for one is served in order. For one event loop.

    Attributes:
        inputs: Places taken.
        size_bytes: And their bytes.
        full: How often an input found no room, by the limit that it hit.
    """

    def __init__(self, max_inputs: int, max_bytes: int) -> None:
        """Set the bounds."""
        self.max_inputs = max_inputs
        self.max_bytes = max_bytes
        self.inputs = 0
        self.size_bytes = 0
        self.full: dict[Limit, int] = {"inputs": 0, "bytes": 0}
        self._waiting: deque[tuple[asyncio.Future[None], int]] = deque()

    async def take(self, size_bytes: int, *, may_wait: bool) -> None:
        """Take a place, or wait for one.

        Raises:
            QueueFullError: There is none and it may not wait, or the input is larger than all the room.
        """
        if size_bytes > self.max_bytes:
            raise QueueFullError(
                f"an input of {size_bytes:,} bytes is larger than the queue, {self.max_bytes:,} bytes: "
                "give a larger max_queue_bytes"
            )
        limit = self._hit_by(size_bytes)
        if limit is None and not self._waiting:
            self._take(size_bytes)
            return
        limit = limit or self._hit_by(self._waiting[0][1]) or "inputs"  # as whoever waits before it
        self.full[limit] += 1
        if not may_wait:
            raise QueueFullError(
                f"the queue is full: {self.inputs} inputs, {self.size_bytes:,} bytes wait for their answers "
                f"(max_queue_size {self.max_inputs}, max_queue_bytes {self.max_bytes:,})"
            )
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((place, size_bytes))
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self.give_back(size_bytes)  # it had been given one meanwhile
            raise

    def give_back(self, size_bytes: int) -> None:
        """Free a place; whoever waits longest gets it."""
        self.inputs -= 1
        self.size_bytes -= size_bytes
        assert self.inputs >= 0, "a place was given back that nobody had"
        while self._waiting and (self._waiting[0][0].done() or self._hit_by(self._waiting[0][1]) is None):
            place, wanted_bytes = self._waiting.popleft()
            if not place.done():  # its caller may have given up
                self._take(wanted_bytes)
                place.set_result(None)

    def close(self) -> None:
        """Send all away who wait.

        Their `take` raises NotOpenError.
        """
        while self._waiting:
            place, _ = self._waiting.popleft()
            if not place.done():
                place.set_exception(NotOpenError("the engine was stopped while an input waited for room"))

    def _hit_by(self, size_bytes: int) -> Limit | None:
        if self.inputs >= self.max_inputs:
            return "inputs"
        return "bytes" if self.size_bytes + size_bytes > self.max_bytes else None

    def _take(self, size_bytes: int) -> None:
        self.inputs += 1
        self.size_bytes += size_bytes
