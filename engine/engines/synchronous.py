"""The engines without an event loop of the caller's: each runs on a loop of its own, on a thread."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Hashable, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from os import PathLike
from threading import Lock, Thread, current_thread
from typing import Any, ClassVar, Generic, Self, TypeVar

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.distributed import DistributedInferenceEngine
from engine.engines.puller import Source
from engine.engines.request import Callback, make_request
from engine.engines.streaming import Handler, StreamingInferenceEngine
from engine.errors import NotOpenError
from engine.models.program import Program

Engine = TypeVar("Engine", bound=AsyncBatchInferenceEngine)
Result = TypeVar("Result")


class Synchronous(Generic[Engine]):
    """An engine on a loop of its own, for callers that have none. Any thread may call.

    Plain callbacks run on one thread of the engine's, so one that blocks holds up other callbacks and nothing else. One
    may add inputs; where the queue is full it cannot wait for room, since it holds up what makes room, and `add_input`
    raises QueueFullError. Async callbacks run on the loop itself, which would wait for its own end: from there, and
    for `stop` and `stop_stream` from any callback, a call raises RuntimeError.
    """

    Kind: ClassVar[type[AsyncBatchInferenceEngine]] = AsyncBatchInferenceEngine

    def __init__(self, model_path: str | PathLike[str], **keywords: Any) -> None:
        """Remember what is wanted; see `AsyncBatchInferenceEngine`."""
        if (on_error := keywords.get("on_error")) is not None and callable(on_error):
            keywords["on_error"] = self._off_the_loop(on_error)
        self._engine: Any = self.Kind(model_path, **keywords)
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = Thread(target=self._run_loop, name="engine", daemon=True)
        self._callbacks = ThreadPoolExecutor(1, thread_name_prefix="engine-callbacks")
        self._callback_thread: Thread | None = None
        self._is_ending = False

    @property
    def batch_size(self) -> int:
        """Rows in a batch, at the most."""
        return int(self._engine.batch_size)

    @property
    def max_queue_size(self) -> int:
        """Inputs that are not answered yet, at the most."""
        return int(self._engine.max_queue_size)

    @property
    def program(self) -> Program:
        """What the model takes and gives; see `AsyncBatchInferenceEngine.program`."""
        program: Program = self._engine.program
        return program

    @property
    def stats(self) -> dict[str, Any]:
        """The same as `get_stats()`."""
        return self.get_stats()

    def get_stats(self) -> dict[str, Any]:
        """Return what was counted and measured; see `AsyncBatchInferenceEngine.get_stats`."""

        async def ask() -> dict[str, Any]:
            return dict(self._engine.get_stats())

        try:
            return self._wait(ask())
        except NotOpenError:
            return dict(self._engine.get_stats())  # nothing changes it before the start and after the stop

    def start(self) -> None:
        """Load the model; see `AsyncBatchInferenceEngine.start`."""
        with self._lock:
            if self._loop is not None:
                raise RuntimeError("the engine is started already: make another one")
            self._loop = asyncio.new_event_loop()
            self._thread.start()
        try:
            self._callback_thread = self._callbacks.submit(current_thread).result()
            self._wait(self._engine.start())
        except BaseException:
            self._end()
            raise

    def stop(self) -> None:
        """Compute and answer what was added, wait for every callback, and let the device go. Twice is harmless."""
        self._demand_other_thread("stop")
        with self._lock:
            if self._loop is None or self._is_ending:
                return
            stopped = asyncio.run_coroutine_threadsafe(self._engine.stop(), self._loop)
            self._is_ending = True
        try:
            stopped.result()
        finally:
            self._end()

    def __enter__(self) -> Self:
        """Start, for a `with` block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    def add_input(self, input_id: Hashable, inputs: Mapping[str, Any], callback: Callback | None = None) -> None:
        """Hand over an input; see `AsyncBatchInferenceEngine.add_input`."""
        own = None if callback is None else self._off_the_loop(callback)
        may_wait = current_thread() is not self._callback_thread
        self._wait(self._engine.enter(make_request(input_id, inputs, own), may_wait=may_wait))

    def _off_the_loop(self, function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, None]]:
        """Return an async function that calls a plain one on the callbacks' thread, and an async one on the loop."""

        async def call(*arguments: Any) -> None:
            if inspect.iscoroutinefunction(function):
                await function(*arguments)
                return
            result = await asyncio.get_running_loop().run_in_executor(self._callbacks, lambda: function(*arguments))
            if inspect.isawaitable(result):
                await result

        return call

    def _demand_other_thread(self, what: str) -> None:
        if current_thread() in (self._thread, self._callback_thread):
            raise RuntimeError(f"{what} would wait for the callback that calls it: call it from elsewhere")

    def _wait(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Have something done on the loop, and wait for it."""
        try:
            if current_thread() is self._thread:
                raise RuntimeError(
                    "an async callback cannot wait for its own loop: use a plain one, or an async engine"
                )
            with self._lock:
                if self._loop is None or self._is_ending:
                    raise NotOpenError("the engine is not started, or stopped already")
                answer = asyncio.run_coroutine_threadsafe(work, self._loop)
        except BaseException:
            work.close()
            raise
        try:
            return answer.result()
        except CancelledError as exc:
            raise NotOpenError("the engine was stopped meanwhile") from exc

    def _run_loop(self) -> None:
        loop = self._loop
        assert loop is not None
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        finally:
            loop.close()

    def _end(self) -> None:
        self._is_ending = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._callbacks.shutdown()


class BatchInferenceEngine(Synchronous[AsyncBatchInferenceEngine]):
    """Computes inputs in micro-batches, and calls back with the outputs of each.

    engine = BatchInferenceEngine("mobilenet_v2.onnx", batch_size=4)
    engine.start()
    engine.add_input("a", {"input": pixels}, callback)
    engine.stop()
    """


class SyncStreamingInferenceEngine(Synchronous[StreamingInferenceEngine]):
    """`StreamingInferenceEngine` for callers without an event loop."""

    Kind = StreamingInferenceEngine

    def start_stream(self, name: str, source: Source, handler: Handler, interval: float = 0.0) -> None:
        """Begin to ask a source for inputs, and return at once; see `StreamingInferenceEngine.start_stream`."""
        self._wait(self._engine.start_stream(name, source, self._off_the_loop(handler), interval))

    def stop_stream(self, name: str) -> None:
        """Ask for no more inputs, and wait until those on their way are handled; its statistics stay."""
        self._demand_other_thread("stop_stream")
        self._wait(self._engine.stop_stream(name))


class SyncDistributedInferenceEngine(Synchronous[DistributedInferenceEngine]):
    """`DistributedInferenceEngine` for callers without an event loop."""

    Kind = DistributedInferenceEngine
