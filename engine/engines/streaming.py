"""Streams: inputs are asked for, again and again, and their outputs handed on."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.puller import END, Puller, Source
from engine.engines.request import make_request
from engine.engines.statistics import StreamCounts
from engine.errors import OptionsError, first_line

log = logging.getLogger(__name__)

#: Takes the outputs of one input; plain or async.
Handler = Callable[[dict[str, NDArray[np.generic]]], Awaitable[object] | object]


@dataclass(eq=False)
class _Stream:
    """A stream that runs, and how many of its inputs are not handled yet."""

    name: str
    task: "asyncio.Task[None] | None" = None
    on_their_way: int = 0
    left: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self) -> None:
        """Count an input that is on its way."""
        self.on_their_way += 1

    def leave(self) -> None:
        """Count one that is handled."""
        self.on_their_way -= 1
        self.left.set()

    async def empty(self, spared: int = 0) -> None:
        """Wait until no more than `spared` are on their way."""
        while self.on_their_way > spared:
            self.left.clear()
            await self.left.wait()


class StreamingInferenceEngine(AsyncBatchInferenceEngine):
    """An engine that fetches its inputs itself, from any number of streams side by side.

    await engine.start_stream("gate", read_frame, handle, interval=0.1)
    await asyncio.sleep(5)
    await engine.stop_stream("gate")
    """

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Remember what is wanted; see `AsyncBatchInferenceEngine`."""
        super().__init__(*arguments, **keywords)
        self._streams: dict[str, _Stream] = {}

    async def start_stream(self, name: str, source: Source, handler: Handler, interval: float = 0.0) -> None:
        """Begin to ask a source for inputs, and return at once.

        A plain source runs on a thread of its stream's own, so one that blocks holds up nobody else.

        Args:
            name: What statistics and errors call it; a stream of the same name that has ended is counted on.
            source: Gives one input a call; None, or the end of a generator, ends the stream.
            handler: Takes the outputs of each input, in any order.
            interval: Seconds from one input to the next; where the engine is slower, the source waits.

        Raises:
            OptionsError: There is such a stream, or the interval is negative.
            NotOpenError: The engine is not started, or stopped.
        """
        self._demand_open()
        if not 0 <= interval < float("inf"):
            raise OptionsError(f"stream {name}: interval is {interval!r}: give seconds, 0 or more")
        if name in self._streams:
            raise OptionsError(f"stream {name} is running: stop it first, or give another name")
        stream = self._streams[name] = _Stream(name)
        self._counts.streams.setdefault(name, StreamCounts()).error = None
        stream.task = asyncio.create_task(self._feed(stream, source, handler, interval), name=f"stream {name}")

    async def stop_stream(self, name: str) -> None:
        """Ask for no more inputs, and wait until those on their way are handled; its statistics stay.

        A handler may stop its own stream; it does not wait for itself.

        Raises:
            OptionsError: There never was such a stream.
        """
        if name not in self._counts.streams:
            raise OptionsError(f"there is no stream {name}")
        stream = self._streams.pop(name, None)
        if stream is None or stream.task is None:
            return  # it has ended by itself
        stream.task.cancel()
        await asyncio.wait([stream.task])
        await stream.empty(spared=1 if self.is_answering(name) else 0)

    async def stop(self) -> None:
        """Stop every stream, then the engine."""
        for name in list(self._streams):
            await self.stop_stream(name)
        await super().stop()

    async def _feed(self, stream: _Stream, source: Source, handler: Handler, interval: float) -> None:
        """Ask the source until it ends, fails, or the stream is stopped."""
        puller = Puller(stream.name, source)
        due_s, number = time.monotonic(), 0
        try:
            while (inputs := await puller.pull()) is not END:
                request = make_request(f"{stream.name}/{number}", inputs, lambda _, outputs: handler(outputs))
                request.stream = stream.name
                number += 1
                request.ended = stream.leave
                await self.enter(request)
                stream.enter()
                due_s = max(due_s + interval, time.monotonic())
                await asyncio.sleep(due_s - time.monotonic())
        except Exception as exc:
            self._counts.streams[stream.name].error = first_line(exc)
            log.exception("stream %s has ended: its source failed", stream.name)
        finally:
            puller.close()
        await stream.empty()
        if self._streams.get(stream.name) is stream:
            del self._streams[stream.name]
