"""Counts what a step does; cheap enough for every call. Not thread-safe: its step's lock guards it."""

from collections.abc import Sequence

from engine.pipeline.journey import Token
from engine.pipeline.statistics import BatchTime, Durations
from engine.spread import Spread


class Meter:
    """What a step has done since it was started or reset."""

    def __init__(self, now_s: float, parallel_steps: int) -> None:
        """Begin to count."""
        self.execution = Spread()
        self.waiting = Spread()
        self.is_deferred = False
        self._by_size: dict[int, list[float]] = {}
        self._parallel_steps = parallel_steps
        self._since_s = now_s
        self._thread_s = 0.0

    def count(self, tokens: Sequence[Token], began_s: float, ended_s: float, *, is_good: bool) -> None:
        """Count a call of the step's function."""
        execution_s = ended_s - began_s
        self.execution.add(execution_s)
        for token in tokens:
            self.waiting.add(began_s - token.arrived_s)
        if is_good:
            size = len(tokens)
            found = self._by_size.get(size)
            if found is None:
                self._by_size[size] = [1, execution_s]
            else:
                found[0] += 1
                found[1] += execution_s

    def resize(self, now_s: float, parallel_steps: int) -> None:
        """Note that the step has another number of threads from now on (a caller counts as one); 0 where it is over."""
        self._thread_s += self._parallel_steps * (now_s - self._since_s)
        self._since_s = now_s
        self._parallel_steps = parallel_steps

    def utilisation(self, now_s: float) -> float:
        """Return the share of the threads' time in which they worked, 0–1."""
        thread_s = self._thread_s + self._parallel_steps * (now_s - self._since_s)
        return min(self.execution.total / thread_s, 1.0) if thread_s > 0 else 0.0

    def batch_times(self) -> dict[int, BatchTime]:
        """Return the mean times by batch size, ascending."""
        return {
            size: BatchTime(size, int(count), sum_s / count) for size, (count, sum_s) in sorted(self._by_size.items())
        }


def durations(spread: Spread) -> Durations:
    """Return what was counted."""
    p50_s, p95_s, p99_s = (spread.percentile(share) for share in (0.5, 0.95, 0.99))
    return Durations(spread.min, spread.mean, p50_s, p95_s, p99_s, spread.max)
