"""The engine on an event loop."""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Hashable, Mapping
from contextvars import ContextVar
from os import PathLike
from typing import Any, Self

from numpy.typing import NDArray

from engine.backends.base import Health
from engine.engines.collector import Collector
from engine.engines.devices import session_keywords
from engine.engines.options import EngineOptions
from engine.engines.place import LocalPlace, Place
from engine.engines.request import Callback, Request, make_request
from engine.engines.room import Room
from engine.engines.statistics import EngineCounts
from engine.errors import NotOpenError
from engine.models.program import Program
from engine.session import Session

log = logging.getLogger(__name__)

#: Inputs whose errors are logged one by one, where nobody takes them; the others are counted.
_LOGGED_FAILURES = 10
_NOT_OPEN = "the engine is not started, or stopped already"
#: The request whose callback is running. An input that is added by it may take over its place.
_answering: ContextVar[Request | None] = ContextVar("answering", default=None)


class AsyncBatchInferenceEngine:
    """Computes inputs in micro-batches, and calls back with the outputs of each.

        engine = AsyncBatchInferenceEngine("mobilenet_v2.onnx", batch_size=4)
        await engine.start()
        await engine.add_input("a", {"input": pixels}, callback)
        await engine.stop()

    Inputs have a batch axis of their own, mostly of one row, and their outputs have it again. Callbacks are plain or
    async, and run on the loop; an exception of one harms nobody else. An input keeps its place in the queue until its
    callback is done, so what is not answered stays bounded.

    Every method belongs to the loop on which `start` ran.
    """

    def __init__(
        self,
        model_path: str | PathLike[str],
        *,
        backend: str | None = None,
        device: str | None = "AUTO",
        **keywords: Any,
    ) -> None:
        """Remember what is wanted; `start` loads the model.

        Args:
            model_path: An ONNX file, or another kind that the back end takes.
            backend: Its name; None for a card where there is one, else the CPU.
            device: The back end's name for it; AUTO takes the back end's first. CPU, CUDA and OCL are understood.
            **keywords: `batch_size`, `max_queue_size`, `max_queue_bytes`, `batch_timeout`, `when_full`, `on_error`
                (`EngineOptions` tells of each), and those of `Session`.

        Raises:
            OptionsError: A value is out of its range.
        """
        self.options, others = EngineOptions.split(keywords)
        self._model_path = model_path
        self._keywords = others | session_keywords(backend, device)
        self._counts = EngineCounts()
        self._room = Room(self.options.max_queue_size, self.options.max_queue_bytes)
        self._place: Place | None = None
        self._session: Session | None = None
        self._collector: Collector | None = None
        self._callbacks: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._untaken_failures = 0  # nobody was told of them but the log
        self._stopping: asyncio.Task[None] | None = None
        self._stoppers: set[asyncio.Task[Any]] = set()  # callbacks that wait for the stop
        self._is_asked_to_stop = asyncio.Event()

    @property
    def batch_size(self) -> int:
        """Rows in a batch, at the most."""
        return self.options.batch_size

    @property
    def max_queue_size(self) -> int:
        """Inputs that are not answered yet, at the most."""
        return self.options.max_queue_size

    @property
    def stats(self) -> dict[str, Any]:
        """The same as `get_stats()`."""
        return self.get_stats()

    def get_stats(self) -> dict[str, Any]:
        """Return what was counted and measured; times in ms. Every key is there from the start."""
        room = self._room
        return self._counts.summary() | {
            "queue": {
                "inputs": room.inputs,
                "bytes": room.size_bytes,
                "max_inputs": room.max_inputs,
                "max_bytes": room.max_bytes,
                "full": dict(room.full),
            }
        }

    @property
    def program(self) -> Program:
        """What the model takes and gives.

        Raises:
            NotOpenError: The engine is not started.
        """
        return self._opened().program

    @property
    def backend_name(self) -> str:
        """The back end that computes on this machine."""
        return self._opened().backend_name

    def health(self) -> Health:
        """Tell whether this machine's device can be given work."""
        if self._session is None:
            return Health(is_ready=False, detail="the engine is not started")
        return self._session.health()

    async def start(self) -> None:
        """Load the model.

        Raises:
            EngineError: The model, the back end or the device cannot be used.
            RuntimeError: It is started already.
        """
        if self._place is not None:
            raise RuntimeError("the engine is started already: make another one")
        place = await self._make_place()
        try:
            await place.open()
        except BaseException:
            await place.close()
            raise
        self._place = place
        self._collector = Collector(
            place, self.options.batch_size, self.options.batch_timeout, self._counts, self._finished
        )
        self._is_open = True

    async def stop(self) -> None:
        """Compute and answer what was added, wait for every callback, and let the device go. Twice is harmless.

        A callback may stop the engine; it does not wait for itself.
        """
        self._is_open = False
        if self._collector is None or self._place is None:
            return
        own = asyncio.current_task()
        if own in self._callbacks:
            self._stoppers.add(own)
            self._is_asked_to_stop.set()
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._shut(self._collector, self._place))
        await asyncio.shield(self._stopping)  # who gives up waiting does not keep the device from being let go

    async def _shut(self, collector: Collector, place: Place) -> None:
        self._room.close()
        await collector.drain()
        while others := self._callbacks - self._stoppers:
            self._is_asked_to_stop.clear()
            asked = asyncio.create_task(self._is_asked_to_stop.wait())
            await asyncio.wait({*others, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
        if (others_failed := self._untaken_failures - _LOGGED_FAILURES) > 0:
            log.error("%d more inputs failed", others_failed)
        await place.close()

    def is_answering(self, stream: str) -> bool:
        """Tell whether this is called by the callback of an input of that stream."""
        request = _answering.get()
        is_own = request is not None and request.owner is self and request.stream == stream
        return is_own and asyncio.current_task() in self._callbacks

    async def __aenter__(self) -> Self:
        """Start, for an `async with` block."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def add_input(self, input_id: Hashable, inputs: Mapping[str, Any], callback: Callback | None = None) -> None:
        """Hand over an input; where the queue is full, wait for room (or raise, with `when_full="raise"`).

        Args:
            input_id: What the callback and errors call it.
            inputs: Name → array, each with a batch axis.
            callback: Takes the id and the outputs.

        Raises:
            InferenceError: The arrays are no input.
            QueueFullError: The queue is full, and `when_full` says not to wait.
            NotOpenError: The engine is not started, or stopped.
        """
        await self.enter(make_request(input_id, inputs, callback))

    async def infer(self, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Hand over an input, and return its outputs; it shares a batch with whatever else comes.

        Raises:
            InferenceError: It failed; or as of `add_input`.
        """
        answer: asyncio.Future[dict[str, NDArray[Any]]] = asyncio.get_running_loop().create_future()

        def settle(_: object, value: Any) -> None:
            if answer.done():
                return  # nobody waits any more
            if isinstance(value, Exception):
                answer.set_exception(value)
            else:
                answer.set_result(value)

        request = make_request("of a caller that waits", inputs, settle)
        request.on_error = settle
        await self.enter(request)
        return await answer

    async def enter(self, request: Request, *, may_wait: bool = True) -> None:
        """Take a request up; see `add_input`."""
        self._demand_open()
        parent = _answering.get()
        if parent is not None and parent.owner is self:
            self._free(parent)  # else callbacks that add inputs could wait for one another for ever
        await self._room.take(request.size_bytes, may_wait=may_wait and self.options.when_full == "wait")
        request.holds_room, request.owner = True, self
        collector = self._collector
        if collector is None or not self._is_open:  # it was stopped while this waited
            self._free(request)
            raise NotOpenError(_NOT_OPEN)
        request.added_at_s = time.monotonic()
        self._counts.added(request.stream)
        collector.add(request)

    async def _make_place(self) -> Place:
        self._session = await asyncio.to_thread(Session, self._model_path, company="inferences", **self._keywords)
        return LocalPlace(self._session)

    def _opened(self) -> Session:
        if self._session is None:
            raise NotOpenError("the engine is not started")
        return self._session

    def _demand_open(self) -> None:
        if not self._is_open:
            raise NotOpenError(_NOT_OPEN)

    def _finished(self, request: Request, answer: Any, /, *, is_remote: bool) -> None:
        """Answer a request: its callback, or what is told of errors."""
        if isinstance(answer, Exception):
            self._counts.failed(request.stream)
            on_error = request.on_error or self.options.on_error
            if on_error is None:
                self._log_failure(request, answer)
            self._call(request, on_error, answer)
        else:
            latency_s = time.monotonic() - request.added_at_s
            self._counts.answered(request.stream, latency_s, request.inference_s, is_remote=is_remote)
            self._call(request, request.callback, answer)

    def _log_failure(self, request: Request, error: Exception) -> None:
        self._untaken_failures += 1
        if self._untaken_failures <= _LOGGED_FAILURES:
            is_last = self._untaken_failures == _LOGGED_FAILURES
            ending = " (further ones are counted, and said at the stop)" if is_last else ""
            log.error("input %s failed: %s%s", request.input_id, error, ending)

    def _call(self, request: Request, function: Any, value: object) -> None:
        """Call back, and free the request's place when that is done."""
        token = _answering.set(request)
        try:
            result = None if function is None else function(request.input_id, value)
            if inspect.isawaitable(result):
                task = asyncio.create_task(self._await(request, result))
                self._callbacks.add(task)
                task.add_done_callback(self._callbacks.discard)
                return
        except (Exception, asyncio.CancelledError):  # a plain callback may raise that, too: of another task's result
            log.exception("the callback of input %s failed", request.input_id)
        finally:
            _answering.reset(token)
        self._end(request)

    async def _await(self, request: Request, result: Awaitable[object]) -> None:
        try:
            await result
        except Exception:
            log.exception("the callback of input %s failed", request.input_id)
        finally:
            self._end(request)

    def _end(self, request: Request) -> None:
        """Be done with a request."""
        self._free(request)
        if request.ended is not None:
            request.ended()

    def _free(self, request: Request) -> None:
        if request.holds_room:
            request.holds_room = False
            self._room.give_back(request.size_bytes)
