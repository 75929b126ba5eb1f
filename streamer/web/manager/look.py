"""What is in a version: its architecture and weights as pictures, and its analysis."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nicegui import ui

from engine.models.store.records import ModelVersion
from streamer.web import words
from streamer.web.model_work.reports import draw_facts
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.work_view import WorkView
from streamer.web.parts import Column, LiveTable, Prose, panel
from streamer.web.shelf import PictureShelf

_MAX_PICTURE_BYTES = 32 * 1024 * 1024
_SHELVED_PICTURES = 4
_SHOWN_LAYERS = 200
_LAYERS = (
    Column("name", "Layer"),
    Column("operator", "Operator"),
    Column("time", "Time", kind="number"),
    Column("share", "Share", kind="bar"),
)


class LookPanel:
    """Draws three buttons, and what they give."""

    def __init__(self, site: ModelSite, turn: Turn, shelf: PictureShelf, name: str, version: ModelVersion) -> None:
        """Draw it."""
        self._site, self._shelf = site, shelf
        self._name, self._version = name, version
        with panel("What is in it", f"version {version.short_digest}"), ui.element("div").classes("stack"):
            with ui.element("div").classes("toolbar"):
                for what in ("architecture", "weights"):
                    button = ui.button(f"Draw the {what}").props("outline no-caps")
                    button.on_click(lambda what=what: self._draw(what))
                ui.button("Analyse", on_click=self._analyze).props("outline no-caps")
            self._work = WorkView(site.bench, turn)
            self._found = ui.element("div").classes("stack")

    async def _draw(self, what: str) -> None:
        self._found.clear()
        folder = Path(tempfile.mkdtemp(prefix="streamer-picture-"))
        try:
            picture = folder / "picture.png"
            drawn = await self._work.run(
                f"drawing the {what}",
                "draw",
                names={f"{folder}/": "", **self._names},
                source=str(self._version.path),
                name=self._name,
                destination=str(picture),
                what=what,
            )
            if drawn is None:
                return
            if drawn["size_bytes"] > _MAX_PICTURE_BYTES:
                self._work.say("the picture is too large to be shown: `streamer visualize` writes it", is_bad=True)
                return
            address = f"/api/picture/{self._shelf.put(await asyncio.to_thread(picture.read_bytes), 'image/png')}"
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        with self._found, ui.link(target=address, new_tab=True):
            image = ui.element("img").classes("model-picture")
            image.props["src"] = address
            image.props["alt"] = f"The {what} of {self._name}"

    async def _analyze(self) -> None:
        self._found.clear()
        analysis = await self._work.run("analysing", "analyze", names=self._names, source=str(self._version.path))
        if analysis is not None:
            with self._found:
                _draw_analysis(analysis)

    @property
    def _names(self) -> dict[str, str]:
        return {str(self._version.path): f"model {self._name}"}


def picture_shelf() -> PictureShelf:
    """Return a shelf that holds some of the largest pictures of models."""
    return PictureShelf(_SHELVED_PICTURES * _MAX_PICTURE_BYTES)


def _draw_analysis(analysis: dict[str, Any]) -> None:
    """Draw what `Analysis.as_json()` holds."""
    flops = analysis["flops"]
    operators = sorted(analysis["operators"].items(), key=lambda each: (-each[1], each[0]))
    draw_facts(
        {
            "Parameters": words.count(analysis["parameters"]),
            "Operations of one run": "not known" if flops is None else f"{words.count(flops)} FLOPs",
            "Size": words.size(analysis["size_bytes"]),
            "Operators": ", ".join(f"{name} {words.count(number)}" for name, number in operators),
        }
    )
    draw_facts({name: words.sentence(why) if why else "Runs it." for name, why in analysis["backends"].items()})
    for note in analysis["notes"]:
        Prose("p", words.sentence(note)).classes("muted")
    layers = LiveTable(_LAYERS, page_rows=25, label="Layers, the slowest first")
    layers.show([_row(number, layer) for number, layer in enumerate(analysis["layers"][:_SHOWN_LAYERS])])
    if len(analysis["layers"]) > _SHOWN_LAYERS:
        Prose("p", f"The first {_SHOWN_LAYERS} of {len(analysis['layers'])} layers.").classes("muted")


def _row(number: int, layer: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": number,
        "name": layer["name"],
        "operator": layer["operator"],
        "time": words.milliseconds(layer["ms"]),
        "share": words.percent(layer["share"]),
        "share_percent": round(layer["share"] * 100, 1),
    }
