"""The manager: pages over the store of models, and the routes that files come and go by."""

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from nicegui import ui

from config.settings import ManagerSettings
from engine.errors import ModelError
from engine.models.store.store import ModelStore
from streamer.web import words
from streamer.web.errors import WebError
from streamer.web.manager.compare_page import ComparePage
from streamer.web.manager.look import picture_shelf
from streamer.web.manager.model_page import ModelPage
from streamer.web.manager.models_page import ModelsPage
from streamer.web.model_work.kinds import models, pictures
from streamer.web.model_work.site import NOT_TO_BE_KEPT, ModelSite, file_answer
from streamer.web.shell import Place, Shell

MODELS = Place("/", "Models", "inventory_2", "in the store: a consumer follows the current version of a name")
COMPARE = Place("/compare", "Compare", "compare_arrows", "two models, run on the same inputs")
MODEL = Place("/model", "Model", "")
_MAX_TITLE_CHARS = 100
#: As much as a frame may have.
_MAX_PICTURE_BYTES = 8 * 1024 * 1024


class Manager:
    """Puts the pages together; the server serves them."""

    def __init__(self, settings: ManagerSettings, store: ModelStore) -> None:
        """Remember what is allowed, and where models are kept."""
        self._kinds = models(int(settings.max_upload_bytes), with_torch=False), pictures(_MAX_PICTURE_BYTES)
        self._site = ModelSite(settings, store, self._kinds)
        self._shelf = picture_shelf()
        self._shell = Shell("model manager", [MODELS, COMPARE], lambda: "")

    @property
    def file_paths(self) -> tuple[str, ...]:
        """Where files are sent to."""
        return self._site.uploads.paths

    def add_to(self, server_app: FastAPI) -> None:
        """Add routes and pages; once in a process, before the server starts."""
        self._shell.serve_files()
        self._site.add_to(server_app)
        server_app.add_api_route("/api/model/{name}/{digest}", self._model, methods=["GET"])
        server_app.add_api_route("/api/picture/{name}", self._picture, methods=["GET"])
        site, shell = self._site, self._shell
        model_kind, picture_kind = self._kinds

        @ui.page(MODELS.path)
        def home(request: Request) -> None:
            with shell.page(request, MODELS):
                ModelsPage(site, model_kind)

        @ui.page(COMPARE.path)
        def compare(request: Request) -> None:
            asked = request.query_params
            with shell.page(request, COMPARE):
                ComparePage(site, asked.get("before", ""), asked.get("after", ""))

        @ui.page(MODEL.path)
        def model(request: Request) -> None:
            name, digest = request.query_params.get("name", ""), request.query_params.get("digest", "")
            title = name[:_MAX_TITLE_CHARS] or MODEL.title
            with shell.page(request, Place(MODEL.path, title, "", "its versions, and what is in them")):
                ModelPage(site, self._shelf, picture_kind, name, digest)

    def close(self) -> None:
        """Let go."""
        self._site.close()

    async def _model(self, name: str, digest: str) -> Response:
        try:
            path = await self._site.desk.ask(self._site.store.path_of, name, digest)
        except (ModelError, WebError) as exc:
            return PlainTextResponse(f"{words.sentence(str(exc))}\n", 404)
        return file_answer(path, f"{name}{path.suffix}")

    def _picture(self, name: str) -> Response:
        picture = self._shelf.get(name)
        if picture is None:
            return PlainTextResponse("this picture is not kept any more: draw it anew\n", 404)
        return Response(picture.data, media_type=picture.content_type, headers=NOT_TO_BE_KEPT)
