"""A socket whose reads and writes all share one deadline, as `http.client` can use it."""

import http.client
import io
import socket
import ssl
import time
from typing import Any


class Deadline:
    """A point in time that a whole exchange must end by.

    Args:
        timeout_s: Seconds from now.
    """

    def __init__(self, timeout_s: float) -> None:
        self._end_s = 0.0
        self.restart(timeout_s)

    def restart(self, timeout_s: float) -> None:
        """Count `timeout_s` seconds anew from now."""
        self._end_s = time.monotonic() + timeout_s

    def left_s(self) -> float:
        """Seconds left.

        Raises:
            TimeoutError: None are.
        """
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        return left_s


class _TimedReader(io.RawIOBase):
    """The reading side: each receive may take what is left of the deadline, so a slow drip ends too."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.left_s())
        return self._socket.recv_into(buffer)


class TimedSocket:
    """What `http.client` needs of a socket.

    `close` leaves the connection open, since http.client closes its own side while the answer is still being
    read; `shut` ends it.

    Args:
        connected: The connected socket.
        deadline: When all must be over.
    """

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of `data`."""
        self._socket.settimeout(self._deadline.left_s())
        self._socket.sendall(data)

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """Give the reading side as a file."""
        return io.BufferedReader(_TimedReader(self._socket, self._deadline))

    def close(self) -> None:
        """Do nothing; see `shut`."""

    def interrupt(self) -> None:
        """Wake a thread that is blocked in this socket; it sees the connection's end."""
        try:
            # Not the method of the TLS socket, which would take the session away under the reading thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
        except OSError:
            return  # never connected, or gone already

    def shut(self) -> None:
        """Close the connection."""
        self._socket.close()


class TimedConnection(http.client.HTTPConnection):
    """An HTTP(S) connection under a deadline. It knows nothing of proxies, and the environment names it none.

    Args:
        host: The host.
        port: The port.
        deadline: When all must be over.
        is_tls: HTTPS, with the certificate checked against the system's authorities.
    """

    def __init__(self, host: str, port: int, deadline: Deadline, *, is_tls: bool) -> None:
        super().__init__(host, port)
        self._deadline = deadline
        self._is_tls = is_tls
        self.timed: TimedSocket | None = None
        if is_tls:
            self.default_port = 443

    def connect(self) -> None:
        """Connect to the first of the host's addresses that answers."""
        connected = self._connect_first()
        if self._is_tls:
            try:
                connected.settimeout(self._deadline.left_s())
                connected = ssl.create_default_context().wrap_socket(connected, server_hostname=self.host)
            except BaseException:
                connected.close()
                raise
        self.timed = TimedSocket(connected, self._deadline)
        self.sock = self.timed

    def _connect_first(self) -> socket.socket:
        """Try the addresses in turn, all within the deadline (each alone would have it whole otherwise)."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        failure: OSError = OSError(f"no address of {self.host}")
        for family, kind, protocol, _, address in found:
            candidate = socket.socket(family, kind, protocol)
            try:
                candidate.settimeout(self._deadline.left_s())
                candidate.connect(address)
            except OSError as exc:
                candidate.close()
                failure = exc
            else:
                candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return candidate
        raise failure
