"""A simulated card at work: one thread that finishes batches at their time."""

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread, current_thread

from engine.backends.base import Around, BackendOptions, Inference
from engine.backends.crew import complete
from engine.backends.network import Network
from engine.backends.onnxruntime import OnnxRuntimeBackend
from engine.backends.simulator.card import Card, Turn
from engine.errors import InferenceError, NotOpenError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors
from engine.telemetry import count_rows


class Host(OnnxRuntimeBackend):
    """Computes on this machine what the card would, under the simulator's name."""

    name = "simulator"

    def __init__(self, fit: Callable[[Program], Program]) -> None:
        """Take the way from the model's program to the card's, whose batch is fixed."""
        super().__init__()
        self._fit = fit

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the ONNX file; see `Backend.open`."""
        network = super().load(model, options)
        network.program = self._fit(network.program)
        return network


@dataclass(frozen=True, slots=True)
class _Batch:
    """A batch that the card has.

    Attributes:
        rows: How many hold data, and how many pad; none where the inputs are no batch.
        answer: What this machine computes for it; None where nothing is computed.
    """

    turn: Turn
    rows: tuple[int, int]
    answer: Future[Inference] | None
    future: Future[Inference]


class SimulatedDevice:
    """A card with a thread of its own. As batches finish in their order, a queue is all the calendar that it needs."""

    def __init__(self, card: Card, program: Program, host: Host | None) -> None:
        self.card = card
        self.program = program
        self.host = host
        self._lock = Lock()
        self._is_closed = False
        self._batches: SimpleQueue[_Batch | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="simulator-card", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, inputs: Tensors, count: int | None, around: Around | None = None) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        self.program.check(inputs, count)
        rows = (0, 0) if count is None else (count, len(inputs[self.program.inputs[0].name]) - count)
        future: Future[Inference] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:
            if self._is_closed:
                raise NotOpenError("the back end is closed")
            answer = None if self.host is None else self.host.submit(inputs, count, around)
            self._batches.put(_Batch(self.card.begin(time.monotonic()), rows, answer, future))
        return future

    def close(self) -> None:
        """Finish what was submitted, and end the thread."""
        if current_thread() is self._thread:
            raise InferenceError("back end simulator cannot be closed by a callback of a batch's future")
        with self._lock:
            self._is_closed = True
        self._batches.put(None)
        self._thread.join()
        if self.host is not None:
            self.host.close()

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            wait_s = batch.turn.finished_at_s - time.monotonic()
            if wait_s > 0:
                time.sleep(wait_s)
            if batch.answer is None:
                self._finish(batch)
            else:
                # At once where it is computed already, else as soon as it is, on the thread that computes.
                batch.answer.add_done_callback(partial(_answer, batch))

    def _finish(self, batch: _Batch) -> None:
        """End a batch for which nothing is computed."""
        count, padded_rows = batch.rows
        if count:
            count_rows(Host.name, count, padded_rows)
        turn = batch.turn
        complete(
            batch.future, Inference({}, turn.taken_at_s, turn.finished_at_s, simulated=True, padded_rows=padded_rows)
        )


def _answer(batch: _Batch, answer: Future[Inference]) -> None:
    """End a batch with what was computed for it."""
    error = answer.exception()
    if error is not None:
        complete(batch.future, error)
        return
    computed, turn = answer.result(), batch.turn
    started_s, finished_s = turn.taken_at_s, turn.finished_at_s
    if computed.finished_at_s > finished_s:
        # This machine is slower than the card: the times are its own.
        started_s, finished_s = max(started_s, computed.started_at_s), computed.finished_at_s
    complete(
        batch.future,
        Inference(computed.outputs, started_s, finished_s, simulated=True, padded_rows=computed.padded_rows),
    )
