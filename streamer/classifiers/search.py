"""Which batch, instances and set size serve an objective best: a search that moves one of them at a time. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.backends.simulator.table import BEST_THROUGHPUT, Objective
from streamer.classifiers.plan import RunPlan
from streamer.classifiers.report import Timing

#: Two that are so near to one another are equal: what is measured in seconds is no nearer to the truth.
TIE = 0.02
_ROUNDS = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan that was tried.

    Attributes:
        timing: None where it failed; `error` says why.
    """

    plan: RunPlan
    timing: Timing | None
    error: str = ""

    @property
    def label(self) -> str:
        """Its batch, instances and set size."""
        return f"B{self.plan.batch_size} A{self.plan.instances} S{self.plan.set_size}"


class Search:
    """The trials of a search.

    Attributes:
        space: What may be tried.
        trials: All of them, in order.
        best: The best of those that worked; None while none has.
    """

    def __init__(self, start: RunPlan, space: Mapping[str, tuple[int, ...]]) -> None:
        """Take the room for it.

        Args:
            start: Where it begins.
            space: The values of `batch_size`, `instances` and `set_size` that may be tried, each with its name.
        """
        self.space = space
        self._start = start
        self.trials: list[Trial] = []
        self.best: Trial | None = None

    @property
    def most_trials(self) -> int:
        """How many there are at the most."""
        return 1 + _ROUNDS * sum(max(len(values) - 1, 0) for values in self.space.values())

    def run(self, attempt: Callable[[RunPlan], Trial], is_possible: Callable[[RunPlan], bool]) -> Iterator[Trial]:
        """Try plans until nothing gets better; gives each trial.

        Args:
            attempt: Tries one.
            is_possible: Whether one may be tried at all.
        """
        yield self._take(attempt(self._start))
        for _ in range(_ROUNDS):
            before = self.best
            for name, values in self.space.items():
                for plan in list(self._neighbours(name, values)):
                    if is_possible(plan):
                        yield self._take(attempt(plan))
            if self.best is before:
                return

    def _neighbours(self, name: str, values: Iterable[int]) -> Iterator[RunPlan]:
        """Give the plans that differ from the best one in one value, and were not tried yet."""
        around = self.best.plan if self.best is not None else self._start
        tried = [trial.plan for trial in self.trials]
        for value in values:
            plan = around.changed(**{name: value})
            if plan not in tried:
                yield plan

    def _take(self, trial: Trial) -> Trial:
        self.trials.append(trial)
        self.best = best_of(self.trials, self._start.objective)
        return trial


def best_of(trials: Iterable[Trial], objective: Objective) -> Trial | None:
    """Return the trial that serves an objective best; of those as good, the one that is better in the other respect.

    `balanced` is throughput over latency, which grows as long as more work in flight gains more than it costs.
    Source: L. Kleinrock, "Power and Deterministic Rules of Thumb for Probabilistic Problems in Computer
    Communications", ICC 1979.
    """
    timed = [(trial, trial.timing) for trial in trials if trial.timing is not None]
    if not timed:
        return None

    def worth(timing: Timing) -> float:
        if objective == BEST_THROUGHPUT:
            return timing.images_per_s
        latency_ms = max(timing.latency_p95_ms, 1e-9)
        return 1 / latency_ms if objective == "best-latency" else timing.images_per_s / latency_ms

    top = max(worth(timing) for _, timing in timed)
    good = [(trial, timing) for trial, timing in timed if worth(timing) >= (1 - TIE) * top]
    if objective == BEST_THROUGHPUT:
        return min(good, key=lambda pair: pair[1].latency_p95_ms)[0]
    return max(good, key=lambda pair: pair[1].images_per_s)[0]
