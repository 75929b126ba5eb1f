"""The line that says what is not shown, since there was no room or no time for it."""

from streamer.watch.site import Site
from streamer.watch.views import TotalsView
from streamer.web import words
from streamer.web.parts import Text


def line_of(totals: TotalsView) -> str:
    """Say what is not shown; "" where that is nothing."""
    names = _joined(
        _counted(totals.cameras_left_out, "camera"),
        _counted(totals.groups_left_out, "group"),
        _counted(totals.workers_left_out, "worker"),
    )
    parts = _joined(
        f"{names} that had no room" if names else "",
        _counted(totals.passed_over, "record", " that came too fast to be read"),
        _counted(totals.unreadable, "record", " that cannot be read"),
        between="; ",
    )
    return f"Not shown: {parts}." if parts else ""


def _counted(number: int, what: str, why: str = "") -> str:
    return f"{words.count(number)} {what}{'' if number == 1 else 's'}{why}" if number else ""


def _joined(*parts: str, between: str = ", ") -> str:
    return between.join(part for part in parts if part)


class LeftOut:
    """The line on a page; it hides where there is nothing to say."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        self._text = Text("p").classes("muted").props('role="status"')
        self.refresh()

    def refresh(self) -> None:
        """Keep it true."""
        line = line_of(self._site.totals)
        self._text.show(line)
        self._text.set_visibility(bool(line))
