"""One step of a pipeline."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a step has done since its pipeline was started.

    Attributes:
        executions: Items that it finished or failed.
        execution_s: Time that it worked on them, all together.
        waiting_s: Time that they waited for it, all together.
    """

    name: str
    executions: int
    execution_s: float
    waiting_s: float


class Step:
    """A named function over items.

    The function takes an item and returns the next step's item, or a `Future` of it where somebody else does the
    work (a device). What it raises is the outcome of that item alone.
    """

    def __init__(self, name: str, function: Callable[[Any], Any | Future[Any]], parallel_steps: int = 0) -> None:
        """Name a function.

        Args:
            name: What statistics call it.
            function: What it does to an item.
            parallel_steps: How many items it works on at a time, each in a thread of its own; 0 runs it in the
                thread that brings the item, for work that is short or done elsewhere.
        """
        if parallel_steps < 0:
            raise ValueError(f"step {name}: parallel_steps is {parallel_steps}, below 0")
        self.name = name
        self.function = function
        self.parallel_steps = parallel_steps
        self._lock = Lock()
        self._executions = 0
        self._execution_s = 0.0
        self._waiting_s = 0.0

    def count(self, waiting_s: float, execution_s: float) -> None:
        """Add one item to the statistics. Any thread may call."""
        with self._lock:
            self._executions += 1
            self._waiting_s += waiting_s
            self._execution_s += execution_s

    def statistics(self) -> StepStatistics:
        """Return what the step has done so far."""
        with self._lock:
            return StepStatistics(self.name, self._executions, self._execution_s, self._waiting_s)
