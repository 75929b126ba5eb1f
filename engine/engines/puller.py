"""Asks a stream's source for inputs, of whatever kind it is."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from threading import Thread
from typing import Any, Final

#: A callable that gives one input a call, plain or async; or a generator of either kind, or a function that makes one.
Source = Callable[[], Any] | Iterator[Any] | AsyncIterator[Any]
#: What `pull` gives when there is no more.
END: Final = object()


class Puller:
    """Gives one input after the other.

    Plain sources are called on a thread of their own, one call at a time; one that blocks for ever keeps that thread,
    and nothing else.
    """

    def __init__(self, name: str, source: Source) -> None:
        """Remember the source; the thread starts with the first call that needs it."""
        self._name = name
        self._source: Any = source
        self._calls: SimpleQueue[tuple[Callable[[], Any], asyncio.Future[Any], asyncio.AbstractEventLoop] | None] = (
            SimpleQueue()
        )
        self._thread: Thread | None = None
        self._closing: asyncio.Future[None] | None = None

    async def pull(self) -> Any:
        """Return the next input; END where there is none.

        Raises:
            Exception: Whatever the source raises.
        """
        source = self._source
        if hasattr(source, "__anext__"):
            return await anext(source, END)
        if hasattr(source, "__next__"):
            return await self._on_thread(lambda: next(source, END))
        if inspect.iscoroutinefunction(source):
            given = await source()
        elif inspect.isasyncgenfunction(source):
            given = source()
        else:
            given = await self._on_thread(source)
            if inspect.isawaitable(given):
                given = await given
        if inspect.isgenerator(given) or inspect.isasyncgen(given):
            self._source = given
            return await self.pull()
        return END if given is None else given

    def close(self) -> None:
        """Close a generator, and let the thread end when its call has come back."""
        if inspect.isasyncgen(self._source):
            self._closing = asyncio.ensure_future(self._source.aclose())
        if self._thread is not None:
            self._calls.put(None)
        elif inspect.isgenerator(self._source):
            self._source.close()

    async def _on_thread(self, function: Callable[[], Any]) -> Any:
        if self._thread is None:
            self._thread = Thread(target=self._work, name=f"stream-{self._name}", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()
        self._calls.put((function, answer, loop))
        return await answer

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            function, answer, loop = call
            try:
                value, error = function(), None
            except BaseException as exc:  # noqa: BLE001 - it is the stream's own, and raised there
                value, error = None, exc
            try:
                loop.call_soon_threadsafe(_settle, answer, value, error)
            except RuntimeError:
                break  # the loop was closed while the source kept silent
        if inspect.isgenerator(self._source):
            self._source.close()


def _settle(answer: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    elif isinstance(error, StopIteration):  # no future takes it
        answer.set_result(END)
    else:
        answer.set_exception(error)
