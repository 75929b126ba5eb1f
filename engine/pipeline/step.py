"""One step of a pipeline: a named function, and how it is run."""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final, Protocol

from engine.errors import PipelineError

#: How long a batch's first item waits for company, as in the consumer.
BATCH_TIMEOUT_S: Final = 0.02
_MAX_PARALLEL_STEPS: Final = 1024


class Runs(Protocol):
    """Whatever runs a step, and has to know when it is configured anew."""

    def reconfigure(self) -> None:
        """Look at the step again."""


class Step:
    """A named function over items.

    The function takes an item and returns the next step's item, or a `Future` of it where somebody else does the
    work (a device). What it raises is the outcome of that item alone. With a `max_batch_size` it takes a list of items
    and returns a list of as many values; what it raises is the outcome of every item of that batch, and a `Failed` in
    place of a value that of one item. Several threads call it at a time.

    A step that follows several gets a tuple of their values, in the order in which they are named.
    """

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any | Future[Any]],
        max_batch_size: int | None = None,
        *,
        parallel_steps: int = 1,
        batch_timeout_s: float = BATCH_TIMEOUT_S,
        after: "Iterable[Step | str] | None" = None,
    ) -> None:
        """Name a function.

        Args:
            name: What statistics, errors and other steps call it.
            function: What it does to an item.
            max_batch_size: Items in a batch, at the most; None for a function that takes one item.
            parallel_steps: How many calls there are at a time, each in a thread of its own; 0 runs the function in
                the thread that brings the item, for work that is short or done elsewhere.
            batch_timeout_s: How long a batch's first item waits for company; 0 takes what is there.
            after: The steps that it follows, or their names; empty for one that gets the pipeline's item, None for the
                step that is listed before it.

        Raises:
            PipelineError: A value is out of its range.
        """
        if not isinstance(name, str) or not name:
            raise PipelineError(f"a step has the name {name!r}: give it some text")
        if not batch_timeout_s >= 0:
            raise PipelineError(f"step {name}: batch_timeout_s is {batch_timeout_s}: give 0 or more seconds")
        self.name: Final = name
        self.function = function
        self.batch_timeout_s: Final = batch_timeout_s
        #: The names of the steps that it follows; None for the one that is listed before it.
        self.after: Final = (
            None if after is None else tuple(step.name if isinstance(step, Step) else step for step in after)
        )
        self._parallel_steps = parallel_steps
        self._max_batch_size = max_batch_size
        self._batch_limit = max_batch_size
        self._runner: Runs | None = None
        self._check(parallel_steps, max_batch_size)

    @property
    def parallel_steps(self) -> int:
        """How many calls there are at a time; 0 where the step runs on the thread that brings the item."""
        return self._parallel_steps

    @property
    def max_batch_size(self) -> int | None:
        """Items in a batch, at the most; None where the function takes one item."""
        return self._max_batch_size

    @property
    def batch_limit(self) -> int | None:
        """The largest batch that the step was ever said to take; advice goes no further."""
        return self._batch_limit

    @property
    def has_fixed_batch(self) -> bool:
        """Whether smaller batches take as long as full ones."""
        return False

    @property
    def parallel_limit(self) -> int | None:
        """More threads than this are of no use; None where no such number is known."""
        return None

    @property
    def known_times_s(self) -> Mapping[int, float]:
        """How long batches take that the step has tried out before its first item, by size."""
        return {}

    def set_parallel_steps(self, parallel_steps: int) -> None:
        """Change how many calls there are at a time, before the pipeline runs or while it does.

        Raises:
            PipelineError: The number is out of its range.
        """
        self._check(parallel_steps, self._max_batch_size)
        self._parallel_steps = parallel_steps
        self._reconfigured()

    def set_max_batch_size(self, max_batch_size: int) -> None:
        """Change how many items a batch has at the most, before the pipeline runs or while it does.

        Raises:
            PipelineError: The number is out of its range, or the function takes one item.
        """
        if self._max_batch_size is None:
            raise PipelineError(f"step {self.name} takes one item at a time: give it a max_batch_size where it is made")
        self._check(self._parallel_steps, max_batch_size)
        self._max_batch_size = max_batch_size
        self._batch_limit = max(self._batch_limit or 1, max_batch_size)
        self._reconfigured()

    def attach(self, runner: Runs) -> None:
        """Belong to what runs the step from now on.

        Raises:
            PipelineError: The step runs in another pipeline.
        """
        if self._runner is not None:
            raise PipelineError(f"step {self.name} runs in a pipeline already: make another step, or close that one")
        self._runner = runner

    def detach(self, runner: Runs) -> None:
        """Belong to nobody."""
        if self._runner is runner:
            self._runner = None

    @property
    def is_attached(self) -> bool:
        """Whether a pipeline runs the step."""
        return self._runner is not None

    def open(self) -> None:
        """Get ready, as the pipeline starts."""

    def close(self) -> None:
        """Let go of what `open` took, when the pipeline has closed."""

    def _check(self, parallel_steps: int, max_batch_size: int | None) -> None:
        if not _is_count(parallel_steps) or not 0 <= parallel_steps <= _MAX_PARALLEL_STEPS:
            raise PipelineError(
                f"step {self.name}: parallel_steps is {parallel_steps!r}: give 0 to {_MAX_PARALLEL_STEPS}"
            )
        if max_batch_size is not None and (not _is_count(max_batch_size) or max_batch_size < 1):
            raise PipelineError(f"step {self.name}: max_batch_size is {max_batch_size!r}: give 1 or more")
        if max_batch_size is not None and parallel_steps == 0:
            raise PipelineError(f"step {self.name} gathers batches, which takes a thread: parallel_steps is 1 or more")

    def _reconfigured(self) -> None:
        runner = self._runner
        if runner is not None:
            runner.reconfigure()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
