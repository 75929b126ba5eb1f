"""The server of the pages: one address, one thread, and nothing said to anybody else."""

import errno
import logging
import socket
import time
from collections.abc import Collection
from threading import Thread
from typing import Self

import uvicorn
from fastapi import FastAPI
from nicegui import ui
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from streamer.web.connection import MAX_CONNECTIONS, BoundedConnection
from streamer.web.door import Door, is_any
from streamer.web.errors import WebFailedError, WebSettingError
from streamer.web.guard import Guard

log = logging.getLogger(__name__)

#: The content type of answers that are not worth packing.
PACKED = "application/octet-stream"
_START_TIMEOUT_S = 20.0
_STOP_TIMEOUT_S = 10.0
_MAX_MESSAGE_BYTES = 1024 * 1024


class WebServer:
    """Serves NiceGUI's pages, and the routes of `app`, behind the guard. One in a process."""

    def __init__(self, host: str, port: int, door: Door, title: str, file_paths: Collection[str] = ()) -> None:
        """Say where; `start` begins.

        Args:
            host: The address to listen at.
            port: 0 takes a free one.
            door: Who may come in.
            title: What a page is called that has no title of its own.
            file_paths: Where files are sent to; these routes bound what they take themselves.
        """
        #: Routes beside the pages.
        self.app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        self._host = host
        self._port = port
        self._door = door
        self._title = title
        self._file_paths = tuple(file_paths)
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._thread: Thread | None = None

    @property
    def address(self) -> str:
        """The address for a browser, once `start` was called; of this machine where it listens at many."""
        host = socket.gethostname() if is_any(self._host) else self._host
        port = self._socket.getsockname()[1] if self._socket is not None else self._port
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def start(self) -> None:
        """Begin to answer; add routes and pages before.

        Raises:
            WebSettingError: The address cannot be had.
            WebFailedError: It does not start.
        """
        self._socket = self._bind()
        port = self._socket.getsockname()[1]
        ui.run_with(
            self.app,
            title=self._title,
            dark=None,
            favicon=_FAVICON,
            tailwind=False,
            gzip_middleware_factory=None,  # ours is further out, where it also packs what the guard wrote
            binding_refresh_interval=None,
            reconnect_timeout=10.0,
            show_welcome_message=False,
        )
        guarded = Guard(self.app, self._door, f"streamer-{port}", self._file_paths)
        config = uvicorn.Config(
            GZipMiddleware(
                guarded,
                minimum_size=1024,
                compresslevel=4,
                exclude_content_types=(*DEFAULT_EXCLUDED_CONTENT_TYPES, PACKED),
            ),
            log_config=None,
            log_level="warning",
            access_log=False,  # it would have the token in it
            proxy_headers=False,
            server_header=False,
            date_header=False,
            http=BoundedConnection,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=2,
            ws_max_size=_MAX_MESSAGE_BYTES,
            ws_per_message_deflate=False,
        )
        self._server = uvicorn.Server(config)
        self._thread = Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, name="web", daemon=True)
        self._thread.start()
        self._wait_until_started()

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server((self._host, self._port), family=family, backlog=128)
        except OSError as exc:
            where = f"{self._host}:{self._port}"
            if exc.errno == errno.EADDRINUSE:
                raise WebSettingError(f"{where} is taken by another program: give another --port, or 0") from exc
            raise WebSettingError(f"cannot listen at {where}: {exc.strerror or exc}") from exc

    def _wait_until_started(self) -> None:
        until_s = time.monotonic() + _START_TIMEOUT_S
        while self._server is not None and not self._server.started:
            if not self.is_running() or time.monotonic() > until_s:
                raise WebFailedError(f"the server at {self.address} did not start within {_START_TIMEOUT_S:.0f} s")
            time.sleep(0.01)

    def is_running(self) -> bool:
        """Tell whether it answers."""
        return self._thread is not None and self._thread.is_alive()

    def close(self) -> None:
        """End; open pages say that the connection is lost. Closing twice is harmless."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(_STOP_TIMEOUT_S)
            if self._thread.is_alive():
                log.warning("the pages' server did not end within %.0f s", _STOP_TIMEOUT_S)
        if self._socket is not None:
            self._socket.close()

    def __enter__(self) -> Self:
        """Start, for a `with` block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


_FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#3b5bdb"/>'
    '<path d="M7 11h11v10H7zM20 14l5-3v10l-5-3z" fill="#fff"/></svg>'
)
