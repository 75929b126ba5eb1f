"""Asking what takes its time, such as Kafka, from a page: on threads of its own, and not too much at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from streamer.web.errors import WebError

P = ParamSpec("P")
T = TypeVar("T")

_AT_A_TIME = 4
_MAX_WAITING = 16


class BusyError(WebError):
    """Too many pages ask at a time."""


class Desk:
    """Answers questions that block, one thread each; the event loop goes on meanwhile. Used by the loop's thread."""

    def __init__(self) -> None:
        """Open nothing yet; the first question starts a thread."""
        self._threads = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="ask")
        self._asked = 0

    async def ask(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function that blocks, and return what it returns; it raises what the function raises.

        Raises:
            BusyError: There are too many questions already.
        """
        if self._asked >= _AT_A_TIME + _MAX_WAITING:
            raise BusyError("too many pages ask at this moment: try again in a few seconds")
        self._asked += 1
        try:
            call = asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))
            return await call
        finally:
            self._asked -= 1

    def close(self) -> None:
        """Let the threads go; what they are at is finished, and nobody waits for it."""
        self._threads.shutdown(wait=False, cancel_futures=True)
