"""The work of one page: what goes on, how to end it, and what went wrong."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import ui

from streamer.web import words
from streamer.web.model_work.job import Job, JobError, Workbench
from streamer.web.parts import Prose, Text

_LOOK_S = 0.1
_SHOWN_LINES = 12


class WorkView:
    """Runs a page's jobs, one at a time, and shows how far they are; what goes on ends with the page."""

    def __init__(self, bench: Workbench) -> None:
        """Draw it, with nothing to show yet."""
        self._bench = bench
        self._job: Job | None = None
        self._is_left = False
        with ui.element("div").classes("work") as self._box:
            with ui.element("div").classes("toolbar"):
                self._spinner = ui.spinner(size="20px")
                self._said = Prose("p").props('role="status" aria-live="polite"').classes("work-said")
                self._cancel = ui.button("Cancel", on_click=self._stop).props("flat no-caps dense")
            self._lines = Text("pre").classes("work-lines").props('role="log" aria-label="Progress"')
        self._box.set_visibility(False)
        ui.context.client.on_delete(self._leave)

    @property
    def is_busy(self) -> bool:
        """Whether a job runs."""
        return self._job is not None

    async def run(
        self, what: str, task: str, /, *, names: Mapping[str, str] | None = None, **arguments: Any
    ) -> dict[str, Any] | None:
        """Run a task of `tool_process`, and return its result; None where it failed, which is shown.

        Args:
            what: It is, for people: `converting`.
            task: Its name.
            names: What paths are called before people.
            **arguments: The task's.
        """
        if self.is_busy:
            self._show("one thing at a time: wait for it, or cancel it", "is-bad")
            return None
        try:
            self._job = self._bench.start(task, names=names, **arguments)
            self._begin(what)
            while not self._job.is_done:
                self._draw_lines(self._job)
                await asyncio.sleep(_LOOK_S)
            if self._is_left:
                return None
            self._draw_lines(self._job)
            result = self._job.result()
        except JobError as exc:
            if not self._is_left:
                self._end(words.sentence(str(exc)), "is-bad")
            return None
        finally:
            self._job = None
        self._end("", "")
        return result

    def say(self, text: str, *, is_bad: bool = False) -> None:
        """Say a line about what was done."""
        self._end(words.sentence(text), "is-bad" if is_bad else "")

    def _begin(self, what: str) -> None:
        self._show(f"{words.capitalised(what)} …", "")
        self._spinner.set_visibility(True)
        self._cancel.set_visibility(True)
        self._lines.show("")
        self._lines.set_visibility(True)

    def _end(self, text: str, tone: str) -> None:
        """Show what came of it; the lines before stay where it went wrong."""
        self._show(text, tone)
        self._spinner.set_visibility(False)
        self._cancel.set_visibility(False)
        self._lines.set_visibility(bool(tone and self._lines.text))

    def _show(self, text: str, tone: str) -> None:
        self._said.show(text)
        self._said.classes(replace=f"work-said {tone}")
        self._box.set_visibility(bool(text))

    def _draw_lines(self, job: Job) -> None:
        if not self._is_left:
            self._lines.show("\n".join(job.lines[-_SHOWN_LINES:]))

    def _stop(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _leave(self) -> None:
        self._is_left = True
        self._stop()
