"""An item's way through the steps."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

from engine.pipeline.graph import Graph

Ended = Callable[["Journey"], None]


class Journey(ABC):
    """One item from `submit` to its outcome, over all branches that it takes at a time.

    It ends when no branch of it is under way any more; an error of one branch ends the others at their next step.

    Attributes:
        value: What the last step gave, once it has ended.
        error: What a step raised first; a journey with an error enters no further step.
    """

    __slots__ = ("_ended", "_inputs", "_live", "_lock", "_results", "error", "value")

    def __init__(self, ended: Ended) -> None:
        """Begin.

        Args:
            ended: Called once, on the thread that ended it; it sees to `hand_over`.
        """
        self.value: Any = None
        self.error: BaseException | None = None
        self._ended = ended
        self._live = 1
        self._lock = Lock()
        self._inputs: dict[int, dict[int, Any]] = {}
        self._results: dict[int, Any] = {}

    @abstractmethod
    def hand_over(self) -> None:
        """Give value or error to whoever waits for it."""

    def begin(self, branches: int) -> None:
        """Set out on several branches at once."""
        self._live = branches

    def arrive(self, value: Any) -> None:
        """Note the end of the only branch."""
        if self.error is None:
            self.value = value
        self._ended(self)

    def fail(self, error: BaseException) -> None:
        """Note that a branch ends with an error."""
        with self._lock:
            self.error = self.error or error
            self._live -= 1
            is_over = not self._live
        if is_over:
            self._ended(self)

    def cancel(self, error: BaseException) -> None:
        """Let every branch end where it enters its next step."""
        with self._lock:
            self.error = self.error or error

    def advance(self, graph: Graph, names: tuple[str, ...], index: int, value: Any) -> list[tuple[int, Any]]:
        """Note what a step gave, and return the steps that go on with it: each with its value.

        A step that follows several is among them when the last of these has given its value.
        """
        onward: list[tuple[int, Any]] = []
        with self._lock:
            if index in graph.lasts:
                self._results[index] = value
            for step in graph.successors[index]:
                follows = graph.predecessors[step]
                if len(follows) == 1:
                    onward.append((step, value))
                    continue
                inputs = self._inputs.setdefault(step, {})
                inputs[index] = value
                if len(inputs) == len(follows):
                    onward.append((step, tuple(inputs[other] for other in follows)))
                    del self._inputs[step]
            self._live += len(onward) - 1
            is_over = not self._live
        if is_over:
            if self.error is None:
                single = len(graph.lasts) == 1
                self.value = value if single else {names[step]: self._results[step] for step in graph.lasts}
            self._ended(self)
        return onward


class SubmittedJourney(Journey):
    """Somebody holds its future."""

    __slots__ = ("future",)

    def __init__(self, ended: Ended) -> None:
        super().__init__(ended)
        self.future: Future[Any] = Future()
        # From here on it cannot be cancelled.
        self.future.set_running_or_notify_cancel()

    def hand_over(self) -> None:
        """Complete the future; its callbacks run here."""
        if self.error is None:
            self.future.set_result(self.value)
        else:
            self.future.set_exception(self.error)


class Token:
    """Something that waits for a step, or is in it: one branch of a journey."""

    __slots__ = ("arrived_s", "journey", "value")

    def __init__(self, journey: Journey, value: Any) -> None:
        self.journey = journey
        self.value = value
        self.arrived_s = 0.0
