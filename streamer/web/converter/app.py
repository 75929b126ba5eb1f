"""The converter: one page, and the routes that files come and go by."""

from fastapi import FastAPI, Request
from nicegui import ui

from config.settings import ConverterSettings
from engine.models.store.store import ModelStore
from streamer.web.converter.page import ConverterPage
from streamer.web.model_work.kinds import models
from streamer.web.model_work.site import ModelSite
from streamer.web.shell import Place, Shell

HOME = Place("/", "Convert", "transform", "make another kind of model, a faster or a smaller one")


class Converter:
    """Puts the page together; the server serves it."""

    def __init__(self, settings: ConverterSettings, store: ModelStore) -> None:
        """Remember what is allowed, and where models are kept."""
        self._kind = models(int(settings.max_upload_bytes), with_torch=True)
        self._site = ModelSite(settings, store, [self._kind])
        self._shell = Shell("converter", [HOME], lambda: "")

    @property
    def file_paths(self) -> tuple[str, ...]:
        """Where files are sent to."""
        return self._site.uploads.paths

    def add_to(self, server_app: FastAPI) -> None:
        """Add routes and pages; once in a process, before the server starts."""
        self._shell.serve_files()
        self._site.add_to(server_app)

        @ui.page(HOME.path)
        def home(request: Request) -> None:
            with self._shell.page(request, HOME):
                ConverterPage(self._site, self._kind)

    def close(self) -> None:
        """Let go."""
        self._site.close()
