"""Gathers an engine's inputs into micro-batches, and has them computed."""

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.batching import MicroBatcher
from engine.engines.place import Place
from engine.engines.request import Request
from engine.engines.statistics import EngineCounts
from engine.errors import DeviceLostError, EngineError, InferenceError
from engine.models.program import Tensors


class Finished(Protocol):
    """Takes each request, once: with its outputs, or with the error that it ended with."""

    def __call__(
        self, request: Request, answer: dict[str, NDArray[np.generic]] | Exception, /, *, is_remote: bool
    ) -> None:
        """Take it, and whether another machine made them."""


class Collector:
    """Sends batches to a place as long as it has slots; while it has none, a batch keeps filling.

    For one event loop.
    """

    def __init__(
        self, place: Place, batch_size: int, timeout_s: float, counts: EngineCounts, finished: Finished
    ) -> None:
        """Put it together.

        Args:
            place: Where batches are computed.
            batch_size: Rows in a batch at the most, save for an input that has more alone.
            timeout_s: How long an input waits for company.
            counts: Takes what each batch took.
            finished: Takes every request, once.
        """
        self._place = place
        self._timeout_s = timeout_s
        self._counts = counts
        self._finished = finished
        self._batcher: MicroBatcher[Request] = MicroBatcher(batch_size, batch_size)
        self._batches: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_draining = False

    def add(self, request: Request) -> None:
        """Let a request wait for its batch."""
        self._batcher.add(request, request.rows, time.monotonic() + self._timeout_s)
        self._dispatch()

    async def drain(self) -> None:
        """Send what waits at once, and return when all of it has come back."""
        self._is_draining = True
        self._dispatch()
        while self._batches:
            await asyncio.wait(self._batches)

    def _dispatch(self) -> None:
        """Send batches that are due while there are slots, and see to the next one."""
        now_s = time.monotonic()
        while len(self._batches) < self._place.slots and (batch := self._batcher.take(now_s, force=self._is_draining)):
            task = asyncio.create_task(self._run(batch))
            self._batches.add(task)
            task.add_done_callback(self._done)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_at_s = self._batcher.due_at_s()
        if due_at_s is not None and len(self._batches) < self._place.slots:
            self._timer = asyncio.get_running_loop().call_later(max(due_at_s - now_s, 0.0), self._dispatch)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._dispatch()

    async def _run(self, batch: list[Request]) -> None:
        try:
            await self._answer(batch)
        finally:
            self._counts.batch(sum(request.rows for request in batch))

    async def _answer(self, batch: Sequence[Request]) -> None:
        """Have a batch computed; one that fails is halved, to find the input at fault or a size that fits."""
        began_s, rows = time.monotonic(), sum(request.rows for request in batch)
        try:
            outputs, is_remote = await self._place.compute(_stacked(batch), rows)
        except Exception as exc:  # noqa: BLE001 - whatever it is, each request has to end with it
            error = exc if isinstance(exc, EngineError) else InferenceError(f"a batch failed: {exc}")
            if len(batch) == 1 or isinstance(exc, DeviceLostError):
                for request in batch:
                    self._finished(request, error, is_remote=False)
                return
            middle = len(batch) // 2
            await self._answer(batch[:middle])
            await self._answer(batch[middle:])
            return
        first, took_s = 0, time.monotonic() - began_s
        self._counts.computed(rows, took_s)
        for request in batch:
            request.inference_s = took_s
            own = {name: value[first : first + request.rows] for name, value in outputs.items()}
            first += request.rows
            self._finished(request, own, is_remote=is_remote)


def _stacked(batch: Sequence[Request]) -> Tensors:
    """Return the inputs of a batch, one below the other."""
    if len(batch) == 1:
        return batch[0].inputs
    names = batch[0].inputs.keys()
    if any(request.inputs.keys() != names for request in batch):
        raise InferenceError("the inputs of a batch have different names")
    return {name: np.concatenate([request.inputs[name] for request in batch]) for name in names}
