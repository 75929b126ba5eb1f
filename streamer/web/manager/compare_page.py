"""The page that runs two models on the same inputs."""

from nicegui import ui

from engine.errors import ModelError
from streamer.web import words
from streamer.web.errors import WebError
from streamer.web.model_work.reports import comparison_facts, draw_facts
from streamer.web.model_work.site import ModelSite
from streamer.web.model_work.turn import Turn
from streamer.web.model_work.work_view import WorkView
from streamer.web.parts import empty, panel


class ComparePage:
    """Draws two choices, and how they compare."""

    def __init__(self, site: ModelSite, before: str, after: str) -> None:
        """Draw it.

        Args:
            site: Where the models are.
            before: The first choice, `name@digest`; "" for none.
            after: The second one.
        """
        self._site = site
        self._asked = before, after
        self._box = ui.element("div").classes("stack")
        ui.timer(0, self._draw, once=True)

    async def _draw(self) -> None:
        try:
            models = await self._site.desk.ask(self._site.store.models)
        except (ModelError, WebError) as exc:
            with self._box:
                empty("search_off", "The store cannot be read", words.sentence(str(exc)))
            return
        choices = {
            f"{model.name}@{version.digest}": f"{model.name} · {version.short_digest} · {version.suffix}"
            for model in models
            for version in model.versions
        }
        with self._box:
            if len(choices) < 2:
                empty("compare_arrows", "Nothing to compare", "The store needs two versions, of one model or of two.")
                return
            with panel("Which two?"), ui.element("div").classes("stack"):
                with ui.element("div").classes("toolbar"):
                    self._before, self._after = (
                        ui.select(choices, label=label, value=asked if asked in choices else None).props(
                            "dense outlined options-dense"
                        )
                        for label, asked in zip(("Reference", "Compared with it"), self._asked, strict=True)
                    )
                    ui.button("Compare", on_click=self._compare).props("unelevated no-caps")
                self._work = WorkView(self._site.bench, Turn())
            self._report = ui.element("div").classes("stack")

    async def _compare(self) -> None:
        chosen = self._before.value, self._after.value
        if None in chosen:
            self._work.say("choose two", is_bad=True)
            return
        self._report.clear()
        try:
            paths = [await self._site.desk.ask(self._site.store.path_of, *str(each).rsplit("@", 1)) for each in chosen]
        except (ModelError, WebError) as exc:
            self._work.say(str(exc), is_bad=True)
            return
        names = {str(path): f"model {str(each).rpartition('@')[0]}" for path, each in zip(paths, chosen, strict=True)}
        compared = await self._work.run(
            "running both", "compare", names=names, before=str(paths[0]), after=str(paths[1])
        )
        if compared is not None:
            with self._report, panel("How they compare"):
                draw_facts(comparison_facts(compared))
