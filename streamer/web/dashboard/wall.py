"""The first page: every camera with its latest picture, what it was called, how sure that is, and how old it is."""

from typing import Any

from nicegui import ui
from nicegui.element import Element

from streamer.watch.site import Site
from streamer.web import words
from streamer.web.dashboard.groups import GroupChoice
from streamer.web.dashboard.left_out import LeftOut
from streamer.web.dashboard.summary import Summary, summary_of
from streamer.web.parts import Figure, empty

_INTERVAL_S = 1.0
_TILES_PX = {140: "Small", 220: "Medium", 360: "Large"}
_MEDIUM_PX = 220


class Wall(Element, component="wall.js"):
    """The tiles. They ask the server themselves, so that pictures do not pass through NiceGUI's messages."""

    def __init__(self) -> None:
        """Make the element, with tiles of medium size."""
        super().__init__()
        self.props["tile_px"] = _MEDIUM_PX
        self.props["filter"] = ""
        self.props["paused"] = False
        self.props["group"] = ""

    def set(self, name: str, value: Any) -> None:
        """Change one of its properties: `tile_px`, `filter`, `paused` or `group`."""
        if self.props[name] != value:
            self.props[name] = value


class WallPage:
    """Draws the page, and keeps its figures true."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        with ui.element("div").classes("figures"):
            self._cameras = Figure("Cameras")
            self._frames = Figure("Captured")
            self._outcomes = Figure("Classified")
            self._latency = Figure("Capture to result, p95")
            self._trouble = Figure("Dead letters")
        with ui.element("div").classes("toolbar") as self._toolbar:
            find = ui.input(placeholder="Find a camera").props('dense outlined clearable aria-label="Find a camera"')
            self._group = GroupChoice(site)
            ui.element("div").classes("toolbar-rest")
            pause = ui.switch("Pause").props("dense")
            size = ui.toggle(_TILES_PX, value=_MEDIUM_PX)
            size.props('dense no-caps unelevated aria-label="Size of the pictures"')
        self._wall = Wall()
        find.on_value_change(lambda event: self._wall.set("filter", event.value or ""))
        pause.on_value_change(lambda event: self._wall.set("paused", event.value))
        size.on_value_change(lambda event: self._wall.set("tile_px", event.value))
        self._left_out = LeftOut(site)
        self._empty = empty(
            "videocam_off",
            "No camera yet",
            "As soon as one sends a frame, it is here.",
            "streamer produce --camera demo --source synthetic:workpiece",
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        group = self._group.refresh() or ""
        self._wall.set("group", group)
        cameras = self._site.cameras(group)
        self._show(summary_of(cameras, {group: self._site.seconds(group) for group in self._site.groups()}))
        self._left_out.refresh()
        self._empty.set_visibility(not cameras)
        self._wall.set_visibility(bool(cameras))
        self._toolbar.set_visibility(bool(cameras))

    def _show(self, summary: Summary) -> None:
        ill = f"{summary.ill} not well" if summary.ill else "all well" if summary.cameras else ""
        self._cameras.show(
            f"{summary.running} / {summary.cameras}",
            f"running, {ill}" if ill else "",
            "bad" if summary.ill else "plain",
        )
        declared = f"of {words.rate(summary.fps_declared)} declared" if summary.fps_declared else ""
        self._frames.show(f"{words.rate(summary.fps)} /s", declared)
        groups = "1 group" if summary.groups == 1 else f"{summary.groups} groups"
        self._outcomes.show(
            f"{words.rate(summary.classified_fps)} /s", f"{words.rate(summary.skipped_fps)} /s skipped, {groups}"
        )
        self._latency.show(words.milliseconds(summary.total_p95_ms), "over the last 10 s")
        self._trouble.show(
            words.count(summary.dead_lettered), "in the last 5 min", "bad" if summary.dead_lettered else "plain"
        )
