"""The consumer's pipeline: each step's execution and waiting times, and which step holds it up."""

from collections.abc import Sequence

from nicegui import ui

from messaging.status import StepStatus
from streamer.watch.site import Site
from streamer.watch.views import WorkerView
from streamer.web import words
from streamer.web.dashboard import states
from streamer.web.parts import Text, empty, panel
from streamer.web.steps import StepShare, StepsView, shares_of

_INTERVAL_S = 1.0
#: Each is drawn, and compared once a second.
_MAX_WORKERS = 50


def shares(steps: Sequence[StepStatus], bottleneck: str = "") -> list[StepShare]:
    """Return what is drawn of a worker's steps, and of the one that holds the others up, as the worker says."""
    figures = [(step.name, step.executions, step.execution_ms_mean, step.waiting_ms_mean) for step in steps]
    return shares_of(figures, bottleneck or None)


def drawn(workers: Sequence[WorkerView]) -> tuple[list[WorkerView], int]:
    """Return the workers whose pipelines are drawn, and how many more have one."""
    with_steps = [worker for worker in workers if worker.status.steps]
    return with_steps[:_MAX_WORKERS], max(len(with_steps) - _MAX_WORKERS, 0)


class PipelinePage:
    """Draws a pipeline for each worker, and keeps it true."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        self._list = ui.element("div").classes("stack")
        self._views: dict[str, tuple[StepsView, Text]] = {}
        self._more = Text("p").classes("muted")
        self._note = Text(
            "p",
            "Means since the worker's start: of one execution, which takes a whole micro-batch, and of a frame's wait "
            "before it. What makes the bottleneck faster makes the whole faster: threads, batch size, the device.",
        ).classes("muted")
        self._empty = empty(
            "account_tree",
            "No worker yet",
            "A worker says once a second how long its steps take.",
            "streamer consume --device 0",
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        workers, more = drawn(self._site.workers())
        if [worker.name for worker in workers] != list(self._views):
            self._list.clear()
            with self._list:
                self._views = {worker.name: self._drawn(worker) for worker in workers}
        for worker in workers:
            steps, state = self._views[worker.name]
            steps.show(shares(worker.status.steps, worker.status.bottleneck))
            word, _ = states.worker_state(worker.status, worker.age_s)
            made_by = f"{worker.status.model} on {worker.status.backend}"
            state.show(f"{word} · {made_by} · batches of {worker.status.batch_size_mean:.1f}")
        self._more.show(f"and {words.count(more)} more workers" if more > 1 else "and one more worker")
        self._more.set_visibility(more > 0)
        self._note.set_visibility(bool(workers))
        self._empty.set_visibility(not workers)

    def _drawn(self, worker: WorkerView) -> tuple[StepsView, Text]:
        status = worker.status
        with panel(f"{status.group}, device {status.device}, {status.host} / {status.slot}"):
            state = Text("p").classes("muted")
            return StepsView(), state
