"""Blocking calls that nothing can interrupt, kept away from the thread that must go on."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

_Result = TypeVar("_Result")

#: How long `finish` waits for the last job. A device must be free before it is opened again.
FINISH_WAIT_S = 1.0


class InterruptedCallError(Exception):
    """The call was given up because `interrupt` was called."""


class Worker:
    """One helper thread that runs jobs one at a time for one calling thread.

    A driver that hangs, or a name server that does not answer, blocks inside C where no time-out reaches. Here it
    blocks the helper; the caller goes on after its time-out. After a time-out or an interruption the worker is
    spent: only `finish` may follow, and the thread ends when its blocked job does.

    Which thread: `call` and `finish` from the owner's, `interrupt` from any.
    What is not promised: that a job which was given up has ended.

    Args:
        name: The thread's name.
    """

    def __init__(self, name: str) -> None:
        self._jobs: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._answers: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def call(self, job: Callable[[], _Result], timeout_s: float) -> _Result:
        """Run `job` in the helper thread.

        Args:
            job: What to run.
            timeout_s: Seconds to wait for it.

        Returns:
            What `job` returned.

        Raises:
            TimeoutError: It is not done in time.
            InterruptedCallError: `interrupt` was called.
        """
        result: list[_Result] = []
        self._jobs.put(lambda: result.append(job()))
        try:
            failure = self._answers.get(timeout=timeout_s)
        except Empty:
            raise TimeoutError("timed out") from None
        if failure is not None:
            raise failure
        return result[0]

    def interrupt(self) -> None:
        """Make a blocked `call`, or else the next one, raise."""
        self._answers.put(InterruptedCallError("interrupted"))

    def finish(self, last_job: Callable[[], object]) -> None:
        """Run `last_job` after all others and end the thread; wait a little, not for ever."""
        self._jobs.put(last_job)
        self._jobs.put(None)
        self._thread.join(FINISH_WAIT_S)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as exc:  # noqa: BLE001 - it is the caller's to handle
                self._answers.put(exc)
            else:
                self._answers.put(None)
