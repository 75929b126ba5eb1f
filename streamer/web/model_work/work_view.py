"""The work of one page: what goes on, how to end it, and what went wrong."""

import asyncio
from collections.abc import Mapping
from typing import Any

from nicegui import ui
from nicegui.element import Element

from streamer.web import words
from streamer.web.model_work.job import Job, JobError, Workbench
from streamer.web.model_work.turn import Turn
from streamer.web.parts import Prose, Text

_LOOK_S = 0.1
_SHOWN_LINES = 12


class WorkView(Element):
    """Runs jobs in its page's turn, and shows how far they are; what goes on ends when it is deleted."""

    def __init__(self, bench: Workbench, turn: Turn) -> None:
        """Draw it, with nothing to show yet.

        Args:
            bench: Starts the jobs.
            turn: The page's.
        """
        super().__init__("div")
        self._bench = bench
        self._turn = turn
        self._job: Job | None = None
        self._is_left = False
        with self.classes("work"):
            with ui.element("div").classes("toolbar"):
                self._spinner = ui.spinner(size="20px")
                self._said = Prose("p").props('role="status" aria-live="polite"').classes("work-said")
                self._cancel = ui.button("Cancel", on_click=self._stop).props("flat no-caps dense")
            self._lines = Text("pre").classes("work-lines").props('role="log" aria-label="Progress"')
        self.set_visibility(False)

    def may_begin(self) -> bool:
        """Tell whether the page may begin something; where something goes on, that is shown."""
        if self._is_left:
            return False
        if self._turn.is_taken:
            show = self._end if self._job is None else self._show
            show("One thing at a time: wait for what goes on, or cancel it.", "is-bad")
        return not self._turn.is_taken

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
        if not self.may_begin():
            return None
        self._turn.is_taken = True
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
            self._end(words.sentence(str(exc)), "is-bad")
            return None
        finally:
            self._job = None
            self._turn.is_taken = False
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
        if self._is_left:
            return
        self._show(text, tone)
        self._spinner.set_visibility(False)
        self._cancel.set_visibility(False)
        self._lines.set_visibility(bool(tone and self._lines.text))

    def _show(self, text: str, tone: str) -> None:
        self._said.show(text)
        self._said.classes(replace=f"work-said {tone}")
        self.set_visibility(bool(text))

    def _draw_lines(self, job: Job) -> None:
        if not self._is_left:
            self._lines.show("\n".join(job.lines[-_SHOWN_LINES:]))

    def _stop(self) -> None:
        if self._job is not None:
            self._job.cancel()

    def _handle_delete(self) -> None:
        """Let go: the page is left, or shows something else."""
        self._is_left = True
        self._stop()
        super()._handle_delete()
