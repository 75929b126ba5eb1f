"""A POST that is over in its time: neither a slow name server nor an answer that trickles holds up who asks."""

import http.client
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from threading import Lock, Thread
from typing import NamedTuple


class Answer(NamedTuple):
    """An HTTP status, and the body or its first bytes."""

    status: int
    body: bytes


class TimedPost:
    """One request, on a thread and a connection of its own; after its time the connection is closed."""

    def __init__(self, host: str, port: int, *, is_encrypted: bool, timeout_s: float, max_bytes: int) -> None:
        """Remember whom to ask; nothing is asked yet.

        Args:
            host: A name or an address.
            port: Where it listens.
            is_encrypted: Whether by TLS; then the certificate is checked.
            timeout_s: For all of it.
            max_bytes: So much of the answer's body is read.
        """
        self._host = host
        self._port = port
        self._is_encrypted = is_encrypted
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._lock = Lock()
        self._handle: socket.socket | None = None
        self._is_over = False

    def send(self, target: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Send it, and wait for the answer; once.

        Raises:
            TimeoutError: There was no whole answer in time.
            OSError: There is no connection.
            HTTPException: The answer is no HTTP.
        """
        answers: list[Answer] = []
        errors: list[Exception] = []

        def ask() -> None:
            try:
                answers.append(self._ask(target, body, headers))
            except Exception as exc:  # noqa: BLE001 - raised below, on the thread that asked
                errors.append(exc)

        thread = Thread(target=ask, name="timed post", daemon=True)
        thread.start()
        thread.join(self._timeout_s)
        if answers:
            return answers[0]
        if errors:
            raise errors[0]
        self._end()
        raise TimeoutError(f"no answer within {self._timeout_s:.0f} s")

    def _ask(self, target: str, body: str, headers: Mapping[str, str]) -> Answer:
        connection: http.client.HTTPConnection
        if self._is_encrypted:
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(self._host, self._port, context=context)
        else:
            connection = http.client.HTTPConnection(self._host, self._port)
        raw = socket.create_connection((self._host, self._port), self._timeout_s)
        # Another descriptor of the same connection: TLS takes the first one for itself.
        with raw, raw.dup() as handle:
            self._begin(handle)
            try:
                connection.sock = context.wrap_socket(raw, server_hostname=self._host) if self._is_encrypted else raw
                connection.request("POST", target, body, dict(headers))
                with connection.getresponse() as response:
                    return Answer(response.status, response.read(self._max_bytes))
            finally:
                with self._lock:
                    self._handle = None
                connection.close()

    def _begin(self, handle: socket.socket) -> None:
        with self._lock:
            if self._is_over:
                raise TimeoutError("nobody waits any more")
            self._handle = handle

    def _end(self) -> None:
        """Wake the thread, wherever it waits for the other end."""
        with self._lock:
            self._is_over = True
            if self._handle is not None:
                with suppress(OSError):
                    self._handle.shutdown(socket.SHUT_RDWR)
