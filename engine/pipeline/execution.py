"""Calls a step's function and sees to what it gives: values, errors, or futures of them."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import CancelledError, Future
from functools import partial
from threading import Lock
from typing import Any

from engine.errors import PipelineError
from engine.pipeline.journey import Token
from engine.pipeline.meter import Meter, durations
from engine.pipeline.outcome import Failed
from engine.pipeline.statistics import BatchTime, StepStatistics
from engine.pipeline.step import Step


class Surroundings(ABC):
    """What a step knows of the others. Any thread may call.

    Attributes:
        is_draining: Whether no new item enters the pipeline for now.
    """

    is_draining: bool = False

    @abstractmethod
    def forward(self, index: int, tokens: Sequence[Token], values: Sequence[Any]) -> None:
        """Take what a step gave for these tokens, each its value, to whatever follows."""

    @abstractmethod
    def comes_nothing(self, index: int) -> bool:
        """Tell, while draining, whether no item can reach a step any more."""

    @abstractmethod
    def reconfigured(self) -> None:
        """Hear that a step has another number of threads, or batches of another size."""

    @abstractmethod
    def emptied(self, index: int) -> None:
        """Hear, while draining, that a step has nothing to do any more."""


class Execution:
    """The work of one step, on whatever thread brings it, and its figures."""

    def __init__(
        self, step: Step, index: int, follows: tuple[str, ...], onward: Surroundings, released: Callable[[int], None]
    ) -> None:
        """Say whose work it is.

        Args:
            step: The step.
            index: Which one of the pipeline.
            follows: The names of those before it.
            onward: Takes what it gives.
            released: Hears how many items were finished that `execute` had left to somebody else.
        """
        self._step = step
        self._index = index
        self._follows = follows
        self._onward = onward
        self._released = released
        self._lock = Lock()
        self._meter = Meter(time.monotonic(), 0)

    def execute(self, tokens: list[Token]) -> int:
        """Call the function and take what it gives onward.

        Returns:
            How many of the items the step is done with; somebody else still works on the others.

        Raises:
            BaseException: What the function raised, where it is no `Exception`; it is the items' outcome as well.
        """
        going = [token for token in tokens if token.journey.error is None]
        if len(going) < len(tokens):
            # Another branch may set an error at any moment: who goes was decided above, once.
            goes = set(map(id, going))
            for token in tokens:
                if id(token) not in goes:
                    token.journey.fail(token.journey.error or CancelledError())
            if not going:
                return len(tokens)
        step = self._step
        began_s = time.monotonic()
        try:
            if step.max_batch_size is None:
                result = step.function(going[0].value)
            else:
                result = step.function([token.value for token in going])
        except BaseException as exc:  # whatever a step raises is the outcome of its items
            self._fail(going, began_s, exc)
            if not isinstance(exc, Exception):
                raise
            return len(tokens)
        if isinstance(result, Future):
            self._meter.is_deferred = True
            result.add_done_callback(partial(self._completed, going, began_s))
            return len(tokens) - len(going)
        self._finish(going, began_s, result)
        return len(tokens)

    def resize(self, parallel_steps: int) -> None:
        """Note how many calls there can be at a time from now on."""
        with self._lock:
            self._meter.resize(time.monotonic(), parallel_steps)

    def reset(self, parallel_steps: int) -> None:
        """Count anew."""
        with self._lock:
            self._meter = Meter(time.monotonic(), parallel_steps)

    def statistics(self) -> StepStatistics:
        """Return what the step has done."""
        step = self._step
        tried = {size: BatchTime(size, 0, time_s) for size, time_s in step.known_times_s.items()}
        with self._lock:
            meter = self._meter
            return StepStatistics(
                name=step.name,
                after=self._follows,
                parallel_steps=step.parallel_steps,
                max_batch_size=step.max_batch_size,
                executions=meter.execution.count,
                items=meter.waiting.count,
                execution_s=meter.execution.total,
                waiting_s=meter.waiting.total,
                execution=durations(meter.execution),
                waiting=durations(meter.waiting),
                utilisation=meter.utilisation(time.monotonic()),
                batch_times=tuple(time for _, time in sorted((tried | meter.batch_times()).items())),
                is_deferred=meter.is_deferred,
                parallel_limit=step.parallel_limit,
                batch_limit=step.batch_limit,
                has_fixed_batch=step.has_fixed_batch,
            )

    def _completed(self, tokens: list[Token], began_s: float, result: Future[Any]) -> None:
        """Go on with what somebody else has finished."""
        error = CancelledError() if result.cancelled() else result.exception()
        try:
            if error is not None:
                self._fail(tokens, began_s, error)
            else:
                self._finish(tokens, began_s, result.result())
        finally:
            self._released(len(tokens))

    def _finish(self, tokens: list[Token], began_s: float, result: Any) -> None:
        values: Sequence[Any] = (result,)
        if self._step.max_batch_size is not None:
            try:
                values = self._values(result, len(tokens))
            except Exception as exc:  # noqa: BLE001 - a list of the user's own may raise anything
                self._fail(tokens, began_s, exc)
                return
        ended_s = time.monotonic()
        with self._lock:
            self._meter.count(tokens, began_s, ended_s, is_good=True)
        if Failed in map(type, values):
            tokens, values = _without_failed(tokens, values)
        self._onward.forward(self._index, tokens, values)

    def _fail(self, tokens: list[Token], began_s: float, error: BaseException) -> None:
        ended_s = time.monotonic()
        with self._lock:
            self._meter.count(tokens, began_s, ended_s, is_good=False)
        for token in tokens:
            token.journey.fail(error)

    def _values(self, result: Any, count: int) -> list[Any]:
        """Return the values for a batch.

        Raises:
            PipelineError: They are not as many as there are items.
        """
        given = "something without a length"
        if hasattr(result, "__len__"):
            values = list(result)
            if len(values) == count and not isinstance(result, (Mapping, AbstractSet, str, bytes)):
                return values
            given = f"{len(values)} values"
        raise PipelineError(
            f"step {self._step.name} gave {given} ({type(result).__name__}) for a batch of {count}: "
            "a function with a max_batch_size returns a list with one value for each item"
        )


def _without_failed(tokens: Sequence[Token], values: Sequence[Any]) -> tuple[list[Token], list[Any]]:
    """Fail the items that failed alone, and return the others."""
    good: list[tuple[Token, Any]] = []
    for token, value in zip(tokens, values, strict=True):
        if isinstance(value, Failed):
            token.journey.fail(value.error)
        else:
            good.append((token, value))
    return [token for token, _ in good], [value for _, value in good]
