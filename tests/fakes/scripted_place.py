"""A place for an engine's batches that does what a test says, and engines that compute there."""

import asyncio
from collections.abc import Callable
from typing import Any

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.place import Computed, Place
from engine.engines.streaming import StreamingInferenceEngine
from engine.models.program import Tensors


class ScriptedPlace(Place):
    """Doubles what it is given; a batch waits while `gate` is closed, and fails where `fails` says so."""

    def __init__(self, slots: int = 1) -> None:
        self._slots = slots
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails: Callable[[Tensors], Exception | None] = lambda _: None
        #: Rows of each batch that was begun.
        self.batches: list[int] = []
        self.is_closed = False

    @property
    def slots(self) -> int:
        return self._slots

    async def open(self) -> None:
        self.is_closed = False

    async def compute(self, inputs: Tensors, rows: int) -> Computed:
        self.batches.append(rows)
        await self.gate.wait()
        error = self.fails(inputs)
        if error is not None:
            raise error
        return Computed({f"{name}_doubled": value * 2 for name, value in inputs.items()})

    async def close(self) -> None:
        self.is_closed = True


class ScriptedEngine(AsyncBatchInferenceEngine):
    """Computes at a scripted place."""

    def __init__(self, place: ScriptedPlace, **keywords: Any) -> None:
        super().__init__("none", **keywords)
        self.scripted = place

    async def _make_place(self) -> Place:
        return self.scripted


class ScriptedStreams(StreamingInferenceEngine):
    """The same, for streams."""

    def __init__(self, place: ScriptedPlace, **keywords: Any) -> None:
        super().__init__("none", **keywords)
        self.scripted = place

    async def _make_place(self) -> Place:
        return self.scripted
