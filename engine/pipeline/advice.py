"""How many parallel steps, and which batch sizes, a wanted rate takes. Pure: figures in, figures and words out."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from engine.errors import PipelineError
from engine.pipeline.capacity import Curve, carried_s, curve_of, fps_of
from engine.pipeline.statistics import StepStatistics

#: A rate that is missed by less than this share is reached: the times are measured, and no better than that.
_TOLERANCE: Final = 0.01
_MAX_PARALLEL_STEPS: Final = 1024


@dataclass(frozen=True, slots=True)
class StepAdvice:
    """One step, as it is and as it should be.

    Attributes:
        parallel_steps: What to give to `set_parallel_steps`.
        max_batch_size: What to give to `set_max_batch_size`; None where the step takes one item at a time.
        fps: Items per second of the step, so configured; None where that is not known.
        present_parallel_steps: As it is.
        present_max_batch_size: As it is.
        present_fps: As it is.
    """

    name: str
    parallel_steps: int
    max_batch_size: int | None
    fps: float | None
    present_parallel_steps: int
    present_max_batch_size: int | None
    present_fps: float | None

    @property
    def is_change(self) -> bool:
        """Whether the step has to be configured anew."""
        present = self.present_parallel_steps, self.present_max_batch_size
        return (self.parallel_steps, self.max_batch_size) != present


@dataclass(frozen=True, slots=True)
class Advice:
    """How a pipeline reaches a rate.

    Attributes:
        present_fps: What the present configuration can do, by prediction; None where nothing is known.
        fps: The same of the advised one.
        bottleneck: The step with the lowest capacity at present.
        is_reachable: Whether the advised configuration reaches the target, by prediction.
        notes: What was assumed, and what to look out for.
    """

    target_fps: float
    present_fps: float | None
    fps: float | None
    bottleneck: str | None
    is_reachable: bool
    steps: tuple[StepAdvice, ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        """Return what to do, a line for each step, and the notes."""
        lines = [f"now: {_fps(self.present_fps)}" + (f", held up by {self.bottleneck}" if self.bottleneck else "")]
        lines += [f"  {_line(step)}" for step in self.steps]
        verdict = "reaches" if self.is_reachable else "does not reach"
        lines.append(f"so configured: {_fps(self.fps)}, which {verdict} {self.target_fps:g} items/s")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def advise(steps: Sequence[StepStatistics], target_fps: float, cores: int | None = None) -> Advice:
    """Find the least that reaches a rate: of each step as few threads as can be, then as small a batch.

    Args:
        steps: What was measured.
        target_fps: Items per second.
        cores: CPU cores of the machine, for a note; None asks the machine.

    Raises:
        PipelineError: The target is not above zero, or no step has run yet.
    """
    if not 0 < target_fps < float("inf"):
        raise PipelineError(f"the target is {target_fps} items/s: give a rate above 0")
    carried = carried_s(steps)
    notes: list[str] = []
    advised = tuple(_advise(step, target_fps, carried.get(step.name), notes) for step in steps)
    present = {step.name: step.present_fps for step in advised if step.present_fps is not None}
    reached = [step.fps for step in advised if step.fps is not None]
    if not present:
        raise PipelineError("no step has run yet, so nothing can be advised: let some items through first")
    cores = cores or os.cpu_count() or 1
    if sum(step.parallel_steps for step in advised if step.is_change) > cores:
        notes.append(
            f"this machine has {cores} cores: more threads help only as far as a step waits (for a device, a file, the "
            "network) or computes outside Python's lock"
        )
    return Advice(
        target_fps,
        min(present.values()),
        min(reached),
        min(present, key=lambda name: present[name]),
        min(reached) >= target_fps * (1 - _TOLERANCE),
        advised,
        tuple(notes),
    )


def _advise(step: StepStatistics, target_fps: float, carried_per_item_s: float | None, notes: list[str]) -> StepAdvice:
    parallel, size = step.parallel_steps, step.max_batch_size
    curve = curve_of(step)
    if curve is None or carried_per_item_s is None:
        if step.is_deferred:
            notes.append(f"{step.name} leaves its work to somebody else: its capacity is not known here")
        elif curve is None:
            notes.append(f"{step.name} has not run yet: nothing is known of it")
        return StepAdvice(step.name, parallel, size, None, parallel, size, None)
    present_fps = fps_of(curve, size or 1, max(parallel, 1), carried_per_item_s)
    sizes = _sizes(step, curve, notes)
    limit = 1 if parallel == 0 else (step.parallel_limit or _MAX_PARALLEL_STEPS)
    enough = target_fps * (1 - _TOLERANCE)
    for threads in range(1, limit + 1):
        for wanted in sizes:
            fps = fps_of(curve, wanted, threads, carried_per_item_s)
            if fps >= enough:
                return _result(step, threads, wanted, fps, present_fps)
    best = max(sizes, key=lambda wanted: fps_of(curve, wanted, limit, carried_per_item_s))
    fps = fps_of(curve, best, limit, carried_per_item_s)
    why = "it runs on the caller's thread" if parallel == 0 else f"it has {limit} in parallel at the most"
    remedy = " (more activations or another device raise that)" if step.parallel_limit else ""
    notes.append(f"{step.name} gives {fps:.1f} items/s at the most: {why}{remedy}")
    return _result(step, limit, best, fps, present_fps)


def _result(step: StepStatistics, threads: int, size: int, fps: float, present_fps: float) -> StepAdvice:
    return StepAdvice(
        step.name,
        threads if step.parallel_steps else 0,
        size if step.max_batch_size is not None else None,
        fps,
        step.parallel_steps,
        step.max_batch_size,
        present_fps,
    )


def _sizes(step: StepStatistics, curve: Curve, notes: list[str]) -> Sequence[int]:
    """Return the batch sizes to choose from, ascending."""
    if step.max_batch_size is None:
        return (1,)
    limit = step.batch_limit or step.max_batch_size
    if step.has_fixed_batch:
        return (limit,)
    if curve.is_assumed and limit > 1:
        notes.append(
            f"{step.name} was measured with one batch size alone ({step.batch_times[0].size}), so no gain from batches "
            "is assumed"
        )
        return (step.max_batch_size,)
    return range(1, limit + 1)


def _line(step: StepAdvice) -> str:
    parallel = f"{step.parallel_steps or 'inline'} in parallel" if step.parallel_steps else "inline"
    if step.parallel_steps != step.present_parallel_steps:
        parallel += f" (now {step.present_parallel_steps})"
    batch = ""
    if step.max_batch_size is not None:
        batch = f", batches of {step.max_batch_size}"
        if step.max_batch_size != step.present_max_batch_size:
            batch += f" (now {step.present_max_batch_size})"
    return f"{step.name}: {parallel}{batch}: {_fps(step.fps)}"


def _fps(fps: float | None) -> str:
    return f"{fps:.1f} items/s" if fps is not None else "not known"
