"""Files that pages send in: written to disk as they come, bounded in size and number, under names of ours."""

import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from streamer.web.connection import be_patient
from streamer.web.model_work.intake import Intake
from streamer.web.model_work.kinds import Kind, UploadError, checked_name, too_large
from streamer.web.model_work.room import DiskUsage, Room

_AT_A_TIME: Final = 4
#: So many of the largest files have room together, what was made of them included.
_LARGEST_FILES: Final = 8
#: Uploads that no page has taken yet; those that are taken go with their page.
_MAX_KEPT: Final = 8
_TOO_SLOW: Final = 408


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that was sent in.

    Attributes:
        folder: Its own; what is made of it belongs there too.
        path: The file, without a suffix: what it is, its content says.
        name: What its sender calls it; to be shown, and for nothing else.
        suffix: The end of that name.
    """

    folder: Path
    path: Path
    name: str
    suffix: str
    size_bytes: int

    @property
    def names(self) -> dict[str, str]:
        """What its paths are called before people: by the sender's name, and what was made of it by none."""
        return {str(self.path): self.name, f"{self.folder}/": ""}

    def known_as(self, suffix: str) -> "Upload":
        """Return it under a path that says what its content is."""
        path = self.path.with_name(f"model{suffix}")
        self.path.rename(path)
        return replace(self, path=path, suffix=suffix)

    def forget(self) -> None:
        """Delete it, and what was made of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


class Uploads:
    """Takes files for the pages. Its methods are called on the loop's thread."""

    def __init__(
        self,
        kinds: Sequence[Kind],
        *,
        clock: Callable[[], float] = time.monotonic,
        disk_usage: Callable[[Path], DiskUsage] = shutil.disk_usage,
    ) -> None:
        """Open the folder, which is there until `close`.

        Args:
            kinds: What is taken.
            clock: Tells the time in s.
            disk_usage: Tells of the disk that a folder is on.
        """
        self._kinds = {kind.path: kind for kind in kinds}
        self._clock = clock
        self._root = Path(tempfile.mkdtemp(prefix="streamer-uploads-"))
        self._room = Room(self._root, _LARGEST_FILES * max(kind.max_bytes for kind in kinds), disk_usage)
        self._waiting: dict[str, Upload] = {}
        self._under_way = 0

    @property
    def paths(self) -> tuple[str, ...]:
        """Where files are sent to."""
        return tuple(self._kinds)

    def kind(self, path: str) -> Kind:
        """Return what is sent to a path."""
        return self._kinds[path]

    def add_to(self, server_app: FastAPI) -> None:
        """Add the routes; once, before the server starts."""
        for path in self._kinds:
            server_app.add_api_route(path, self._receive, methods=["POST"])

    def take(self, token: str) -> Upload | None:
        """Give a file to the page that sent it, whose it is from now on; None where there is none of that token."""
        return self._waiting.pop(token, None)

    def close(self) -> None:
        """Delete all files."""
        shutil.rmtree(self._root, ignore_errors=True)

    async def _receive(self, request: Request) -> Response:
        if self._under_way >= _AT_A_TIME:
            return _refusal(UploadError(503, "other files are on their way: try again when they are here"))
        self._under_way += 1
        try:
            return JSONResponse({"token": await self._keep(request)})
        except UploadError as exc:
            return _refusal(exc)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        finally:
            self._under_way -= 1

    async def _keep(self, request: Request) -> str:
        """Write a body to a file, and return the token that its page takes it by."""
        kind = self._kinds[request.url.path]
        name = request.query_params.get("name", "")
        suffix = checked_name(kind, name)
        said = request.headers.get("content-length", "")
        said_bytes = int(said[:19]) if said.isdigit() else 0
        if said_bytes > kind.max_bytes:
            raise too_large(kind)
        be_patient(request.scope)
        while len(self._waiting) >= _MAX_KEPT:
            self._forget_oldest()
        token = secrets.token_urlsafe(16)
        folder = self._root / secrets.token_hex(16)
        try:
            self._make_room(said_bytes)
            folder.mkdir(mode=0o700)
            path = folder / "file"
            size_bytes = await Intake(kind, suffix, self._room, self._clock).write(request.stream(), path)
        except OSError as exc:
            shutil.rmtree(folder, ignore_errors=True)
            raise UploadError(507, f"the file cannot be kept here: {exc.strerror}") from exc
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._waiting[token] = Upload(folder, path, name, suffix, size_bytes)
        return token

    def _make_room(self, more_bytes: int) -> None:
        """Demand room for so many bytes more; files that no page came for make way."""
        while True:
            try:
                self._room.check(more_bytes)
            except UploadError:
                if not self._waiting:
                    raise
                self._forget_oldest()
            else:
                return

    def _forget_oldest(self) -> None:
        self._waiting.pop(next(iter(self._waiting))).forget()


def _refusal(error: UploadError) -> Response:
    # Who sends by and by would do so for long yet.
    headers = {"Connection": "close"} if error.status == _TOO_SLOW else None
    return JSONResponse({"error": str(error)}, error.status, headers)
