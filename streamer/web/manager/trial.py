"""A version tried on a picture."""

from typing import Any

from nicegui import ui

from engine.models.store.records import ModelVersion
from streamer.web import words
from streamer.web.model_work.kinds import Kind
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.upload_field import UploadField
from streamer.web.model_work.uploads import Upload
from streamer.web.model_work.work_view import WorkView
from streamer.web.parts import Prose, Text, panel


class TrialPanel:
    """Takes a picture, and shows what the model calls it."""

    def __init__(self, site: ModelSite, turn: Turn, kind: Kind, name: str, version: ModelVersion) -> None:
        """Draw it."""
        self._name, self._version = name, version
        with panel("Try it on a picture", f"version {version.short_digest}"), ui.element("div").classes("stack"):
            UploadField(site.uploads, turn, kind, "Picture to classify", self._classify)
            self._work = WorkView(site.bench, turn)
            self._found = ui.element("div").classes("stack")

    async def _classify(self, upload: Upload) -> None:
        self._found.clear()
        answer = await self._work.run(
            "classifying",
            "classify",
            names={str(self._version.path): f"model {self._name}", **upload.names},
            source=str(self._version.path),
            picture=str(upload.path),
        )
        upload.forget()
        if answer is not None:
            with self._found:
                _draw_classes(answer["classes"])
                for assumption in answer["assumptions"]:
                    Prose("p", words.sentence(assumption)).classes("muted")


def _draw_classes(classes: list[dict[str, Any]]) -> None:
    with ui.element("div").classes("classes"):
        for each in classes:
            Text("span", each["label"])
            with ui.element("span").classes("meter").props('aria-hidden="true"'):
                fill = ui.element("span").classes("meter-fill")
                fill.style(f"width: {min(max(each['score'], 0.0), 1.0) * 100:.1f}%")
            Text("span", words.percent(each["score"]))
