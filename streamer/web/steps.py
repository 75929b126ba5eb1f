"""A pipeline's steps as they are drawn: execution and waiting times, and the bottleneck."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nicegui import ui

from streamer.web import words
from streamer.web.parts import Text, tag


@dataclass(frozen=True, slots=True)
class StepShare:
    """A step as it is drawn.

    Attributes:
        execution_percent: Of the longest execution or waiting time of the pipeline.
        waiting_percent: Likewise.
        is_bottleneck: Whether it holds the pipeline up.
    """

    name: str
    executions: int
    execution_ms: float
    waiting_ms: float
    execution_percent: float
    waiting_percent: float
    is_bottleneck: bool


def shares_of(steps: Sequence[tuple[str, int, float, float]], bottleneck: str | None = None) -> list[StepShare]:
    """Work out what is drawn of a pipeline's steps.

    Args:
        steps: Of each its name, its executions, and their mean and an item's mean wait before it, in ms.
        bottleneck: The step that holds the pipeline up; without a word on that it is the one that takes the longest,
            and where none has worked yet there is none.
    """
    longest_ms = max((max(execution_ms, waiting_ms) for _, _, execution_ms, waiting_ms in steps), default=0.0) or 1.0
    slowest = max(steps, key=lambda step: step[2], default=("", 0, 0.0, 0.0))
    if bottleneck is None and slowest[2] > 0:
        bottleneck = slowest[0]
    return [
        StepShare(
            name,
            executions,
            execution_ms,
            waiting_ms,
            execution_ms / longest_ms * 100,
            waiting_ms / longest_ms * 100,
            is_bottleneck=name == bottleneck,
        )
        for name, executions, execution_ms, waiting_ms in steps
    ]


class StepsView:
    """One pipeline, its steps from left to right; the parts stay, and their figures change."""

    def __init__(self, draw_controls: Callable[[str], None] = lambda _: None) -> None:
        """Draw nothing yet; `show` draws.

        Args:
            draw_controls: Called for each step when it is drawn, to draw more below its figures.
        """
        self._draw_controls = draw_controls
        self._box = ui.element("div").classes("steps")
        self._box.props["role"] = "list"
        self._names: tuple[str, ...] = ()
        self._steps: list[_StepBox] = []

    def show(self, shares: Sequence[StepShare]) -> None:
        """Draw these steps."""
        names = tuple(share.name for share in shares)
        if names != self._names:
            self._names = names
            self._box.clear()
            with self._box:
                self._steps = [_StepBox(share.name, self._draw_controls) for share in shares]
        for box, share in zip(self._steps, shares, strict=True):
            box.show(share)


class _StepBox:
    """One step."""

    def __init__(self, name: str, draw_controls: Callable[[str], None]) -> None:
        with ui.element("div").classes("step") as self._box:
            self._box.props["role"] = "listitem"
            with ui.element("div").classes("step-head"):
                Text("h3", name).classes("step-name")
                self._tag = tag("bottleneck", "warn")
            self._execution = _Bar("Executing", "is-execution")
            self._waiting = _Bar("Waiting", "is-waiting")
            self._count = Text("span").classes("muted")
            draw_controls(name)

    def show(self, share: StepShare) -> None:
        self._tag.set_visibility(share.is_bottleneck)
        self._box.classes(replace="step is-bottleneck" if share.is_bottleneck else "step")
        self._execution.show(words.milliseconds(share.execution_ms), share.execution_percent)
        self._waiting.show(words.milliseconds(share.waiting_ms), share.waiting_percent)
        self._count.show(f"{words.count(share.executions)} executions")


class _Bar:
    """A time in words, and as a bar."""

    def __init__(self, name: str, kind: str) -> None:
        with ui.element("div").classes("step-row"):
            Text("span", name).classes("muted")
            self._value = Text("span").classes("step-value")
        with ui.element("div").classes("step-bar").props('aria-hidden="true"'):
            self._fill = ui.element("div").classes(f"step-fill {kind}")

    def show(self, value: str, percent: float) -> None:
        self._value.show(value)
        self._fill.style(replace=f"width: {percent:.1f}%")
