"""What back ends share whose device is called from threads: the watchdog and the probe.

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

Keywords of its own are the fields of an `Own` model, found by `options.own_of`; `defaults` may name them too. A
device that takes no open sizes makes its networks by `static_shapes.sized`, which honours `open_batch`, and `ladder`.
The contract tests take it with a line in `CASES`.
"""

import logging
import os
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from itertools import count as counter
from threading import Event, Lock, Thread, current_thread
from typing import ClassVar

from engine.backends.base import Around, Backend, BackendOptions, BenchmarkRun, Health, Inference
from engine.backends.crew import OUR_THREADS, Crew, Request, Work
from engine.backends.network import Network
from engine.errors import DeviceLostError, InferenceError, ModelNotFoundError, NotOpenError, first_line
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors
from engine.spread import Spread
from engine.telemetry import count_loss

log = logging.getLogger(__name__)

#: A benchmark's loop says so often that it goes on; time-outs are longer.
_TOUCH_S = 0.001


class ThreadedBackend(Backend):
    """A back end whose device is called from threads, one for each slot.

    A subclass says how a network is loaded. A watchdog gives a device up that is silent for too long, or that says it
    is broken, and loads the network again when the device has been left alone for `probe_after_s`.
    """

    #: Source: qualcomm/vllm-qaic ci_scripts/scheduler.py, which waits so long before it uses a released device again.
    probe_after_s: ClassVar[float] = 5.0

    def __init__(self) -> None:
        self._lock = Lock()
        self._crew: Crew | None = None
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
            crew = Crew(network, self.name)
        except BaseException:
            network.unload()
            raise
        self._process = os.getpid()
        with self._lock:
            self._crew, self._life, self._lost = crew, life, None
        guard = Thread(target=self._guard, args=(crew, life, model, options), name=f"{self.name}-watchdog", daemon=True)
        OUR_THREADS.add(guard)
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

    def benchmark(self, inputs: Tensors, runs: int | None, seconds: float | None) -> BenchmarkRun:
        """Run one batch again and again, each slot in a loop of its own; see `Backend.benchmark`."""
        crew = self._ready_crew()
        network = crew.network
        network.program.check(inputs, None)
        tickets, failed, of_loops = counter(), Event(), list[Spread]()
        began_s = time.monotonic()

        def loop(touch: Callable[[], None]) -> Inference:
            touched_s = began_s
            of_loops.append(latencies_s := Spread.fine())  # one for each loop: they share nothing that needs a lock
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
                    latencies_s.add(time.monotonic() - now_s)
            except BaseException as exc:  # noqa: BLE001 - raised as an error of ours
                failed.set()
                crew.fail(exc, None)
            return Inference({}, began_s, time.monotonic())

        try:
            for future in [self._request(crew, loop) for _ in range(network.slots)]:
                future.result()
        finally:
            failed.set()  # an interrupt ends the loops as well
        took_s = time.monotonic() - began_s
        latencies_s = Spread.fine()
        for of_loop in of_loops:
            latencies_s.merge(of_loop)
        return BenchmarkRun(took_s, latencies_s)

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
        if current_thread() in OUR_THREADS:
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

    def _request(self, crew: Crew, work: Work) -> Future[Inference]:
        future: Future[Inference] = Future()
        future.set_running_or_notify_cancel()
        with self._lock:  # closing waits for all that was queued before
            if self._ready_crew() is not crew:
                raise NotOpenError("the model was loaded anew meanwhile: submit the batch again")
            crew.put(Request(work, future))
        return future

    def _state(self) -> tuple[Crew | None, DeviceLostError | None]:
        """Return who can be given work, or why nobody can."""
        crew, lost = self._crew, self._lost  # another thread may close meanwhile
        if crew is not None and crew.lost is not None:
            return None, crew.lost  # the watchdog is about to give it up
        return crew, lost

    def _ready_crew(self) -> Crew:
        if self._process != os.getpid():
            raise InferenceError(
                f"back end {self.name} was opened before the process was forked: open another one here"
            )
        crew, lost = self._state()
        if crew is None:
            raise DeviceLostError(str(lost)) if lost is not None else NotOpenError("the back end is closed")
        return crew

    def _guard(self, crew: Crew, life: "_Life", model: ModelFile, options: BackendOptions) -> None:
        """Watch the device until the back end is closed; the watchdog's thread."""
        current: Crew | None = crew
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

    def _probe(self, lost: Network, life: "_Life", model: ModelFile, options: BackendOptions) -> Crew | None:
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
                    self._crew, self._lost = Crew(network, self.name), None
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
