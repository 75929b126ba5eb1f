"""How many items per second steps can do, from the times that were measured. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final

from engine.pipeline.statistics import StepStatistics


class Curve:
    """How long a step's call takes, by the size of its batch: T(b) = a + c·b.

    A size that was measured takes what was measured. The line goes through the others by least squares, each size with
    the weight of its calls; neither a nor c is negative. With one size alone nothing is known of a gain from batches,
    and none is assumed: T grows with the size.
    """

    def __init__(self, times_s: Mapping[int, tuple[int, float]]) -> None:
        """Fit the line.

        Args:
            times_s: Size → how many calls, and their mean; at least one size.
        """
        self._measured: Final = {size: mean_s for size, (_, mean_s) in times_s.items()}
        self.is_assumed: Final = len(times_s) == 1
        self.base_s, self.item_s = _fit([(size, mean_s, max(n, 1)) for size, (n, mean_s) in times_s.items()])

    def time_s(self, size: int) -> float:
        """Return how long a batch of this size takes."""
        return self._measured.get(size, self.base_s + self.item_s * size)


def curve_of(step: StepStatistics) -> Curve | None:
    """Return the times of a step; None where none was measured."""
    times_s = {time.size: (time.executions, time.mean_s) for time in step.batch_times}
    return Curve(times_s) if times_s else None


def carried_s(steps: Sequence[StepStatistics]) -> dict[str, float]:
    """Return, for each step that has a thread under it, the seconds per item of the steps that run there as well.

    A step without threads runs on the thread that brings the item: where it follows several, on that of the last
    named; where it follows none, on the caller's. One that follows a step whose work is done elsewhere runs there.
    """
    by_name = {step.name: step for step in steps}
    carried: dict[str, float] = {step.name: 0.0 for step in steps if _is_carrier(step)}
    for step in steps:
        curve = curve_of(step)
        if _is_carrier(step) or step.is_deferred or curve is None:
            continue
        carrier = by_name[step.after[-1]]
        while not _is_carrier(carrier) and not carrier.is_deferred:
            carrier = by_name[carrier.after[-1]]
        if not carrier.is_deferred:
            carried[carrier.name] += curve.time_s(1)
    return carried


def fps_of(curve: Curve, size: int, parallel_steps: int, carried_per_item_s: float) -> float:
    """Return the items per second of a step with so many threads and batches of this size."""
    return parallel_steps * size / max(curve.time_s(size) + size * carried_per_item_s, 1e-9)


def capacities_fps(steps: Sequence[StepStatistics]) -> dict[str, float]:
    """Return the items per second that each step can do as it is configured, where that is known.

    Not known is it of a step that never ran, or that leaves its work to somebody else. A step without threads counts
    into the one that carries it, or for itself where it is the first.
    """
    carried = carried_s(steps)
    known: dict[str, float] = {}
    for step in steps:
        curve = curve_of(step)
        if curve is not None and step.name in carried:
            size = step.max_batch_size or 1
            known[step.name] = fps_of(curve, size, max(step.parallel_steps, 1), carried[step.name])
    return known


def _is_carrier(step: StepStatistics) -> bool:
    return (step.parallel_steps > 0 or not step.after) and not step.is_deferred


def _fit(points: Sequence[tuple[int, float, int]]) -> tuple[float, float]:
    """Return a and c of a + c·size."""
    if len(points) == 1:
        size, time_s, _ = points[0]
        return 0.0, time_s / size
    weight = sum(n for _, _, n in points)
    mean_size = sum(size * n for size, _, n in points) / weight
    mean_s = sum(time_s * n for _, time_s, n in points) / weight
    spread = sum(n * (size - mean_size) ** 2 for size, _, n in points)
    slope = sum(n * (size - mean_size) * (time_s - mean_s) for size, time_s, n in points) / spread
    slope = max(slope, 0.0)
    base = mean_s - slope * mean_size
    if base >= 0:
        return base, slope
    return 0.0, sum(n * size * time_s for size, time_s, n in points) / sum(n * size**2 for size, _, n in points)
