"""The threads that feed one loaded network, and what becomes of them when its device is lost or the program ends."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import TIMEOUT_MAX, Condition, Lock, Thread, main_thread
from typing import NoReturn
from weakref import WeakSet

from engine.backends.base import Inference
from engine.backends.network import Network
from engine.errors import DeviceLostError, InferenceError, first_line
from engine.models.program import Tensors
from engine.telemetry import count_rows

log = logging.getLogger(__name__)

#: What a thread of the crew does for one request. It calls `touch` when it begins anew, so that a loop is no silence.
Work = Callable[[Callable[[], None]], Inference]


@dataclass(frozen=True, slots=True)
class Request:
    """Work for one thread of a crew, and the future of whoever asked for it."""

    work: Work
    future: Future[Inference]


#: The crews that there are, for the end of the program.
_crews: "WeakSet[Crew]" = WeakSet()
_reaping = Lock()
_reaper: Thread | None = None
_LAST_BATCH_S = 5.0
#: The threads of all back ends.
OUR_THREADS: "WeakSet[Thread]" = WeakSet()


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


class Crew:
    """The threads that feed one loaded network. When its device is given up, they are left to themselves.

    Everything that is done with the network is a request to the crew, so that no more is done at a time than there are
    threads, the watchdog sees all of it, and nobody lets go of the network while it is in use.
    """

    def __init__(self, network: Network, backend: str) -> None:
        self.network = network
        self.lost: DeviceLostError | None = None
        self._backend = backend
        self._with_rows = frozenset(spec.name for spec in network.program.outputs if network.program.has_rows(spec))
        self._queue: SimpleQueue[Request | None] = SimpleQueue()
        self._changed = Condition(Lock())
        self._running: dict[int, tuple[float, Request]] = {}
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
            OUR_THREADS.add(thread)
            thread.start()

    def put(self, request: Request) -> None:
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

    def _touch(self, number: int, request: Request) -> None:
        with self._changed:
            if self._is_given_up:
                raise self.lost or DeviceLostError("the device was given up")
            self._running[number] = (time.monotonic(), request)

    def _end(self, request: Request, result: Inference | BaseException) -> None:
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
