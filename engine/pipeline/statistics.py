"""What a step has done, as frozen figures."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Durations:
    """How long something took; all zero where it never happened. Percentiles are right to 1 %."""

    min_s: float = 0.0
    mean_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0


@dataclass(frozen=True, slots=True)
class BatchTime:
    """How long a batch of some size takes.

    Attributes:
        executions: How many were measured; 0 where the time is from the warm-up.
    """

    size: int
    executions: int
    mean_s: float


@dataclass(frozen=True, slots=True)
class StepStatistics:
    """What a step has done since its pipeline was started, or the figures were reset.

    Attributes:
        after: The steps that it follows.
        parallel_steps: Threads; 0 where it runs on the thread that brings the item.
        max_batch_size: None where it takes one item at a time.
        executions: Calls of its function that were finished or failed.
        items: Items in them.
        execution_s: Time that it worked, all calls together.
        waiting_s: Time that items waited for it, all together.
        execution: Of a call.
        waiting: Of an item.
        utilisation: The share of its threads' time in which they worked, 0–1; without threads, of one thread's.
        batch_times: Of calls that did not fail, by size, ascending.
        is_deferred: Whether its function leaves the work to somebody else (it gives futures).
        parallel_limit: More threads than this are of no use; None where none such is known.
        batch_limit: The largest batch that it may be given.
        has_fixed_batch: Whether every execution is of `batch_limit` rows, padded.
    """

    name: str
    after: tuple[str, ...] = ()
    parallel_steps: int = 1
    max_batch_size: int | None = None
    executions: int = 0
    items: int = 0
    execution_s: float = 0.0
    waiting_s: float = 0.0
    execution: Durations = Durations()
    waiting: Durations = Durations()
    utilisation: float = 0.0
    batch_times: tuple[BatchTime, ...] = ()
    is_deferred: bool = False
    parallel_limit: int | None = None
    batch_limit: int | None = None
    has_fixed_batch: bool = False

    @property
    def mean_batch_size(self) -> float:
        """Items in a call, on average; 0 without any."""
        return self.items / self.executions if self.executions else 0.0
