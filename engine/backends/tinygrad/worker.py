"""The one thread on which tinygrad runs.

tinygrad's settings, graph and devices are the process's own and unguarded, and the connection to its cache of compiled
kernels may only be used from the thread that made it.
"""

from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, TypeVar

from engine.errors import DeviceLostError

Result = TypeVar("Result")


class Worker:
    """A thread that does one task after the other. It begins with the first one and ends with the process."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._lock = Lock()
        self._thread: Thread | None = None
        self._is_busy = False

    @property
    def is_busy(self) -> bool:
        """Whether a task is being done."""
        return self._is_busy

    def post(self, task: Callable[[], object]) -> None:
        """Do a task on the thread when its turn comes, and do not wait."""
        self._put(Future(), task)

    def run(self, task: Callable[[], Result], wait_s: float | None = None) -> Result:
        """Do a task on the thread, and wait for it.

        Args:
            task: What it raises is raised here.
            wait_s: For how long other tasks may go before, however long this one takes; None for any time.

        Raises:
            DeviceLostError: Other tasks took longer, and it was not begun.
        """
        turn: Future[None] = Future()
        future: Future[Result] = Future()

        def begin() -> Result:
            turn.set_result(None)
            return task()

        self._put(future, begin)
        if wait_s is not None:
            try:
                turn.result(wait_s)
            except TimeoutError:
                if future.cancel():
                    message = f"tinygrad has been busy with another batch for {wait_s:g} s: start this program again"
                    raise DeviceLostError(message) from None
        return future.result()

    def _put(self, future: Future[Any], task: Callable[[], Any]) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._work, name="tinygrad", daemon=True)
                self._thread.start()
        self._queue.put((future, task))

    def _work(self) -> None:
        while True:
            future, task = self._queue.get()
            if future.set_running_or_notify_cancel():
                try:
                    result = self._do(task)
                except BaseException as exc:  # noqa: BLE001 - it is raised where somebody waits for it
                    future.set_exception(exc)
                else:
                    future.set_result(result)
                    del result
            del future, task

    def _do(self, task: Callable[[], Any]) -> Any:
        self._is_busy = True
        try:
            return task()
        finally:
            self._is_busy = False


WORKER = Worker()
