"""The runner: items go from step to step, each step with as many threads as it was given."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
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

    def start(self) -> None:
        """Start the threads of the steps that have some."""
        self._pools = [
            ThreadPoolExecutor(step.parallel_steps, thread_name_prefix=step.name) if step.parallel_steps else None
            for step in self.steps
        ]

    def submit(self, item: Any) -> Future[Any]:
        """Send an item on its way; the future has what the last step gives, or what a step raised.

        The future's callbacks run on the thread that finished the item: they must be short.
        """
        if len(self._pools) != len(self.steps):
            raise RuntimeError("the pipeline is not started")
        outcome: Future[Any] = Future()
        self._enter(0, item, outcome)
        return outcome

    def statistics(self) -> list[StepStatistics]:
        """Return what each step has done so far."""
        return [step.statistics() for step in self.steps]

    def close(self) -> None:
        """Finish the items on their way, and let the threads go; closing twice is harmless."""
        for pool in self._pools:
            if pool is not None:
                pool.shutdown(wait=True)
        self._pools = []

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
            outcome.set_result(item)
            return
        arrived_s = time.monotonic()
        pool = self._pools[index]
        if pool is None:
            self._execute(index, item, outcome, arrived_s)
            return
        try:
            pool.submit(self._execute, index, item, outcome, arrived_s)
        except RuntimeError as exc:  # closed meanwhile
            outcome.set_exception(exc)

    def _execute(self, index: int, item: Any, outcome: Future[Any], arrived_s: float) -> None:
        step = self.steps[index]
        began_s = time.monotonic()
        try:
            result = step.function(item)
        except Exception as exc:  # noqa: BLE001 - whatever a step raises is that item's outcome
            step.count(began_s - arrived_s, time.monotonic() - began_s)
            outcome.set_exception(exc)
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
        error = result.exception()
        if error is not None:
            outcome.set_exception(error)
        else:
            self._enter(index + 1, result.result(), outcome)
