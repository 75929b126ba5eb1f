"""What all steps of a pipeline have done, and which of them holds it up."""

from collections.abc import Iterator
from dataclasses import dataclass

from engine.pipeline.capacity import capacities_fps
from engine.pipeline.statistics import StepStatistics

_COLUMNS = "step", "parallel", "batch", "executions", "mean ms", "p95 ms", "max ms", "waiting ms", "busy", "items/s"


@dataclass(frozen=True, slots=True)
class PipelineStatistics:
    """The steps of a pipeline, in the order in which they were listed."""

    steps: tuple[StepStatistics, ...]

    def __iter__(self) -> Iterator[StepStatistics]:
        """Give the steps."""
        return iter(self.steps)

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self.steps)

    def __getitem__(self, step: int | str) -> StepStatistics:
        """Return a step by its place or its name."""
        if isinstance(step, int):
            return self.steps[step]
        return next(found for found in self.steps if found.name == step)

    @property
    def bottleneck(self) -> str | None:
        """The step with the lowest capacity; None before anything was measured."""
        known = capacities_fps(self.steps)
        return min(known, key=lambda name: known[name]) if known else None

    @property
    def predicted_fps(self) -> float | None:
        """Items per second that the present configuration can do; None before anything was measured."""
        known = capacities_fps(self.steps)
        return min(known.values()) if known else None

    def __str__(self) -> str:
        """Return a table, and a line with the bottleneck."""
        known = capacities_fps(self.steps)
        rows = [_COLUMNS, *(_row(step, known.get(step.name)) for step in self.steps)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(widths[i]) for i, cell in enumerate(row) if i)])
            for row in rows
        ]
        if known:
            lines.append(f"bottleneck: {self.bottleneck}, {self.predicted_fps:.1f} items/s")
        return "\n".join(lines)


def _row(step: StepStatistics, fps: float | None) -> tuple[str, ...]:
    batch = "-" if step.max_batch_size is None else f"{step.mean_batch_size:.1f} of {step.max_batch_size}"
    times = step.execution.mean_s, step.execution.p95_s, step.execution.max_s, step.waiting.mean_s
    return (
        step.name,
        str(step.parallel_steps or "inline"),
        batch,
        str(step.executions),
        *(f"{time_s * 1000:.3f}" for time_s in times),
        f"{step.utilisation:.0%}",
        f"{fps:.1f}" if fps is not None else "-",
    )
