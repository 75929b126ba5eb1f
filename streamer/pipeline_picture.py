"""The times of a pipeline's steps as a picture: bars for a terminal, SVG for a document. Pure."""

from collections.abc import Iterable

from engine.pipeline.statistics import StepStatistics
from streamer.svg import BLUE, RED, document, rectangle, text

_EIGHTHS = " ▏▎▍▌▋▊▉█"
_WIDTH = 40
_ROW_PX, _LABEL_PX, _BAR_PX, _FIGURES_PX = 34, 150, 420, 190


def bars(steps: Iterable[StepStatistics]) -> list[str]:
    """Return a line for each step: a bar as long as it works on a batch, its mean time, and how busy it is."""
    steps = list(steps)
    longest_s = max((step.execution.mean_s for step in steps), default=0.0)
    width = max((len(step.name) for step in steps), default=0)
    return [
        f"{step.name:<{width}}  {_bar(step.execution.mean_s / longest_s if longest_s else 0.0):<{_WIDTH}}  "
        f"{_figures(step)}"
        for step in steps
    ]


def svg(steps: Iterable[StepStatistics], bottleneck: str | None) -> str:
    """Return a drawing: for each step its execution time (mean, and p95 paler), the bottleneck in another colour."""
    steps = list(steps)
    longest_s = max((step.execution.p95_s for step in steps), default=0.0) or 1.0
    width, height = _LABEL_PX + _BAR_PX + _FIGURES_PX, _ROW_PX * len(steps) + 16
    parts: list[str] = []
    for number, step in enumerate(steps):
        top, colour = 8 + number * _ROW_PX, RED if step.name == bottleneck else BLUE
        mean_px, p95_px = (
            min(time_s / longest_s, 1.0) * _BAR_PX for time_s in (step.execution.mean_s, step.execution.p95_s)
        )
        parts += [
            text(_LABEL_PX - 8, top + 18, step.name, "end"),
            rectangle(_LABEL_PX, top + 4, p95_px, 20, colour, opacity=0.3),
            rectangle(_LABEL_PX, top + 4, mean_px, 20, colour),
            text(_LABEL_PX + _BAR_PX + 8, top + 18, _figures(step)),
        ]
    return document(width, height, "execution time of each step", parts)


def _bar(share: float) -> str:
    eighths = round(min(max(share, 0.0), 1.0) * _WIDTH * 8)
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _figures(step: StepStatistics) -> str:
    parallel = f"{step.parallel_steps} ×" if step.parallel_steps else "inline,"
    batch = f" for {step.mean_batch_size:.1f}" if step.max_batch_size is not None else ""
    return f"{parallel} {step.execution.mean_s * 1000:.2f} ms{batch}, {step.utilisation:.0%} busy"
