"""Where an engine's batches are computed: here, or on another machine."""

import asyncio
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from engine.errors import InferenceError
from engine.models.program import Program, Tensors
from engine.session import Session


class Computed(NamedTuple):
    """A batch's outputs, each with a row for each of its rows, and whether another machine made them."""

    outputs: Tensors
    is_remote: bool = False


class Place(ABC):
    """Takes batches. Every call is made on the engine's event loop and must not block it.

    `compute` may be called again while others are under way, `slots` of them at a time; their order of completion is
    not promised.
    """

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many batches it takes at a time."""

    @property
    def problem(self) -> str:
        """Why it cannot be given work at present, in one line; "" where it can."""
        return ""

    @property
    def program(self) -> Program | None:
        """What the model takes and gives, where it is known once the place is open."""
        return None

    def expect(self, program: Program | None) -> None:  # noqa: B027 - only who computes elsewhere has to know
        """Take what outputs have to look like."""

    def blame(self, error: InferenceError) -> None:  # noqa: B027 - the same
        """Take note that this machine could compute what the place has refused with that error."""

    @abstractmethod
    async def open(self) -> None:
        """Get ready.

        Raises:
            EngineError: It cannot be.
        """

    @abstractmethod
    async def compute(self, inputs: Tensors, rows: int) -> Computed:
        """Return the outputs of a batch.

        Raises:
            InferenceError: It was refused or failed.
        """

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything, after all batches have come back."""


class LocalPlace(Place):
    """A session on this machine."""

    def __init__(self, session: Session) -> None:
        """Take a session; it is loaded by `open`, and reset by `close`."""
        self._session = session

    @property
    def slots(self) -> int:
        """How many batches the device works on at a time."""
        return self._session.slots

    @property
    def problem(self) -> str:
        """Why the device cannot be given work."""
        health = self._session.health()
        return "" if health.is_ready else health.detail

    @property
    def program(self) -> Program:
        """What the model takes and gives."""
        return self._session.program

    async def open(self) -> None:
        """Load the network; that may take long, and the loop goes on meanwhile."""
        await asyncio.to_thread(self._session.setup)

    async def compute(self, inputs: Tensors, rows: int) -> Computed:
        """Hand a batch to the device; one that is larger than the program's goes in parts."""
        most = self._session.program.max_rows or rows
        if rows <= most:
            return Computed(await self._run(inputs))
        parts = [
            await self._run({name: value[first : first + most] for name, value in inputs.items()})
            for first in range(0, rows, most)
        ]
        return Computed({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})

    async def close(self) -> None:
        """Let the device go."""
        await asyncio.to_thread(self._session.reset)

    async def _run(self, inputs: Tensors) -> Tensors:
        outputs = (await asyncio.wrap_future(self._session.submit(inputs))).outputs
        rows = len(next(iter(inputs.values())))
        for name, output in outputs.items():
            if not output.ndim or len(output) != rows:
                raise InferenceError(
                    f"output {name} has the shape {list(output.shape)} for {rows} rows: batches cannot be told apart"
                )
        return outputs
