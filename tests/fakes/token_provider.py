"""An OpenID provider's token endpoint on this machine."""

import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any


@dataclass
class TokenProvider:
    """What it answers, and what it was asked.

    Attributes:
        answer: The body: an object for JSON, or bytes as they are.
        asked: Each request's path, headers and body.
        goes_on: Set to let answers go; they wait for it.
    """

    url: str = ""
    status: int = 200
    answer: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    goes_on: Event = field(default_factory=Event)


@contextmanager
def token_provider() -> Iterator[TokenProvider]:
    """Run a provider; its answers do not wait."""
    provider = TokenProvider()
    provider.goes_on.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            provider.asked.append((self.path, dict(self.headers), body))
            provider.goes_on.wait(30)
            answer = provider.answer
            data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self.send_response(provider.status)
            for name, value in provider.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:
                self.close_connection = True  # who asked did not wait

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.01,), name="token provider")
    thread.start()
    provider.url = f"http://127.0.0.1:{server.server_address[1]}/oauth2/token?tenant=a"
    try:
        yield provider
    finally:
        provider.goes_on.set()
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Trickle:
    """A server that never comes to an end.

    Attributes:
        is_hung_up: Set once the other end has closed the connection.
    """

    port: int
    is_hung_up: Event = field(default_factory=Event)


@contextmanager
def trickling_server(head: bytes, context: ssl.SSLContext | None = None) -> Iterator[Trickle]:
    """Answer one connection, by TLS where there is a context, with `head`, and then with a byte every 20 ms."""
    listener = socket.create_server(("127.0.0.1", 0))
    trickle, ends = Trickle(listener.getsockname()[1]), Event()

    def serve() -> None:
        accepted, _ = listener.accept()
        with context.wrap_socket(accepted, server_side=True) if context is not None else accepted as connected:
            try:
                connected.sendall(head)
                while not ends.wait(0.02):
                    connected.sendall(b"a")
            except OSError:
                trickle.is_hung_up.set()

    thread = Thread(target=serve, name="trickling server", daemon=True)
    thread.start()
    try:
        yield trickle
    finally:
        ends.set()
        thread.join()
        listener.close()
