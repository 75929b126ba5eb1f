"""The page of the converter: a model in, another kind of model out, and how the two compare."""

from typing import Any

from nicegui import ui

from engine.models.store.names import store_name
from streamer.web import words
from streamer.web.model_work.kinds import Kind
from streamer.web.model_work.reports import comparison_facts, draw_facts
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.upload_field import UploadField
from streamer.web.model_work.uploads import Upload
from streamer.web.model_work.work_view import WorkView
from streamer.web.parts import Prose, Text, panel

_TARGETS = {".onnx": "ONNX", ".npz": "tinygrad"}
_OF_TORCH = (
    "Of torch, the weights of a known classifier, as a state dict. TorchScript and archives of `torch.export` (`.pt2`) "
    "are programs, which run when they are opened: `streamer convert` does that, for files that you trust."
)
_AS_IT_IS = -1
_MAX_AXES = 8
_MAX_AXIS = 1_000_000
_LEVELS_MEAN = (
    "0 checks and copies; 1 leaves out what no answer needs; 2 fuses operators too, for any runtime; 3 is for ONNX "
    "Runtime on this kind of processor alone."
)
_LEVELS = {_AS_IT_IS: "No", 0: "0", 1: "1", 2: "2", 3: "3"}


class ConverterPage:
    """Draws the page, and does what its buttons say."""

    def __init__(self, site: ModelSite, kind: Kind) -> None:
        """Draw it."""
        self._site = site
        self._turn = Turn()
        self._upload: Upload | None = None
        with (
            panel("Model", f"{', '.join(kind.suffixes)}; up to {words.size(kind.max_bytes)}"),
            ui.element("div").classes("stack"),
        ):
            UploadField(site.uploads, self._turn, kind, "Model to convert", self._take)
            Prose("p", _OF_TORCH).classes("muted")
        with panel("Make of it"), ui.element("div").classes("stack"):
            self._draw_wishes()
            with ui.element("div").classes("toolbar"):
                self._button = ui.button("Convert", on_click=self._convert).props("unelevated no-caps")
                self._button.disable()
            self._work = WorkView(site.bench, self._turn)
        self._report = ui.element("div").classes("stack")

    def _draw_wishes(self) -> None:
        with ui.element("div").classes("wishes"):
            Text("span", "Kind").classes("muted")
            with ui.element("div").classes("toolbar"):
                self._target = ui.toggle(_TARGETS, value=".onnx")
                self._target.props('dense no-caps unelevated aria-label="Kind"')
            Text("span", "Optimise").classes("muted")
            with ui.element("div").classes("toolbar"):
                self._level = ui.toggle(_LEVELS, value=_AS_IT_IS)
                self._level.props('dense no-caps unelevated aria-label="Optimisation level"')
                Prose("p", _LEVELS_MEAN).classes("muted")
            Text("span", "Quantise").classes("muted")
            self._is_quantized = ui.switch("int8").props("dense")
            Text("span", "Architecture").classes("muted")
            with ui.element("div").classes("toolbar"):
                self._architecture = ui.input(placeholder="of a state dict, where its keys do not tell")
                self._architecture.props('dense outlined clearable aria-label="Architecture"').classes("id-field")
            Text("span", "Input shape").classes("muted")
            with ui.element("div").classes("toolbar"):
                self._shape = ui.input(placeholder="1,3,224,224, where a torch file does not tell")
                self._shape.props('dense outlined clearable aria-label="Input shape"').classes("id-field")

    async def _take(self, upload: Upload) -> None:
        """Look at a file that came; it can be converted once it has passed."""
        self._upload = None
        self._button.disable()
        self._report.clear()
        checked = await self._work.run(
            "looking at it",
            "check",
            names=upload.names,
            path=str(upload.path),
            name=upload.name,
            suffix=upload.suffix,
        )
        if checked is not None:
            self._upload = upload.known_as(checked["suffix"])
            self._button.enable()

    async def _convert(self) -> None:
        upload = self._upload
        if upload is None or not self._work.may_begin():
            return
        try:
            shape = read_shape(self._shape.value or "")
        except ValueError as exc:
            self._work.say(str(exc), is_bad=True)
            return
        self._button.disable()
        self._report.clear()
        target, level = str(self._target.value), int(self._level.value)
        made = upload.folder / f"made{target}"
        report = await self._work.run(
            "converting",
            "convert",
            names=upload.names,
            source=str(upload.path),
            destination=str(made),
            optimization_level=None if level == _AS_IT_IS else level,
            is_quantized=bool(self._is_quantized.value),
            architecture=(self._architecture.value or "").strip() or None,
            input_shape=shape,
        )
        self._button.enable()
        if report is not None:
            with self._report:
                self._draw_report(upload, target, report)

    def _draw_report(self, upload: Upload, target: str, report: dict[str, Any]) -> None:
        made = upload.folder / f"made{target}"
        name = store_name(upload.name)
        for step in report["steps"]:
            with panel(words.capitalised(step["what"])), ui.element("div").classes("stack"):
                draw_facts(comparison_facts(step["comparison"]))
                for note in step["notes"]:
                    Prose("p", words.sentence(note)).classes("muted")
        with panel("Result", words.size(report["size_bytes"])), ui.element("div").classes("stack"):
            with ui.element("div").classes("toolbar"):
                address = self._site.offer(made, f"{name}{target}")
                link = ui.link(f"Download {name}{target}", address).classes("cell-link")
                link.props["download"] = f"{name}{target}"
            with ui.element("div").classes("toolbar"):
                field = ui.input(value=name).props('dense outlined aria-label="Name in the store"')
                origin = f"web converter: {', '.join(step['what'] for step in report['steps'])}"
                keep = ui.button("Keep it in the store").props("outline no-caps")
            work = WorkView(self._site.bench, self._turn)
            keep.on_click(lambda: self._keep(work, keep, upload, target, (field.value or "").strip(), origin))

    async def _keep(
        self, work: WorkView, button: ui.button, upload: Upload, target: str, name: str, origin: str
    ) -> None:
        button.disable()
        kept = await work.run(
            "keeping it",
            "add",
            names=upload.names,
            store=str(self._site.store.directory),
            path=str(upload.folder / f"made{target}"),
            name=name,
            origin=origin,
            original_name=upload.name,
        )
        if kept is None:
            button.enable()
        else:
            work.say(f"the store has it as `{kept['name']}`, version {kept['digest'][:12]}")


def read_shape(text: str) -> list[int] | None:
    """Read the sizes of a model's axes, such as `1,3,224,224`; None where nothing is said.

    Raises:
        ValueError: It is no such list.
    """
    parts = [part.strip() for part in text.split(",")]
    if parts == [""]:
        return None
    sizes = [int(part) if part.isascii() and part.isdecimal() and len(part) < 8 else 0 for part in parts]
    if len(sizes) > _MAX_AXES or not all(0 < size <= _MAX_AXIS for size in sizes):
        raise ValueError("an input shape is the sizes of its axes, with commas between: 1,3,224,224")
    return sizes
