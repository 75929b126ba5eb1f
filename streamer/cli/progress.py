"""The progress of what has a known end, for whoever waits at a terminal."""

import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress

_SHOWN_AFTER_S = 2.0
_REFRESH_S = 0.1


class ProgressBar:
    """Shows on standard error how far something is, where it takes long; for a `with` block."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._next_s = time.monotonic() + _SHOWN_AFTER_S
        self._bar: Progress | None = None

    def __enter__(self) -> Self:
        """Begin to wait."""
        return self

    def __call__(self, done: int, total: int, what: str | None = None) -> None:
        """Show that `done` of `total` are done.

        Args:
            done: Records, models, trials.
            total: Of how many.
            what: What goes on from now on; None for the same as before.
        """
        self._what = what or self._what
        now_s = time.monotonic()
        if now_s < self._next_s or not sys.stderr.isatty():
            return
        self._next_s = now_s + _REFRESH_S
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.add_task(self._what, total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=self._what)

    def __exit__(self, *_: object) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
