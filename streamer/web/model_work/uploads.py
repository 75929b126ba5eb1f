"""Files that pages send in: written to disk as they come, bounded in size and number, under names of ours."""

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.requests import ClientDisconnect

from streamer.web.connection import be_patient
from streamer.web.model_work.kinds import HEAD_BYTES, Kind, UploadError, check_head, checked_name, too_large

_AT_A_TIME: Final = 4
#: Uploads that no page has taken yet; those that are taken go with their page.
_MAX_KEPT: Final = 8


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

    def __init__(self, kinds: Sequence[Kind]) -> None:
        """Say what is taken; the folder is there until `close`."""
        self._kinds = {kind.path: kind for kind in kinds}
        self._root = Path(tempfile.mkdtemp(prefix="streamer-uploads-"))
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
        if said.isdigit() and int(said[:19]) > kind.max_bytes:
            raise too_large(kind)
        be_patient(request.scope)
        while len(self._waiting) >= _MAX_KEPT:  # nobody came for the oldest one
            self._waiting.pop(next(iter(self._waiting))).forget()
        token = secrets.token_urlsafe(16)
        folder = self._root / secrets.token_hex(16)
        try:
            folder.mkdir(mode=0o700)
            path = folder / "file"
            size_bytes = await _write(request, path, kind, suffix)
        except OSError as exc:
            shutil.rmtree(folder, ignore_errors=True)
            raise UploadError(507, f"the file cannot be kept here: {exc.strerror}") from exc
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self._waiting[token] = Upload(folder, path, name, suffix, size_bytes)
        return token


async def _write(request: Request, path: Path, kind: Kind, suffix: str) -> int:
    """Write a body as it comes; return its size in bytes. Its first bytes, and its size, end it at once."""
    head = bytearray()
    size_bytes = 0
    is_checked = False
    with path.open("xb") as file:
        async for piece in request.stream():
            size_bytes += len(piece)
            if size_bytes > kind.max_bytes:
                raise too_large(kind)
            if not is_checked:
                head += piece[:HEAD_BYTES]
                if is_checked := len(head) >= HEAD_BYTES:
                    check_head(kind, suffix, bytes(head))
            await asyncio.to_thread(file.write, piece)
    if not is_checked:
        check_head(kind, suffix, bytes(head))
    return size_bytes


def _refusal(error: UploadError) -> Response:
    return JSONResponse({"error": str(error)}, error.status)
