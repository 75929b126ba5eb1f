"""The port that monitoring asks: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever starts processes."""

import contextlib
import errno
import logging
import socket
import socketserver
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import BoundedSemaphore, Thread
from typing import Any, Final

from engine.exposure import host_name, is_loopback

log = logging.getLogger(__name__)

#: Who asks may be silent for so long.
_REQUEST_TIMEOUT_S: Final = 10.0
#: With one more, the oldest is closed: whoever keeps connections open, and says little, shuts nobody out.
_MAX_CONNECTIONS: Final = 16
_FREED_WITHIN_S: Final = 1.0
_POLL_S: Final = 0.05
_TEXT: Final = "text/plain; charset=utf-8"


class MetricsPortError(Exception):
    """The port cannot be used."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Answers:
    """What the port says. Called on threads of its own, several at a time.

    Attributes:
        metrics: Returns the text and its content type, for an `Accept` header.
        why_not_alive: Returns, in a line, why the process should be started anew; "" while it lives.
        why_not_ready: Returns, in a line, why no work should be counted on; "" where it can.
    """

    metrics: Callable[[str], tuple[bytes, str]]
    why_not_alive: Callable[[], str]
    why_not_ready: Callable[[], str]


class MetricsServer:
    """Serves one address from `start` to `close`."""

    def __init__(self, answers: Answers) -> None:
        """Remember what to say; nothing is bound before `start`."""
        self._answers = answers
        self._server: _Server | None = None

    def start(self, address: tuple[str, int] | Path) -> str:
        """Listen on a host and port (0 takes a free one), or on a Unix socket; return the address as a URL.

        Raises:
            MetricsPortError: It cannot be used.
        """
        try:
            if isinstance(address, Path):
                self._server = _UnixServer(address, self._answers)
            else:
                self._server = _TcpServer(address, self._answers)
        except (OSError, OverflowError) as exc:
            raise MetricsPortError(_refusal(address, exc)) from exc
        Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True).start()
        return self._server.url

    def close(self) -> None:
        """Stop; closing twice is harmless."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _refusal(address: tuple[str, int] | Path, error: Exception) -> str:
    """Say what is wrong with an address, and what to do."""
    if isinstance(address, Path):
        return f"a worker cannot be asked for its metrics at {address}: {error}; set TMPDIR to a shorter path"
    host, port = address
    why = getattr(error, "strerror", None) or str(error)
    if isinstance(error, socket.gaierror) or getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
        return f"--metrics-host: {host} is no address of this machine: {why}"
    if getattr(error, "errno", None) == errno.EADDRINUSE:
        return f"--metrics-port: {host} port {port} is taken by another program; give another port"
    return f"--metrics-port: cannot listen on {host} port {port}: {why}"


class _Server(socketserver.ThreadingMixIn, HTTPServer):
    """A thread for each of a few connections."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Any, answers: Answers) -> None:
        self.answers = answers
        self._room = BoundedSemaphore(_MAX_CONNECTIONS)
        self._open: dict[Any, None] = {}  # the oldest first
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        return ""

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it, so that another name for it is somebody's trick."""
        return False

    def server_bind(self) -> None:
        socketserver.TCPServer.server_bind(self)  # HTTPServer's own asks the resolver for a name

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            for oldest in list(self._open)[:1]:
                with contextlib.suppress(OSError):  # it has ended by itself
                    oldest.shutdown(socket.SHUT_RDWR)
            if not self._room.acquire(timeout=_FREED_WITHIN_S):
                self.shutdown_request(request)
                return
        self._open[request] = None
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._open.pop(request, None)
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: whoever asked has left, or never spoke HTTP."""


class _TcpServer(_Server):
    def __init__(self, address: tuple[str, int], answers: Answers) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, answers)

    @property
    def is_loopback(self) -> bool:
        return is_loopback(str(self.server_address[0]))

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://[{host!s}]:{port}" if ":" in str(host) else f"http://{host!s}:{port}"


class _UnixServer(_Server):
    address_family = socket.AF_UNIX

    def __init__(self, address: Path, answers: Answers) -> None:
        address.unlink(missing_ok=True)  # of a worker that was killed
        super().__init__(str(address), answers)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "streamer"
    sys_version = ""
    timeout = _REQUEST_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer."""
        path = self.path.partition("?")[0]
        try:
            status, body, content_type = self._find(path)
        except Exception:
            log.exception("%s cannot be answered", path)
            status, content_type = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT
            body = b"an error of streamer's own: see its log\n"
        self._answer(status, body, content_type)

    def _find(self, path: str) -> tuple[HTTPStatus, bytes, str]:
        answers = self.server.answers
        if path == "/metrics":
            if self.server.is_loopback and not is_loopback(host_name(self.headers.get("Host", "localhost"))):
                return HTTPStatus.MISDIRECTED_REQUEST, b"this port is called localhost, or 127.0.0.1\n", _TEXT
            return HTTPStatus.OK, *answers.metrics(self.headers.get("Accept", ""))
        if path in ("/healthz", "/readyz"):
            why_not = answers.why_not_alive() if path == "/healthz" else answers.why_not_ready()
            status = HTTPStatus.SERVICE_UNAVAILABLE if why_not else HTTPStatus.OK
            return status, f"{why_not or 'ok'}\n".encode(), _TEXT
        return HTTPStatus.NOT_FOUND, b"there are /metrics, /healthz and /readyz\n", _TEXT

    do_HEAD = do_GET  # noqa: N815 - http.server's name

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing: a probe a second is no news."""

    def address_string(self) -> str:
        """Return nothing: a Unix socket's peer has no address."""
        return ""
