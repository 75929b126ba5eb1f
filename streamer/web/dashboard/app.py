"""The dashboard: a site, the pages over it, and the two routes that pages get pictures from."""

import time

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from nicegui import ui

from messaging.kafka import Kafka
from messaging.topics import TopicNames
from streamer.watch.site import Site
from streamer.web.asking import Desk
from streamer.web.dashboard import wall_feed
from streamer.web.dashboard.dead_letters import DeadLettersPage
from streamer.web.dashboard.devices import DevicesPage
from streamer.web.dashboard.frame import FramePage
from streamer.web.dashboard.ledger import LedgerPage
from streamer.web.dashboard.pace import Pace
from streamer.web.dashboard.pipeline import PipelinePage
from streamer.web.dashboard.results import ResultsPage
from streamer.web.dashboard.throughput import ThroughputPage
from streamer.web.dashboard.wall import WallPage
from streamer.web.server import PACKED
from streamer.web.shelf import PictureShelf
from streamer.web.shell import Place, Shell

WALL = Place("/", "Cameras", "grid_view", "the latest picture of each, and what it was called")
THROUGHPUT = Place("/throughput", "Throughput", "show_chart", "the last five minutes")
LEDGER = Place("/ledger", "Ledger", "fact_check", "what became of every frame")
DEVICES = Place("/devices", "Devices", "memory", "workers, their load, and how far behind they are")
RESULTS = Place("/results", "Results", "list_alt", "as they come")
DEAD_LETTERS = Place("/dead-letters", "Dead letters", "report", "frames that could not be classified")
PIPELINE = Place("/pipeline", "Pipeline", "account_tree", "where a consumer's time goes")
FRAME = Place("/frame", "Frame", "image_search", "one frame by its id, and where its milliseconds went")
_PLACES = (WALL, THROUGHPUT, LEDGER, DEVICES, RESULTS, DEAD_LETTERS, PIPELINE, FRAME)

_MAX_ASKED_BYTES = 512 * 1024
_MAX_TITLE_CHARS = 100
_NOT_TO_BE_KEPT = {"Cache-Control": "no-store"}


class Dashboard:
    """Puts the pages together; the server serves them."""

    def __init__(self, site: Site, kafka: Kafka, topics: TopicNames) -> None:
        """Remember what is shown; nothing is read before `start` of the site."""
        self._site = site
        self._kafka, self._topics = kafka, topics
        self._desk, self._shelf, self._pace = Desk(), PictureShelf(), Pace()
        self._shell = Shell("dashboard", _PLACES, self._problem)

    def add_to(self, server_app: FastAPI) -> None:
        """Add routes and pages; once in a process, before the server starts."""
        self._shell.serve_files()
        server_app.add_api_route("/healthz", _healthz, methods=["GET", "HEAD"])
        server_app.add_api_route("/readyz", self._readyz, methods=["GET", "HEAD"])
        server_app.add_api_route("/api/wall", self._wall, methods=["POST"])
        server_app.add_api_route("/api/picture/{name}", self._picture, methods=["GET"])
        self._add_pages()

    def close(self) -> None:
        """Let go; the site is closed by whoever opened it."""
        self._desk.close()

    def _add_pages(self) -> None:
        site, shell = self._site, self._shell

        @ui.page(WALL.path)
        def wall(request: Request) -> None:
            with site.watching(), shell.page(request, WALL):  # frames are there when the page asks for pictures
                WallPage(site)

        @ui.page(THROUGHPUT.path)
        def throughput(request: Request) -> None:
            with shell.page(request, THROUGHPUT):
                ThroughputPage(site)

        @ui.page(LEDGER.path)
        def ledger(request: Request) -> None:
            with shell.page(request, LEDGER):
                LedgerPage(site)

        @ui.page(DEVICES.path)
        def devices(request: Request) -> None:
            with shell.page(request, DEVICES):
                DevicesPage(site)

        @ui.page(RESULTS.path)
        def results(request: Request) -> None:
            with shell.page(request, RESULTS):
                ResultsPage(site)

        @ui.page(DEAD_LETTERS.path)
        def dead_letters(request: Request) -> None:
            with shell.page(request, DEAD_LETTERS):
                DeadLettersPage(site, self._kafka, self._topics, self._desk, self._shelf)

        @ui.page(PIPELINE.path)
        def pipeline(request: Request) -> None:
            with shell.page(request, PIPELINE):
                PipelinePage(site)

        @ui.page(FRAME.path)
        def frame(request: Request) -> None:
            frame_id = request.query_params.get("id", "").strip()
            everywhere = "everywhere" in request.query_params
            with shell.page(request, FRAME, frame_id[:_MAX_TITLE_CHARS]):
                FramePage(self._kafka, self._topics, self._desk, self._shelf, frame_id, does_look_everywhere=everywhere)

    def _problem(self) -> str:
        return self._site.state.problem

    def _readyz(self) -> Response:
        state = self._site.state
        if state.is_connected:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{state.problem or 'not connected to Kafka'}\n", 503)

    async def _wall(self, request: Request) -> Response:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > _MAX_ASKED_BYTES:
                return PlainTextResponse("too much was asked for\n", 413)
        asked = wall_feed.read_asked(bytes(body))
        if asked is None:
            return PlainTextResponse("this is nothing that a page of ours asks\n", 400)
        self._pace.measured(time.monotonic(), time.process_time())
        with self._site.watching():  # frames are read for a while after, so that the next question finds some
            block = wall_feed.answer(self._site, asked, self._pace.interval_ms)
        return Response(block, media_type=PACKED, headers=_NOT_TO_BE_KEPT)

    def _picture(self, name: str) -> Response:
        picture = self._shelf.get(name)
        if picture is None:
            return PlainTextResponse("this picture is not kept any more: open its page anew\n", 404)
        return Response(picture.data, media_type=picture.content_type, headers=_NOT_TO_BE_KEPT)


def _healthz() -> Response:
    return PlainTextResponse("ok\n")
