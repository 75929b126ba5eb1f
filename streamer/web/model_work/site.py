"""What every server of pages about models has: files that come in and go out, and work on them."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Response
from fastapi.responses import FileResponse, PlainTextResponse

from config.settings import ModelPageSettings
from engine.models.store.store import ModelStore
from streamer.web.asking import Desk
from streamer.web.model_work.job import JobLimits, Workbench
from streamer.web.model_work.kinds import Kind
from streamer.web.model_work.uploads import Uploads

#: What is made of a model may be larger than what was sent in: a conversion keeps all weights as float32.
_GROWTH: Final = 8
#: Libraries write to files of their own as well, such as caches of compiled kernels, and may not notice a short write.
_SMALLEST_FILE_LIMIT: Final = 2 * 1024**3
_MAX_DOWNLOADS: Final = 256
NOT_TO_BE_KEPT: Final = {"Cache-Control": "no-store"}


class ModelSite:
    """The store, the uploads, the jobs and the downloads of one server."""

    def __init__(self, settings: ModelPageSettings, store: ModelStore, kinds: Sequence[Kind]) -> None:
        """Begin with no file.

        Args:
            settings: How much may be sent in, and worked.
            store: Where models are kept.
            kinds: What is taken.
        """
        self.store = store
        self.desk = Desk()
        self.uploads = Uploads(kinds)
        self.bench = Workbench(
            JobLimits(
                timeout_s=settings.job_timeout.total_seconds(),
                memory_bytes=int(settings.job_memory),
                file_bytes=max(int(settings.max_upload_bytes) * _GROWTH, _SMALLEST_FILE_LIMIT),
            )
        )
        self._downloads: OrderedDict[str, tuple[Path, str]] = OrderedDict()

    def add_to(self, server_app: FastAPI) -> None:
        """Add the routes; once, before the server starts."""
        self.uploads.add_to(server_app)
        server_app.add_api_route("/healthz", _healthz, methods=["GET", "HEAD"])
        server_app.add_api_route("/readyz", _healthz, methods=["GET", "HEAD"])
        server_app.add_api_route("/api/download/{token}", self._download, methods=["GET"])

    def offer(self, path: Path, name: str) -> str:
        """Return the address that a file is fetched from, as long as it is there.

        Args:
            path: The file.
            name: That it gets where it is saved.
        """
        token = secrets.token_urlsafe(16)
        self._downloads[token] = path, name
        while len(self._downloads) > _MAX_DOWNLOADS:
            self._downloads.popitem(last=False)
        return f"/api/download/{token}"

    def close(self) -> None:
        """End what goes on, and delete what was sent in."""
        self.bench.close()
        self.desk.close()
        self.uploads.close()

    def _download(self, token: str) -> Response:
        path, name = self._downloads.get(token, (None, ""))
        if path is None or not path.is_file():
            return PlainTextResponse("this file is not kept any more: open its page anew\n", 404)
        return file_answer(path, name)


def file_answer(path: Path, name: str) -> Response:
    """Return a file to be saved; its type keeps a browser from doing anything else with it."""
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=NOT_TO_BE_KEPT)


def _healthz() -> Response:
    return PlainTextResponse("ok\n")
