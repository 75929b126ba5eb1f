"""A `requests` session whose exchanges have one deadline and can be broken off from another thread."""

import logging
import socket
import threading
import time
from contextlib import suppress
from functools import partial
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import InsecureRequestWarning

from producers.sources.peers import PeerGuard
from producers.sources.tls import Trust

# urllib3 writes addresses with their queries: each request at DEBUG, damaged headers of an answer as a warning.
_QUIET_LOGGERS = {
    "urllib3": logging.INFO,
    "urllib3.connectionpool": logging.INFO,
    "urllib3.connection": logging.ERROR,
}
_HEADERS = {
    "User-Agent": "streamer",
    "Accept": "image/*, multipart/x-mixed-replace, video/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class Watch:
    """Breaks a connection off: at its deadline, or when told to.

    The time-outs of requests are for one receive each, so a server that sends a byte now and then meets none.

    Used by one thread; `interrupt` comes from any.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(0, self._expire)
        self._end_s = 0.0
        self._is_late = False
        self._is_interrupted = False

    @property
    def failure(self) -> str | None:
        """Why the connection was broken off; None where it was not."""
        if self._is_interrupted:
            return "interrupted"
        return "timed out" if self._is_late else None

    def start(self, timeout_s: float) -> None:
        """Count `timeout_s` seconds from now, in place of what was left."""
        self._timer.cancel()
        self._is_late = False
        self._end_s = time.monotonic() + timeout_s
        self._timer = threading.Timer(timeout_s, self._expire)
        self._timer.daemon = True
        self._timer.start()

    def left_s(self) -> float:
        """Seconds left, never quite none."""
        return max(0.001, self._end_s - time.monotonic())

    def hold(self, connected: socket.socket) -> None:
        """Take the socket to be watched.

        Raises:
            ConnectionAbortedError: It is too late already.
        """
        self._socket = connected
        if self.failure:
            raise ConnectionAbortedError(self.failure)

    def stop(self) -> None:
        """Let the socket go."""
        self._timer.cancel()
        self._socket = None

    def interrupt(self) -> None:
        """Break off now, and each further connection too until `reset`."""
        self._is_interrupted = True
        self._shut()

    def reset(self) -> None:
        """Forget an interruption."""
        self._is_interrupted = False

    def _expire(self) -> None:
        if threading.current_thread() is self._timer:
            self._is_late = True
            self._shut()

    def _shut(self) -> None:
        """Wake the thread that waits for the socket; it sees the connection's end."""
        connected = self._socket
        if connected:
            with suppress(OSError):  # gone already
                # Not the method of the TLS socket, which would take the session away under the reading thread.
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


class WebSession(requests.Session):
    """Sends requests as they are given: by no proxy, with no cookie, following no redirect.

    The bodies of answers other than 200 are not read. Used by one thread.

    Args:
        watch: What is to watch each connection.
        guard: What is to look at the other end of each connection.
        trust: Whose certificates are believed.
    """

    def __init__(self, watch: Watch, guard: PeerGuard, trust: Trust) -> None:
        super().__init__()
        for name, level in _QUIET_LOGGERS.items():
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, level))
        self.verify = trust.authorities if trust.is_checked else False
        if not trust.is_checked:  # said by us, once
            urllib3.disable_warnings(InsecureRequestWarning)
        self.trust_env = False
        self.headers.update(_HEADERS)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for prefix in ("http://", "https://"):
            self.mount(prefix, _Adapter(watch, guard))

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002 - the name is requests'
        """Name none: requests prepares the next request even where it is not to follow, and fails at odd ones."""
        return None


class _Adapter(HTTPAdapter):
    def __init__(self, watch: Watch, guard: PeerGuard) -> None:
        super().__init__()
        self._watch = watch
        self._guard = guard

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> HTTPConnectionPool:
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        kind = _TlsConnection if pool.scheme == "https" else _Connection
        pool.ConnectionCls = partial(kind, self._watch, self._guard)  # type: ignore[assignment]
        return pool

    def send(self, *args: Any, **kwargs: Any) -> requests.Response:
        response = super().send(*args, **kwargs)
        if response.status_code != 200:
            response.close()  # HTTPDigestAuth would read it, whatever its size
        return response


class _Connection(HTTPConnection):
    """Shows its socket: neither requests nor urllib3 does before the answer's headers are read."""

    def __init__(self, watch: Watch, guard: PeerGuard, **options: Any) -> None:
        super().__init__(**options)
        self._watch = watch
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        connected = super()._new_conn()
        try:
            self._guard.check(connected)
        except OSError:
            connected.close()
            raise
        return connected

    def connect(self) -> None:
        super().connect()
        self._watch.hold(self.sock)


class _TlsConnection(_Connection, HTTPSConnection):
    pass
