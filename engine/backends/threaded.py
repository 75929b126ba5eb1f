"""What back ends share whose device is called from threads: the queue, the threads, the watchdog and the probe.

Another back end takes two classes and a line in `registry.py`:

    class AbacusNetwork(Network):
        def __init__(self, path, slots):
            self.program = Program(inputs=(...), outputs=(...))   # what it takes and gives
            self.slots, self.detail = slots, "an abacus"

        def infer(self, inputs, rows):
            return {"answer": count_beads(inputs["x"])}           # what it raises is that batch's error

        def unload(self): ...

    class AbacusBackend(ThreadedBackend):
        name = "abacus"
        uses = frozenset({"num_activations", "set_size"})         # of the 61 keywords

        def load(self, model, options):                           # again at every probe
            activations, set_size = self.concurrency(options)
            return AbacusNetwork(model.path, activations * set_size)

Keywords of its own are the fields of an `Own` model, found in `options.own`; `beside_decoding` may name them too. A
device that takes no open sizes makes its networks by `static_shapes.sized`, which honours `open_batch`, and `ladder`.
The contract tests take it with a line in `CASES`.
"""

import logging
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count as counter
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Condition, Event, Lock, Thread, current_thread, main_thread
from typing import ClassVar, NoReturn
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from engine.backends.base import Around, Backend, BackendOptions, Health, Inference
from engine.errors import DeviceLostError, InferenceError, ModelNotFoundError, NotOpenError, first_line
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors
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


#: What a thread of the crew does for one request. It calls `touch` when it begins anew, so that a loop is no silence.
_Work = Callable[[Callable[[], None]], Inference]


@dataclass(frozen=True, slots=True)
class _Request:
    work: _Work
    future: Future[Inference]


#: The crews that there are, for the end of the program.
_crews: "WeakSet[_Crew]" = WeakSet()
_reaping = Lock()
_reaper: Thread | None = None
_LAST_BATCH_S = 5.0
#: A benchmark's loop says so often that it goes on; time-outs are longer.
_TOUCH_S = 0.001
#: The threads of all back ends.
_ours: "WeakSet[Thread]" = WeakSet()


def _reap_at_the_end() -> None:
    """See to it that no thread computes when Python ends: C++ code would be torn down while it runs, and abort.

    A thread that is no daemon waits for the main one, and Python for it.
    """
    global _reaper  # noqa: PLW0603 - one for the process
    with _reaping:
        if _reaper is None or not _reaper.is_alive():
            _reaper = Thread(target=_reap, name="back-ends-at-exit")
            _reaper.start()


def _reap() -> None:
    main_thread().join()
    error = DeviceLostError("the program ends")
    crews = list(_crews)
    for crew in crews:
        crew.give_up(error)
    deadline_s = time.monotonic() + _LAST_BATCH_S
    for crew in crews:
        crew.wait_for_threads(max(deadline_s - time.monotonic(), 0.0))


class _Crew:
    """The threads that feed one loaded network. When its device is given up, they are left to themselves.

    Everything that is done with the network is a request to the crew, so that no more is done at a time than there are
    threads, the watchdog sees all of it, and nobody lets go of the network while it is in use.
    """

    def __init__(self, network: Network, backend: str) -> None:
        self.network = network
        self.lost: DeviceLostError | None = None
        self._backend = backend
        self._with_rows = frozenset(spec.name for spec in network.program.outputs if network.program.has_rows(spec))
        self._queue: SimpleQueue[_Request | None] = SimpleQueue()
        self._changed = Condition(Lock())
        self._running: dict[int, tuple[float, _Request]] = {}
        #: Requests that are out of `_running`, and whose futures are not done yet.
        self._ending = 0
        self._is_given_up = False
        self._is_handed_back = False
        self._is_finished = False
        self._at_work = network.slots
        _crews.add(self)
        _reap_at_the_end()
        try:
            self._hire(network.slots)
        except BaseException:
            # A machine has so many threads and no more.
            self.give_up(DeviceLostError("its threads could not be started"))
            raise

    def _hire(self, slots: int) -> None:
        for number in range(slots):
            thread = Thread(target=self._serve, args=(number,), name=f"{self._backend}-{number}", daemon=True)
            _ours.add(thread)
            thread.start()

    def put(self, request: _Request) -> None:
        """Queue a request."""
        self._queue.put(request)

    def finish(self) -> bool:
        """Work off the queue and end the threads.

        Returns:
            Whether the network is the caller's to unload; not where the device was lost meanwhile.
        """
        for _ in range(self.network.slots):
            self._queue.put(None)
        with self._changed:
            self._changed.wait_for(
                lambda: (self._is_handed_back and not self._ending) or (not self._at_work and self.lost is None)
            )
            self._is_finished = not self._is_handed_back
            self._changed.notify_all()
            return self._is_finished

    def watch(self, timeout_s: float) -> DeviceLostError | None:
        """Return when the device is lost, with the reason, or when the crew has finished, with None."""
        with self._changed:
            while not self._is_finished:
                if self.lost is not None:
                    return self.lost
                oldest_s = min((started_s for started_s, _ in self._running.values()), default=None)
                # What begins from now on has at least so long; so nobody has to be woken for it.
                wait_s = timeout_s if oldest_s is None else oldest_s + timeout_s - time.monotonic()
                if wait_s <= 0:
                    self.lost = DeviceLostError(
                        f"the device gave no answer within {timeout_s:g} s and is given up (data_path_timeout)"
                    )
                    return self.lost
                self._changed.wait_for(lambda: self.lost is not None or self._is_finished, min(wait_s, TIMEOUT_MAX))
            return None

    def give_up(self, error: DeviceLostError) -> None:
        """Hand everything back; what the device still says is not heard."""
        with self._changed:
            self._is_given_up = True
            requests = [request for _, request in self._running.values()]
            self._running.clear()
        with suppress(Empty):
            while True:
                request = self._queue.get_nowait()
                if request is not None:
                    requests.append(request)
        for _ in range(self.network.slots):
            self._queue.put(None)
        for request in requests:
            complete(request.future, error)
        with self._changed:
            self._is_handed_back = True
            self._changed.notify_all()

    def wait_for_threads(self, timeout_s: float) -> None:
        """Wait until no thread computes any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._at_work, timeout_s)

    def infer(self, inputs: Tensors, count: int | None) -> Inference:
        """Compute one batch, on a thread of the crew."""
        started_s = time.monotonic()
        program, network = self.network.program, self.network
        rows = None if count is None else len(inputs[program.inputs[0].name])
        padded_rows = rows - count if count is not None and rows is not None else 0
        try:
            values = network.infer(inputs, rows)
            if padded_rows:
                values = {
                    name: value[:count] if name in self._with_rows and value.ndim and len(value) == rows else value
                    for name, value in values.items()
                }
        except BaseException as exc:  # noqa: BLE001 - a library may even raise SystemExit
            self.fail(exc, rows)
        if count is not None:
            count_rows(self._backend, count, padded_rows)
        return Inference(values, started_s, time.monotonic(), network.is_simulated, padded_rows)

    def fail(self, exc: BaseException, rows: int | None) -> NoReturn:
        """Raise what a network raised as an error of ours."""
        if isinstance(exc, InferenceError):
            raise exc
        of_rows = "" if rows is None else f" of {rows}"
        raise InferenceError(f"back end {self._backend} failed a batch{of_rows}: {first_line(exc)}") from exc

    def _serve(self, number: int) -> None:
        while (request := self._queue.get()) is not None:
            with self._changed:
                is_refused = self._is_given_up
                if is_refused:
                    self._ending += 1
                else:
                    self._running[number] = (time.monotonic(), request)
            if is_refused:  # it was queued between the last look into the queue and now
                self._end(request, self.lost or DeviceLostError("the device was given up"))
                break
            try:
                result: Inference | BaseException = request.work(partial(self._touch, number, request))
            except BaseException as exc:  # noqa: BLE001 - whatever it is, it is that batch's outcome
                result = exc
            with self._changed:
                is_handed_back = self._running.pop(number, None) is None
                self._ending += not is_handed_back
                if isinstance(result, DeviceLostError) and not is_handed_back:
                    self.lost = self.lost or result
                    self._changed.notify_all()
            if not is_handed_back:
                self._end(request, result)
            del request, result
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    def _touch(self, number: int, request: _Request) -> None:
        with self._changed:
            if self._is_given_up:
                raise self.lost or DeviceLostError("the device was given up")
            self._running[number] = (time.monotonic(), request)

    def _end(self, request: _Request, result: Inference | BaseException) -> None:
        complete(request.future, result)
        with self._changed:
            self._ending -= 1
            if self._is_handed_back:
                self._changed.notify_all()


def complete(future: Future[Inference], result: Inference | BaseException) -> None:
    """End a future. What a callback of somebody else's raises is his, and ends no thread of ours."""
    try:
        if isinstance(result, BaseException):
            future.set_exception(result)
        else:
            future.set_result(result)
    except BaseException:
        log.exception("a callback of a batch's future failed")


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
        self._life: _Life | None = None
        self._process = os.getpid()

    @abstractmethod
    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the model onto the device; the probe calls it as well, each time anew, from a thread of its own.

        Args:
            model: What `compile` gave.
            options: How it is run.

        Raises:
            ModelError: The file cannot be used.
            DeviceNotFoundError: There is no such device, or it refuses the program.
        """

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        """Load the model; see `Backend.open`."""
        if self._life is not None:
            raise InferenceError(f"back end {self.name} is open already: close it first")
        if model is None:
            raise ModelNotFoundError(f"back end {self.name} needs a model: give the path of an .onnx file")
        self.check_model(model)
        network, life = self.load(model, options), _Life()
        try:
            crew = _Crew(network, self.name)
        except BaseException:
            network.unload()
            raise
        self._process = os.getpid()
        with self._lock:
            self._crew, self._life, self._lost = crew, life, None
        guard = Thread(target=self._guard, args=(crew, life, model, options), name=f"{self.name}-watchdog", daemon=True)
        _ours.add(guard)
        guard.start()
        return crew.network.program

    @property
    def slots(self) -> int:
        """How many batches are worked on at a time."""
        crew = self._crew
        return crew.network.slots if crew is not None else 0

    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        crew = self._ready_crew()
        crew.network.program.check(inputs, count)

        def work(_: Callable[[], None]) -> Inference:
            if around is None:
                return crew.infer(inputs, count)
            return around(lambda: crew.infer(inputs, count))

        return self._request(crew, work)

    def benchmark(self, inputs: Tensors, runs: int | None, seconds: float | None) -> tuple[int, float]:
        """Run one batch again and again, each slot in a loop of its own; see `Backend.benchmark`."""
        crew = self._ready_crew()
        network = crew.network
        network.program.check(inputs, None)
        tickets, done, failed = counter(), counter(), Event()
        began_s = time.monotonic()

        def loop(touch: Callable[[], None]) -> Inference:
            touched_s = began_s
            try:
                while not failed.is_set():
                    now_s = time.monotonic()
                    if seconds is not None and now_s - began_s >= seconds:
                        break
                    if runs is not None and next(tickets) >= runs:
                        break
                    if now_s - touched_s > _TOUCH_S:  # a lock that all loops share: not for every inference
                        touch()
                        touched_s = now_s
                    network.infer(inputs, None)
                    next(done)
            except BaseException as exc:  # noqa: BLE001 - raised as an error of ours
                failed.set()
                crew.fail(exc, None)
            return Inference({}, began_s, time.monotonic())

        try:
            for future in [self._request(crew, loop) for _ in range(network.slots)]:
                future.result()
        finally:
            failed.set()  # an interrupt ends the loops as well
        return next(done), time.monotonic() - began_s

    def health(self) -> Health:
        """Tell whether the device can be given work."""
        crew, lost = self._state()
        if crew is not None:
            return Health(is_ready=True, detail=crew.network.detail)
        return Health(is_ready=False, detail=str(lost) if lost is not None else "no model is open")

    def close(self) -> None:
        """Finish what was submitted, and let the device go.

        Where the device is lost, whoever probes it lets it go; that is waited for as long as between two probes.
        """
        if current_thread() in _ours:
            raise InferenceError(f"back end {self.name} cannot be closed by a callback of a batch's future")
        with self._lock:
            life, self._life = self._life, None
            crew, self._crew = self._crew, None
            self._lost = None
        if life is None:
            return
        life.is_closing.set()
        if crew is not None and crew.finish():
            crew.network.unload()
        else:
            life.is_let_go.wait(self.probe_after_s)

    def _request(self, crew: _Crew, work: _Work) -> Future[Inference]:
        future: Future[Inference] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:  # closing waits for all that was queued before
            if self._ready_crew() is not crew:
                raise NotOpenError("the model was loaded anew meanwhile: submit the batch again")
            crew.put(_Request(work, future))
        return future

    def _state(self) -> tuple[_Crew | None, DeviceLostError | None]:
        """Return who can be given work, or why nobody can."""
        crew, lost = self._crew, self._lost  # another thread may close meanwhile
        if crew is not None and crew.lost is not None:
            return None, crew.lost  # the watchdog is about to give it up
        return crew, lost

    def _ready_crew(self) -> _Crew:
        if self._process != os.getpid():
            raise InferenceError(
                f"back end {self.name} was opened before the process was forked: open another one here"
            )
        crew, lost = self._state()
        if crew is None:
            raise DeviceLostError(str(lost)) if lost is not None else NotOpenError("the back end is closed")
        return crew

    def _guard(self, crew: _Crew, life: "_Life", model: ModelFile, options: BackendOptions) -> None:
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
            current = self._probe(current.network, life, model, options)

    def _probe(self, lost: Network, life: "_Life", model: ModelFile, options: BackendOptions) -> _Crew | None:
        """Load the network again, as soon as that works; None where the back end was closed."""
        try:
            lost.unload()
        except Exception as exc:  # noqa: BLE001 - a broken device may refuse that as well
            log.warning("back end %s: the lost device could not be let go: %s", self.name, first_line(exc))
        while not life.is_closing.is_set():
            life.is_let_go.set()
            if life.is_closing.wait(self.probe_after_s):
                break
            life.is_let_go.clear()
            try:
                network = self.load(model, options)
            except BaseException as exc:  # noqa: BLE001 - it is tried again
                log.warning("back end %s: the device is still lost: %s", self.name, first_line(exc))
                continue
            with self._lock:
                if self._life is life:
                    self._crew, self._lost = _Crew(network, self.name), None
                    log.warning("back end %s: the device is back", self.name)
                    return self._crew
            network.unload()
        life.is_let_go.set()
        return None


class _Life:
    """One opening of a back end, as its watchdog and whoever closes it see it.

    Attributes:
        is_closing: Whether it is over.
        is_let_go: Whether the watchdog holds nothing of the device.
    """

    def __init__(self) -> None:
        self.is_closing = Event()
        self.is_let_go = Event()
