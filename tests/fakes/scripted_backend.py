"""A back end that does what a test wrote down for it, and nothing by the clock."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Event

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Around, Backend, BackendOptions, Health, Inference
from engine.errors import DeviceNotFoundError, InferenceError, ModelError, ModelNotFoundError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors, TensorSpec

DEADLINE_S = 20.0
_MAGIC = b"scripted"
Answer = Callable[[NDArray[np.generic], int], NDArray[np.generic]]


def sums_of_channels(images: NDArray[np.generic], _number: int) -> NDArray[np.generic]:
    """float32[batch, 3]: the sum of each row's channels."""
    sums: NDArray[np.float64] = np.asarray(images, np.float64).sum(axis=(1, 2))
    return sums.astype(np.float32)


def save_scripted_model(path: Path) -> Path:
    path = path.with_suffix(".onnx")
    path.write_bytes(_MAGIC)
    return path


def scripted_program(batch: int | None = None, metadata: Mapping[str, str] | None = None) -> Program:
    return Program(
        (TensorSpec("image", (batch, 8, 8, 3), np.dtype(np.uint8)),),
        (TensorSpec("answer", (batch, 3), np.dtype(np.float32)),),
        dict(metadata or {}),
    )


@dataclass(frozen=True)
class Script:
    """What a `ScriptedBackend` does; batches are numbered from 0 as they are submitted.

    Attributes:
        program: What `open` gives; one input, one output.
        answer: From the rows and the batch's number to the output's rows.
        failures: Batches that fail, and what they say.
        gates: Batches that the device has until their event is set.
        fatal: Rows of which the answer is true fail their batch.
    """

    program: Program = field(default_factory=scripted_program)
    answer: Answer = sums_of_channels
    failures: Mapping[int, str] = field(default_factory=dict)
    gates: Mapping[int, Event] = field(default_factory=dict)
    fatal: Callable[[NDArray[np.generic]], bool] = lambda _: False


@dataclass(frozen=True)
class TakenBatch:
    """What the device was given."""

    rows: NDArray[np.generic]
    count: int | None


class ScriptedBackend(Backend):
    """Follows a `Script`; keeps what it was given in `taken`, in the order of submission."""

    name = "scripted"

    def __init__(self, script: Script | None = None) -> None:
        self.script = script or Script()
        self.taken: list[TakenBatch] = []
        self._begun: set[int] = set()
        self._changed = Condition()
        self._pool: ThreadPoolExecutor | None = None
        self._slots = 0
        self._defect: str | None = None

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        if options.device not in (None, "cpu", "0"):
            raise DeviceNotFoundError(f"back end scripted has no device {options.device!r}: it has cpu, 0")
        if model is None:
            raise ModelNotFoundError("no model")
        self.check_model(model)
        if not model.path.read_bytes().startswith(_MAGIC):
            raise ModelError(f"{model.path} is no scripted model")
        self._slots = options.keywords.num_activations or 1
        self._pool = ThreadPoolExecutor(self._slots, thread_name_prefix="scripted")
        return self.script.program

    @property
    def slots(self) -> int:
        return self._slots

    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        del around
        with self._changed:
            if self._pool is None:
                raise InferenceError("the back end is closed")
            self.script.program.check(inputs, count)
            (rows,) = inputs.values()
            number = len(self.taken)
            self.taken.append(TakenBatch(rows.copy(), count))
            return self._pool.submit(self._run, number, rows, count)

    def break_down(self, detail: str) -> None:
        """Be out of order from now on: health says so, and batches fail."""
        self._defect = detail

    def wait_until_begun(self, number: int) -> None:
        """Wait until the device has taken up a batch."""
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._begun, DEADLINE_S), f"batch {number} never began"

    def health(self) -> Health:
        if self._pool is None:
            return Health(is_ready=False, detail="no model is open")
        return Health(is_ready=self._defect is None, detail=self._defect or "scripted")

    def close(self) -> None:
        with self._changed:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True)

    def _run(self, number: int, rows: NDArray[np.generic], count: int | None) -> Inference:
        started_at_s = time.monotonic()
        with self._changed:
            self._begun.add(number)
            self._changed.notify_all()
        gate = self.script.gates.get(number)
        if gate is not None and not gate.wait(DEADLINE_S):
            raise InferenceError(f"nobody opened the gate of batch {number}")
        failure = self._defect or self.script.failures.get(number)
        if failure is not None or self.script.fatal(rows[:count]):
            raise InferenceError(failure or "a row is fatal")
        (output,) = self.script.program.outputs
        answer = self.script.answer(rows, number)[:count]
        return Inference({output.name: answer}, started_at_s, time.monotonic())
