"""The page of one model: its versions, what can be done with it, and its history."""

from nicegui import ui

from engine.errors import ModelError
from engine.models.store.records import ModelVersion, StoredModel
from streamer.web import words
from streamer.web.errors import WebError
from streamer.web.manager.addresses import compare_address, file_address, model_address
from streamer.web.manager.look import LookPanel
from streamer.web.manager.models_page import moment
from streamer.web.manager.trial import TrialPanel
from streamer.web.model_work.kinds import Kind
from streamer.web.model_work.reports import draw_facts
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.parts import Prose, Text, empty, panel, tag
from streamer.web.shelf import PictureShelf

_SHOWN_HISTORY = 50
_ERRORS = (ModelError, WebError)


class ModelPage:
    """Draws a model, and does what its buttons say."""

    def __init__(self, site: ModelSite, shelf: PictureShelf, picture_kind: Kind, name: str, digest: str) -> None:
        """Draw it.

        Args:
            site: Where the models are.
            shelf: Keeps pictures for the browser.
            picture_kind: What a model is tried on.
            name: The model's.
            digest: The version to look into; "" for the current one.
        """
        self._site, self._shelf, self._picture_kind = site, shelf, picture_kind
        self._name, self._digest = name, digest
        self._turn = Turn()
        self._box = ui.element("div").classes("stack")
        ui.timer(0, self._draw, once=True)

    async def _draw(self) -> None:
        try:
            model = await self._site.desk.ask(self._site.store.get, self._name)
            version = model.version(self._digest) if self._digest else model.current
        except _ERRORS as exc:
            self._box.clear()
            with self._box:
                empty("search_off", "Not found", words.sentence(str(exc)))
                ui.link("Go to the models", "/").classes("cell-link")
            return
        self._box.clear()
        with self._box:
            self._draw_model(model)
            self._draw_versions(model)
            LookPanel(self._site, self._turn, self._shelf, self._name, version)
            TrialPanel(self._site, self._turn, self._picture_kind, self._name, version)
            _draw_history(model)

    def _draw_model(self, model: StoredModel) -> None:
        with panel("Model"), ui.element("div").classes("stack"):
            draw_facts(
                {
                    "Name": model.name,
                    "Current version": model.current.short_digest,
                    "For a consumer": for_consumer(model),
                }
            )
            with ui.element("div").classes("toolbar"):
                field = ui.input(value=model.name).props('dense outlined aria-label="New name"')
                ui.button("Rename", on_click=lambda: self._rename((field.value or "").strip())).props("outline no-caps")
                ui.element("div").classes("toolbar-rest")
                ui.button("Delete the model", on_click=self._delete_model).props("outline no-caps color=negative")
            self._said = Prose("p").classes("muted").props('role="status" aria-live="polite"')

    def _draw_versions(self, model: StoredModel) -> None:
        with panel("Versions", f"{len(model.versions)}, newest first"), ui.element("div").classes("versions"):
            for version in model.versions:
                self._draw_version(model, version)

    def _draw_version(self, model: StoredModel, version: ModelVersion) -> None:
        is_current = version.digest == model.current.digest
        short = version.short_digest
        with ui.element("div").classes("version").props('role="group"') as box:
            box.props["aria-label"] = f"Version {short}"
            with ui.element("div").classes("toolbar"):
                Text("span", short).classes("mono").props["title"] = version.digest
                if is_current:
                    tag("current", "good")
                Text("span", f"{version.suffix}, {words.size(version.size_bytes)}").classes("muted")
            name = f" ({version.original_name})" if version.original_name else ""
            Text("p", f"{moment(version.added_at)} UTC · {version.origin}{name}").classes("muted")
            with ui.element("div").classes("toolbar"):
                link = ui.link("Download", file_address(model.name, version.digest)).classes("cell-link")
                link.props["download"] = f"{model.name}{version.suffix}"
                ui.link("Look into it", model_address(model.name, version.digest)).classes("cell-link")
                ui.link("Compare it", compare_address(f"{model.name}@{version.digest}")).classes("cell-link")
                if not is_current:
                    use = ui.button("Make it current", on_click=lambda: self._use(version))
                    use.props("outline dense no-caps")
                    delete = ui.button("Delete", on_click=lambda: self._delete_version(version))
                    delete.props("outline dense no-caps color=negative")

    async def _use(self, version: ModelVersion) -> None:
        if await self._is_done(self._site.store.use, self._name, version.digest):
            await self._draw()
            self._said.show(f"Version {version.short_digest} is current now: consumers of {self._name} take it.")

    async def _rename(self, new: str) -> None:
        if new != self._name and await self._is_done(self._site.store.rename, self._name, new):
            ui.navigate.to(model_address(new))

    async def _delete_version(self, version: ModelVersion) -> None:
        sure = await _is_sure(f"Delete version {version.short_digest}?", "Its file is gone for good.")
        if sure and await self._is_done(self._site.store.delete, self._name, version.digest):
            self._digest = ""
            await self._draw()
            self._said.show(f"Version {version.short_digest} is deleted.")

    async def _delete_model(self) -> None:
        sure = await _is_sure(f"Delete {self._name}?", "All its versions are gone for good, and its history.")
        if sure and await self._is_done(self._site.store.delete, self._name, None):
            ui.navigate.to("/")

    async def _is_done(self, function: object, *arguments: object) -> bool:
        """Change the store; what is wrong is shown."""
        try:
            await self._site.desk.ask(function, *arguments)  # type: ignore[arg-type]
        except _ERRORS as exc:
            self._said.show(words.sentence(str(exc)))
            return False
        return True


def for_consumer(model: StoredModel) -> str:
    """Return how a consumer runs a model, or why none does."""
    if model.current.suffix == ".tflite":
        return "none runs a TFLite model: the converter, or `streamer convert`, makes an .onnx of it"
    return f"streamer consume --model {model.name}"


async def _is_sure(question: str, what: str) -> bool:
    with ui.dialog() as dialog, ui.element("div").classes("dialog-card"):
        Text("h2", question).classes("panel-title")
        Text("p", what)
        with ui.element("div").classes("toolbar"):
            ui.element("div").classes("toolbar-rest")
            ui.button("Cancel", on_click=lambda: dialog.submit("")).props("flat no-caps autofocus")
            ui.button("Delete it", on_click=lambda: dialog.submit("yes")).props("unelevated no-caps color=negative")
    answer = await dialog
    dialog.delete()
    return bool(answer == "yes")


def _draw_history(model: StoredModel) -> None:
    with panel("History", "newest first"), ui.element("dl").classes("facts"):
        for entry in model.history[:_SHOWN_HISTORY]:
            Text("dt", f"{moment(entry.at)} UTC")
            Text("dd", " · ".join(part for part in (entry.action, entry.digest[:12], entry.detail) if part))
