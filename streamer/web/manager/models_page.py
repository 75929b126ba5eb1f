"""The first page of the manager: the models of the store, and the field by which more come in."""

from typing import Any

from nicegui import ui

from engine.errors import ModelError
from engine.models.store.names import store_name
from engine.models.store.records import StoredModel
from streamer.web import words
from streamer.web.errors import WebError
from streamer.web.manager.addresses import model_address
from streamer.web.model_work.kinds import Kind
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.upload_field import UploadField
from streamer.web.model_work.uploads import Upload
from streamer.web.model_work.work_view import WorkView
from streamer.web.parts import Column, LiveTable, Prose, empty, panel

_INTERVAL_S = 2.0
_COLUMNS = (
    Column("name", "Model", kind="link"),
    Column("kind", "Kind"),
    Column("size", "Size", kind="number"),
    Column("versions", "Versions", kind="number"),
    Column("current", "Current"),
    Column("added", "Added"),
    Column("origin", "Origin"),
)


class ModelsPage:
    """Draws the list, and keeps it true."""

    def __init__(self, site: ModelSite, kind: Kind) -> None:
        """Draw it."""
        self._site = site
        turn = Turn()
        with (
            panel("Add a model", f"{', '.join(kind.suffixes)}; up to {words.size(kind.max_bytes)}"),
            ui.element("div").classes("stack"),
        ):
            with ui.element("div").classes("toolbar"):
                self._name = ui.input(placeholder="Name (default: the file's)")
                self._name.props('dense outlined clearable aria-label="Name of the model"')
            UploadField(site.uploads, turn, kind, "Model to add", self._add)
            self._work = WorkView(site.bench, turn)
        self._table = LiveTable(_COLUMNS, key="name", label="Models")
        self._empty = empty(
            "inventory_2", "No model yet", "Add one above, or keep what the converter made.", "streamer web converter"
        )
        self._trouble = Prose("p").classes("muted").props('role="status"')
        self._table.show([])
        self._empty.set_visibility(False)
        ui.timer(0, self._look, once=True)
        ui.timer(_INTERVAL_S, self._look)

    async def _add(self, upload: Upload) -> None:
        added = await self._work.run(
            "putting it into the store",
            "add",
            names=upload.names,
            store=str(self._site.store.directory),
            path=str(upload.path),
            name=(self._name.value or "").strip() or store_name(upload.name),
            origin="upload",
            original_name=upload.name,
        )
        upload.forget()
        if added is not None:
            self._work.say(f"`{added['name']}` has version {added['digest'][:12]}")
            await self._look()

    async def _look(self) -> None:
        try:
            stored = await self._site.desk.ask(self._site.store.models)
        except (ModelError, WebError) as exc:
            self._trouble.show(words.sentence(str(exc)))
            return
        self._trouble.show("")
        self._table.show([row_of(model) for model in stored])
        self._empty.set_visibility(not stored)


def row_of(model: StoredModel) -> dict[str, Any]:
    """Return a model's line."""
    current = model.current
    return {
        "name": model.name,
        "name_link": model_address(model.name),
        "kind": current.suffix,
        "size": words.size(current.size_bytes),
        "versions": len(model.versions),
        "current": current.short_digest,
        "added": moment(current.added_at),
        "origin": current.origin,
    }


def moment(at: str) -> str:
    """Return a time of the store as people read it: `2026-11-22 04:36`, UTC."""
    return at[:16].replace("T", " ")
