"""What back ends share whose device is called from threads: the queue, the threads, the watchdog and the probe."""

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Condition, Event, Lock, Thread
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Health, Inference, Program, Tensors
from engine.errors import DeviceLostError, EngineError, InferenceError
from engine.models.files import ModelFile
from engine.telemetry import count_loss, count_rows

log = logging.getLogger(__name__)

Outputs = Mapping[str, NDArray[np.generic]]


class Network(ABC):
    """A model that is loaded onto a device.

    `infer` comes from several threads, `slots` of them at a time at the most; `unload` once, from any thread, when no
    inference is running, or when the device was given up (then `infer` may still be stuck in another thread).

    Attributes:
        slots: How many batches the device works on at a time.
        detail: One line about the device, for `health`.
        is_simulated: Whether times, or answers, come from a simulation.
        timeout_s: How long a batch may take at the most, where that is not the caller's `data_path_timeout_s` to say.
    """

    program: Program
    slots: int
    detail: str
    is_simulated: bool = False
    timeout_s: float | None = None

    @abstractmethod
    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Compute, and wait for it.

        Args:
            inputs: They fit the program.
            rows: The rows of the batch, padding included; None where the inputs are no batch.

        Raises:
            DeviceLostError: The device broke: all that it has is handed back, and it is probed.
            Exception: This batch failed, and the device can go on.
        """

    @abstractmethod
    def unload(self) -> None:
        """Let the device go."""


@dataclass(frozen=True, slots=True)
class _Request:
    inputs: Tensors
    count: int | None
    future: Future[Inference]


class _Crew:
    """The threads that feed one loaded network. When its device is given up, they are left to themselves."""

    def __init__(self, network: Network, backend: str) -> None:
        self.network = network
        self.lost: DeviceLostError | None = None
        self._backend = backend
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._changed = Condition(Lock())
        self._running: dict[int, tuple[float, _Request]] = {}
        self._is_given_up = False
        self._is_handed_back = False
        self._at_work = network.slots
        for number in range(network.slots):
            Thread(target=self._work, args=(number,), name=f"{backend}-{number}", daemon=True).start()

    def put(self, request: _Request) -> None:
        """Queue a request."""
        self._queue.put(request)

    def finish(self) -> bool:
        """Work off the queue and end the threads; False where the device was given up meanwhile."""
        for _ in range(self.network.slots):
            self._queue.put(None)
        with self._changed:
            self._changed.wait_for(lambda: self._is_handed_back or not self._at_work)
            return not self._is_given_up

    def watch(self, timeout_s: float) -> DeviceLostError | None:
        """Return when the device is lost, with the reason, or has no more work to come, with None."""
        while True:
            with self._changed:
                oldest_s = min((started_s for started_s, _ in self._running.values()), default=None)
                now_s = time.monotonic()
                # What begins from now on has at least so long; so nobody has to be woken for it.
                wait_s = timeout_s if oldest_s is None else oldest_s + timeout_s - now_s
                if wait_s <= 0:
                    return DeviceLostError(
                        f"the device gave no answer within {timeout_s:g} s and is given up (data_path_timeout)"
                    )
                if self._changed.wait_for(lambda: self.lost is not None or not self._at_work, wait_s):
                    return self.lost

    def report_lost(self, error: DeviceLostError) -> None:
        """Say that the device is broken."""
        with self._changed:
            self.lost = self.lost or error
            self._changed.notify_all()

    def give_up(self, error: DeviceLostError) -> None:
        """Hand everything back; what the device still says is not heard."""
        with self._changed:
            self._is_given_up = True
            requests = [request for _, request in self._running.values()]
            self._running.clear()
        try:
            while True:
                request = self._queue.get_nowait()
                if request is not None:
                    requests.append(request)
        except Empty:
            pass
        for _ in range(self.network.slots):
            self._queue.put(None)
        for request in requests:
            request.future.set_exception(error)
        with self._changed:
            self._is_handed_back = True
            self._changed.notify_all()

    def run(self, inputs: Tensors, count: int | None) -> Inference:
        """Compute one batch on the calling thread."""
        started_s = time.monotonic()
        program, network = self.network.program, self.network
        rows = None if count is None else len(inputs[program.inputs[0].name])
        try:
            values = network.infer(inputs, rows)
        except InferenceError:
            raise
        except Exception as exc:
            of_rows = "" if rows is None else f" of {rows}"
            raise InferenceError(f"back end {self._backend} failed a batch{of_rows}: {first_line(exc)}") from exc
        padded_rows = 0
        if count is not None and rows is not None:
            padded_rows = rows - count
            count_rows(self._backend, count, padded_rows)
            if padded_rows:
                # A number of its own, without rows, is what it is.
                values = {
                    name: value[:count] if value.ndim and len(value) == rows else value
                    for name, value in values.items()
                }
        return Inference(values, started_s, time.monotonic(), network.is_simulated, padded_rows)

    def _work(self, number: int) -> None:
        while (request := self._queue.get()) is not None:
            with self._changed:
                if self._is_given_up:
                    # It came between the last look into the queue and now.
                    request.future.set_exception(self.lost or DeviceLostError("the device was given up"))
                    break
                self._running[number] = (time.monotonic(), request)
            try:
                result: Inference | BaseException = self.run(request.inputs, request.count)
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is that batch's outcome
                result = exc
            self._end(number, request, result)
            del request, result
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    def _end(self, number: int, request: _Request, result: Inference | BaseException) -> None:
        with self._changed:
            if self._running.pop(number, None) is None:
                return  # it was handed back meanwhile
        if isinstance(result, DeviceLostError):
            self.report_lost(result)
        if isinstance(result, BaseException):
            request.future.set_exception(result)
        else:
            request.future.set_result(result)


class ThreadedBackend(Backend):
    """A back end whose device is called from threads, one for each slot.

    A subclass says how a network is loaded. A watchdog gives a device up that is silent for too long, or that says it
    is broken, and loads the network again when the device has been left alone for `probe_after_s`.
    """

    #: Source: qualcomm/vllm-qaic ci_scripts/scheduler.py, which waits so long before it uses a released device again.
    probe_after_s: ClassVar[float] = 5.0

    def __init__(self) -> None:
        self._lock = Lock()
        self._crew: _Crew | None = None
        self._lost: DeviceLostError | None = None
        self._closing: Event | None = None

    @abstractmethod
    def load(self, model: ModelFile | None, options: BackendOptions) -> Network:
        """Load the model onto the device; the probe calls it as well, from a thread of its own.

        Raises:
            ModelError: The file cannot be used.
            DeviceNotFoundError: There is no such device.
        """

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        """Load the model; see `Backend.open`."""
        if self._closing is not None:
            raise InferenceError(f"back end {self.name} is open already: close it first")
        if model is not None:
            self.check_model(model)
        crew = _Crew(self.load(model, options), self.name)
        closing = Event()
        with self._lock:
            self._crew, self._closing, self._lost = crew, closing, None
        Thread(
            target=self._guard, args=(crew, closing, model, options), name=f"{self.name}-watchdog", daemon=True
        ).start()
        return crew.network.program

    @property
    def slots(self) -> int:
        """How many batches are worked on at a time."""
        crew = self._crew
        return crew.network.slots if crew is not None else 0

    def submit(self, inputs: Tensors, count: int | None = None) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        self._ready_crew().network.program.check(inputs, count)
        future: Future[Inference] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:  # closing waits for all that was queued before
            self._ready_crew().put(_Request(inputs, count, future))
        return future

    def call(self, inputs: Tensors, count: int | None = None) -> Inference:
        """Run a batch on the calling thread; see `Backend.call`."""
        crew = self._ready_crew()
        crew.network.program.check(inputs, count)
        try:
            return crew.run(inputs, count)
        except DeviceLostError as exc:
            crew.report_lost(exc)
            raise

    def benchmark(self, inputs: Tensors, runs: int | None, seconds: float | None) -> tuple[int, float]:
        """Run one batch again and again, each slot in a loop of its own; see `Backend.benchmark`."""
        network = self._ready_crew().network
        network.program.check(inputs, None)
        tickets: SimpleQueue[int] = SimpleQueue()
        for _ in range(runs or 0):
            tickets.put(1)
        counts: list[int] = []
        errors: list[Exception] = []
        began_s = time.monotonic()
        deadline_s = None if seconds is None else began_s + seconds

        def loop() -> None:
            done = 0
            try:
                while not errors and (deadline_s is None or time.monotonic() < deadline_s):
                    if runs is not None:
                        tickets.get_nowait()
                    network.infer(inputs, None)
                    done += 1
            except Empty:
                pass
            except Exception as exc:  # noqa: BLE001 - raised below, on the caller's thread
                errors.append(exc)
            counts.append(done)

        threads = [Thread(target=loop, name=f"{self.name}-benchmark", daemon=True) for _ in range(network.slots)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        elapsed_s = time.monotonic() - began_s
        for error in errors:
            raise error if isinstance(error, EngineError) else InferenceError(first_line(error)) from error
        return sum(counts), elapsed_s

    def health(self) -> Health:
        """Tell whether the device can be given work."""
        crew, lost = self._state()
        if crew is not None:
            return Health(is_ready=True, detail=crew.network.detail)
        return Health(is_ready=False, detail=str(lost) if lost is not None else "no model is open")

    def close(self) -> None:
        """Finish what was submitted, and let the device go."""
        with self._lock:
            closing, self._closing = self._closing, None
            crew, self._crew = self._crew, None
            self._lost = None
        if closing is not None:
            closing.set()
        if crew is not None and crew.finish():
            crew.network.unload()

    def _state(self) -> tuple[_Crew | None, DeviceLostError | None]:
        """Return who can be given work, or why nobody can."""
        crew, lost = self._crew, self._lost  # another thread may close meanwhile
        if crew is not None and crew.lost is not None:
            return None, crew.lost  # the watchdog is about to give it up
        return crew, lost

    def _ready_crew(self) -> _Crew:
        crew, lost = self._state()
        if crew is None:
            raise DeviceLostError(str(lost)) if lost is not None else InferenceError("the back end is closed")
        return crew

    def _guard(self, crew: _Crew, closing: Event, model: ModelFile | None, options: BackendOptions) -> None:
        """Watch the device until the back end is closed; the watchdog's thread."""
        current: _Crew | None = crew
        while current is not None:
            error = current.watch(current.network.timeout_s or options.data_path_timeout_s)
            if error is None:
                return
            log.error("back end %s: %s", self.name, error)
            count_loss(self.name)
            with self._lock:
                if self._crew is current:
                    self._crew, self._lost = None, error
            current.give_up(error)
            current = self._probe(current.network, closing, model, options)

    def _probe(self, lost: Network, closing: Event, model: ModelFile | None, options: BackendOptions) -> _Crew | None:
        """Load the network again, as soon as that works; None where the back end was closed."""
        try:
            lost.unload()
        except Exception as exc:  # noqa: BLE001 - a broken device may refuse that as well
            log.warning("back end %s: the lost device could not be let go: %s", self.name, first_line(exc))
        while not closing.wait(self.probe_after_s):
            try:
                network = self.load(model, options)
            except Exception as exc:  # noqa: BLE001 - it is tried again
                log.warning("back end %s: the device is still lost: %s", self.name, first_line(exc))
                continue
            with self._lock:
                if not closing.is_set():
                    self._crew, self._lost = _Crew(network, self.name), None
                    log.warning("back end %s: the device is back", self.name)
                    return self._crew
            network.unload()
        return None


def first_line(exc: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
