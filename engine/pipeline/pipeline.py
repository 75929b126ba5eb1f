"""The runner: items go from step to step, each step with as many threads as it was given."""

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from functools import partial
from threading import Condition
from typing import Any, Self

from engine.pipeline.step import Step, StepStatistics


class Pipeline:
    """Takes items through steps; several are on their way at a time.

    An item may be a whole micro-batch. Items finish in any order, and an item that fails fails its own future
    alone. How many are on their way is the caller's to bound, by not submitting more.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        """Line the steps up; no thread is started."""
        self.steps = tuple(steps)
        self._pools: list[ThreadPoolExecutor | None] = []
        self._changed = Condition()
        self._is_open = False
        self._on_their_way = 0
        self._has_given_up = False

    def start(self) -> None:
        """Start the threads of the steps that have some."""
        if self._is_open:
            raise RuntimeError("the pipeline is started already")
        self._pools = [
            ThreadPoolExecutor(step.parallel_steps, thread_name_prefix=step.name) if step.parallel_steps else None
            for step in self.steps
        ]
        self._is_open = True

    def submit(self, item: Any) -> Future[Any]:
        """Send an item on its way; the future has what the last step gives, or what a step raised.

        Any thread may call. The future cannot be cancelled. Its callbacks run on the thread that finished the
        item: they must be short.
        """
        with self._changed:
            if not self._is_open:
                raise RuntimeError("the pipeline is not started, or closed")
            self._on_their_way += 1
        outcome: Future[Any] = Future()
        outcome.set_running_or_notify_cancel()
        self._enter(0, item, outcome)
        return outcome

    def statistics(self) -> list[StepStatistics]:
        """Return what each step has done so far."""
        return [step.statistics() for step in self.steps]

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the items on their way, through every step, and let the threads go.

        It waits for what others do for a step as well (a device): they have to be closed later. Closing twice is
        harmless. A callback of an item's future must not close.

        Args:
            timeout_s: How long to wait; None waits for as long as it takes.

        Returns:
            Whether everything was finished. Where not, what has begun is left to its thread, what has not never
            will be, and closing again waits no more.
        """
        with self._changed:
            self._is_open = False
            is_done = self._changed.wait_for(lambda: not self._on_their_way, 0 if self._has_given_up else timeout_s)
            self._has_given_up = not is_done
        for pool in self._pools:
            if pool is not None:
                pool.shutdown(wait=is_done, cancel_futures=not is_done)
        return is_done

    def __enter__(self) -> Self:
        """Start, for a `with` block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _enter(self, index: int, item: Any, outcome: Future[Any]) -> None:
        """Bring an item to a step, or to the end."""
        if index == len(self.steps):
            self._finish(outcome, item, None)
            return
        arrived_s = time.monotonic()
        pool = self._pools[index]
        if pool is None:
            self._execute(index, item, outcome, arrived_s)
            return
        try:
            pool.submit(self._execute, index, item, outcome, arrived_s)
        except RuntimeError as exc:  # the interpreter ends
            self._finish(outcome, None, exc)

    def _execute(self, index: int, item: Any, outcome: Future[Any], arrived_s: float) -> None:
        step = self.steps[index]
        began_s = time.monotonic()
        try:
            result = step.function(item)
        except BaseException as exc:  # whatever a step raises is that item's outcome
            step.count(began_s - arrived_s, time.monotonic() - began_s)
            self._finish(outcome, None, exc)
            if not isinstance(exc, Exception):
                raise
            return
        if isinstance(result, Future):
            result.add_done_callback(partial(self._completed, index, outcome, arrived_s, began_s))
            return
        step.count(began_s - arrived_s, time.monotonic() - began_s)
        self._enter(index + 1, result, outcome)

    def _completed(
        self, index: int, outcome: Future[Any], arrived_s: float, began_s: float, result: Future[Any]
    ) -> None:
        """Go on with what somebody else has finished."""
        self.steps[index].count(began_s - arrived_s, time.monotonic() - began_s)
        error = CancelledError() if result.cancelled() else result.exception()
        if error is not None:
            self._finish(outcome, None, error)
        else:
            self._enter(index + 1, result.result(), outcome)

    def _finish(self, outcome: Future[Any], item: Any, error: BaseException | None) -> None:
        """Hand an item's outcome over; only then `close` may go on."""
        if error is None:
            outcome.set_result(item)
        else:
            outcome.set_exception(error)
        with self._changed:
            self._on_their_way -= 1
            self._changed.notify_all()
