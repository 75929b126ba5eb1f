"""The page of a pipeline that runs in this process: its figures, and its threads and batch sizes, to be changed."""

from fastapi import Request
from nicegui import ui

from engine.errors import PipelineError
from engine.pipeline.overview import PipelineStatistics
from engine.pipeline.pipeline import Pipeline
from streamer.web import words
from streamer.web.asking import Desk
from streamer.web.errors import WebError
from streamer.web.parts import Figure, Text, panel
from streamer.web.shell import Place, Shell
from streamer.web.steps import StepShare, StepsView, shares_of

_INTERVAL_S = 1.0
_MAX_BATCH_SIZE = 1024
_MAX_PARALLEL_STEPS = 1024
HOME = Place("/", "Pipeline", "account_tree", "figures as it runs; threads and batch sizes may be changed")


class LivePipeline:
    """The pages of one pipeline; the server serves them."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Remember it; to start and to close it is its owner's."""
        self._pipeline = pipeline
        self._desk = Desk()
        self._shell = Shell("pipeline", [HOME], lambda: "")

    def add_pages(self) -> None:
        """Add the page; once in a process, before the server starts."""
        self._shell.serve_files()

        @ui.page(HOME.path)
        def home(request: Request) -> None:
            with self._shell.page(request, HOME):
                _Page(self._pipeline, self._desk)


class _Page:
    """Draws the page, and keeps it true."""

    def __init__(self, pipeline: Pipeline, desk: Desk) -> None:
        self._pipeline, self._desk = pipeline, desk
        self._items = 0
        with ui.element("div").classes("figures"):
            self._done = Figure("Done")
            self._rate = Figure("Rate")
            self._bottleneck = Figure("Bottleneck")
            self._capacity = Figure("Capacity")
        with panel("Steps"), ui.element("div").classes("stack"):
            self._steps = StepsView(self._draw_controls)
            self._said = Text("p").classes("muted").props('role="status" aria-live="polite"')
            with ui.element("div").classes("toolbar"):
                ui.button("Count anew", on_click=pipeline.reset_statistics).props("outline no-caps")
                Text("span", "Means and predictions are since the start, or since this was pressed.").classes("muted")
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _draw_controls(self, name: str) -> None:
        step = next(step for step in self._pipeline.steps if step.name == name)
        gathers = step.max_batch_size is not None
        threads = ui.number("Parallel steps", value=step.parallel_steps, format="%d", step=1)
        threads.min, threads.max = 1 if gathers else 0, step.parallel_limit or _MAX_PARALLEL_STEPS
        threads.props("dense outlined")
        threads.on("change", lambda: self._change(name, "parallel steps", threads.value))
        if gathers:
            batch = ui.number("Batch size", value=step.max_batch_size, format="%d", min=1, max=_MAX_BATCH_SIZE, step=1)
            batch.props("dense outlined")
            batch.on("change", lambda: self._change(name, "batch size", batch.value))

    async def _change(self, name: str, what: str, value: float | None) -> None:
        """Change a step, and say what came of it."""
        if value is None or value != int(value):
            self._said.show(f"{name}: {what} is a whole number.")
            return
        step = next(step for step in self._pipeline.steps if step.name == name)
        change = step.set_parallel_steps if what == "parallel steps" else step.set_max_batch_size
        try:
            await self._desk.ask(change, int(value))
        except (PipelineError, WebError) as exc:
            self._said.show(f"{exc}.")
        else:
            self._said.show(f"{name}: {what} is {int(value)} now.")

    def _look(self) -> None:
        statistics = self._pipeline.statistics()
        self._steps.show(live_shares(statistics))
        items = statistics[-1].items
        rate = max(items - self._items, 0) / _INTERVAL_S if self._items else 0.0
        self._items = items
        self._done.show(words.count(items), f"by {statistics[-1].name}")
        self._rate.show(f"{words.rate(rate)} /s", "in the last second")
        self._bottleneck.show(statistics.bottleneck or "–", "the step with the lowest capacity")
        capacity = statistics.predicted_fps
        self._capacity.show(f"{words.rate(capacity)} /s" if capacity is not None else "–", "as it is configured")


def live_shares(statistics: PipelineStatistics) -> list[StepShare]:
    """Return what is drawn of the steps."""
    steps = [
        (step.name, step.executions, step.execution.mean_s * 1000, step.waiting.mean_s * 1000) for step in statistics
    ]
    return shares_of(steps, statistics.bottleneck or "")
