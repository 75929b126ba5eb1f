"""GET over HTTP(S), bounded in time, size, redirects and in who is shown the password."""

import http.client
import ssl
from urllib.parse import quote, urljoin

from producers.errors import SourceFailedError, SourceSettingError
from producers.sources.address import Address, parse_address, redact
from producers.sources.web_auth import Credentials
from producers.sources.web_socket import Deadline, TimedConnection, TimedSocket

MAX_REDIRECTS = 3

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAY_STAND_IN_TARGET = "%/:=&?~#+!$,;'@()*[]"
_HEADERS = {
    "User-Agent": "streamer",
    "Accept": "image/*, multipart/x-mixed-replace, video/*;q=0.9, */*;q=0.1",
    "Accept-Encoding": "identity",
    "Connection": "close",
}


class WebBody:
    """An answer whose body is still to be read; the socket is its own.

    Args:
        answer: The answer, with its headers read.
        connected: Its connection.
        deadline: When reading it must be over.
        shown: The redacted address, for messages.
    """

    def __init__(
        self, answer: http.client.HTTPResponse, connected: TimedSocket, deadline: Deadline, shown: str
    ) -> None:
        self._answer = answer
        self._socket = connected
        self._deadline = deadline
        self._shown = shown
        self._left_bytes: int | None = None
        self.content_type = answer.headers.get_content_type() if answer.headers["Content-Type"] else "no content type"
        self.is_endless = answer.length is None

    def restart(self, timeout_s: float, max_bytes: int) -> None:
        """Give the next piece of an endless answer `timeout_s` seconds and `max_bytes` bytes."""
        self._deadline.restart(timeout_s)
        self._left_bytes = max_bytes

    def limit(self, max_bytes: int) -> None:
        """Let no more than `max_bytes` bytes be read from here on."""
        self._left_bytes = max_bytes

    def read(self, size: int) -> bytes:
        """Give what has arrived, at least one byte and at most `size`; nothing at the end.

        Raises:
            SourceFailedError: The connection broke, took too long, or gave more than it may.
        """
        try:
            data = self._answer.read1(size)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            failure = _why(exc)
        else:
            if self._left_bytes is None or len(data) <= self._left_bytes:
                self._left_bytes = None if self._left_bytes is None else self._left_bytes - len(data)
                return data
            failure = "more bytes than one picture may have"
        raise SourceFailedError(f"{self._shown}: {failure}")

    def read_all(self, max_bytes: int) -> bytes:
        """Read to the end.

        Raises:
            SourceFailedError: As for `read`, or it ended early.
        """
        self._left_bytes = max_bytes
        expected = self._answer.length
        data = bytearray()
        while piece := self.read(65_536):
            data += piece
        if expected is not None and len(data) != expected:
            raise SourceFailedError(f"{self._shown}: the answer broke off after {len(data)} of {expected} bytes")
        return bytes(data)

    def interrupt(self) -> None:
        """Make a blocked `read` return, from another thread."""
        self._socket.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._socket.shut()
        self._answer.close()


class WebClient:
    """GETs one address again and again.

    At most three redirects are followed, never from https to http. User name and password, taken from the address
    alone, are shown only where a server asks for them, and only to the address's own scheme, host and port (or
    the same host by https). Proxies of the environment are not used.

    Used by one thread; `interrupt` comes from any.

    Args:
        url: The address, perhaps with `user:password@`.
        timeout_s: Seconds for one whole GET, body included.

    Raises:
        SourceSettingError: The address is none.
    """

    def __init__(self, url: str, timeout_s: float) -> None:
        self.shown = redact(url)
        self._address = parse_address(url)
        if self._address.scheme not in {"http", "https"}:
            raise SourceSettingError(f"{self.shown}: only http and https can be asked for pictures")
        self._timeout_s = timeout_s
        self._credentials = Credentials(self._address.user, self._address.password) if self._address.user else None
        self._socket: TimedSocket | None = None
        self._is_interrupted = False

    def get(self) -> WebBody:
        """Ask once.

        Returns:
            The answer; the caller closes it.

        Raises:
            SourceFailedError: No answer in time, or none with status 200.
        """
        deadline = Deadline(self._timeout_s)
        address, redirects, was_asked = self._address, 0, False
        while True:
            answer, connected = self._ask(address, deadline)
            if answer.status == 200:
                return WebBody(answer, connected, deadline, self.shown)
            connected.shut()
            answer.close()
            if answer.status in _REDIRECTS and answer.headers["Location"]:
                redirects += 1
                if redirects > MAX_REDIRECTS:
                    raise SourceFailedError(f"{self.shown}: more than {MAX_REDIRECTS} redirects")
                address = self._follow(address, answer.headers["Location"])
            elif answer.status == 401 and self._is_own(address) and self._credentials and not was_asked:
                was_asked = True  # once: with a wrong password the server asks for ever
                if not self._credentials.accept(answer.headers.get_all("WWW-Authenticate", [])):
                    raise SourceFailedError(f"{self.shown}: the server takes neither Basic nor Digest authentication")
            else:
                raise SourceFailedError(f"{self.shown}: {_refusal(answer.status, has_user=bool(self._credentials))}")

    def interrupt(self) -> None:
        """Make a blocked `get` return, from another thread; it fails until `reset`."""
        self._is_interrupted = True
        if self._socket:
            self._socket.interrupt()

    def reset(self) -> None:
        """Forget an interruption."""
        self._is_interrupted = False

    def _ask(self, address: Address, deadline: Deadline) -> tuple[http.client.HTTPResponse, TimedSocket]:
        """Send one request; the answer's headers are read."""
        target = quote(address.target, safe=_MAY_STAND_IN_TARGET)
        headers = dict(_HEADERS)
        authorization = None
        if self._credentials and self._is_own(address):
            authorization = self._credentials.header("GET", target)
        if authorization:
            headers["Authorization"] = authorization
        connection = TimedConnection(address.host, address.port, deadline, is_tls=address.scheme == "https")
        try:
            connection.connect()
            self._socket = connection.timed
            if self._is_interrupted:
                raise ConnectionAbortedError("interrupted")
            connection.request("GET", target, headers=headers)
            answer = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as exc:
            failure = "interrupted" if self._is_interrupted else _why(exc)
        else:
            assert connection.timed is not None
            return answer, connection.timed
        # Not `from exc`: what http.client raises quotes the target, and secrets in its query with it.
        if connection.timed:
            connection.timed.shut()
        raise SourceFailedError(f"{self.shown}: {failure}")

    def _is_own(self, address: Address) -> bool:
        """Tell whether `address` may be shown the password."""
        own = self._address
        is_upgrade = (own.scheme, own.port, address.scheme, address.port) == ("http", 80, "https", 443)
        return address.origin == own.origin or (is_upgrade and address.host.lower() == own.host.lower())

    def _follow(self, address: Address, location: str) -> Address:
        """Give the address that a redirect names. What user name it may name is not used."""
        host = f"[{address.host}]" if ":" in address.host else address.host
        failure = "a redirect to something that is no http address"
        try:
            found = parse_address(urljoin(f"{address.scheme}://{host}:{address.port}{address.target}", location))
        except (SourceSettingError, ValueError):
            found = None
        if found and found.scheme in {"http", "https"}:
            if not (address.scheme == "https" and found.scheme == "http"):
                return found
            failure = "a redirect from https to http is not followed"
        raise SourceFailedError(f"{self.shown}: {failure}")


def _why(exc: Exception) -> str:
    """Say what went wrong in words that cannot hold the address."""
    if isinstance(exc, TimeoutError):
        return "timed out"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"the certificate is not valid ({exc.verify_message})"
    if isinstance(exc, OSError) and exc.strerror:
        return exc.strerror
    return f"the server did not answer in HTTP ({type(exc).__name__})"


def _refusal(status: int, *, has_user: bool) -> str:
    if status == 401:
        given = "these were refused" if has_user else "none is given"
        return f"the server wants a user name and password, and {given} (status 401)"
    return f"the server answered with status {status}"
