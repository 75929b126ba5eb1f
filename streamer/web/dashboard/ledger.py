"""The account of every camera: what it captured and sent, and what became of its frames in one group."""

from typing import Any

from nicegui import ui

from streamer.watch.site import Site
from streamer.watch.views import CameraView
from streamer.web import words
from streamer.web.dashboard import states
from streamer.web.dashboard.groups import GroupChoice
from streamer.web.dashboard.left_out import LeftOut
from streamer.web.parts import Column, LiveTable, Prose, empty

_INTERVAL_S = 1.0
_COLUMNS = (
    Column("camera", "Camera"),
    Column("state", "State", kind="tag"),
    Column("classified", "Classified", kind="number"),
    Column("dead", "Dead letters", kind="number"),
    Column("shed", "Shed", kind="number"),
    Column("skipped", "Skipped", kind="number"),
    Column("timed", "Timed", kind="number"),
    Column("captured", "Captured", kind="number"),
    Column("sent", "Sent", kind="number"),
    Column("fps", "Frames/s", kind="number"),
    Column("reconnects", "Reconnects", kind="number"),
    Column("why", "Reasons"),
)


class LedgerPage:
    """Draws the page, and keeps its table true."""

    def __init__(self, site: Site) -> None:
        """Draw it."""
        self._site = site
        with ui.element("div").classes("toolbar"):
            self._group = GroupChoice(site)
            find = ui.input(placeholder="Find a camera").props('dense outlined clearable aria-label="Find a camera"')
        self._table = LiveTable(_COLUMNS, key="camera", page_rows=50, label="Ledger of the cameras")
        find.bind_value_to(self._table.table, "filter", forward=lambda text: text or "")
        self._note = Prose(
            "p",
            "Captured, sent and shed are of the camera's session, as of its last report; outcomes are counted since "
            "this dashboard watches. `streamer audit` checks that nothing is missing.",
        )
        self._note.classes("muted")
        self._left_out = LeftOut(site)
        self._empty = empty(
            "fact_check",
            "No camera yet",
            "Each camera has a line here.",
            "streamer produce --camera demo --source synthetic:workpiece",
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        group = self._group.refresh()
        rows = [row_of(camera, group) for camera in self._site.cameras()]
        self._table.show(rows)
        self._note.set_visibility(bool(rows))
        self._left_out.refresh()
        self._empty.set_visibility(not rows)


def row_of(camera: CameraView, group: str | None) -> dict[str, Any]:
    """Return a camera's line; where nothing is known, nothing stands."""
    state, tone = states.camera_state(camera.status, camera.status_age_s)
    status, ledger = camera.status, camera.ledgers.get(group or "")
    skipped = ledger.skipped if ledger is not None else {}
    dead_lettered = ledger.dead_lettered if ledger is not None else {}
    shed = status.shed if status is not None else {}
    return {
        "camera": camera.name,
        "state": state,
        "state_tone": tone,
        "captured": status.captured if status is not None else None,
        "sent": status.sent if status is not None else None,
        "shed": sum(shed.values()) if status is not None else None,
        "classified": ledger.classified if ledger is not None else None,
        "timed": ledger.timed if ledger is not None else None,
        "skipped": sum(skipped.values()),
        "dead": sum(dead_lettered.values()),
        "why": words.reasons(skipped | dead_lettered),
        "fps": _rates(status.fps_delivered, status.fps_declared) if status is not None else None,
        "reconnects": status.reconnects if status is not None else None,
    }


def _rates(delivered: float, declared: float | None) -> str:
    return words.rate(delivered) if declared is None else f"{words.rate(delivered)} of {declared:g}"
