"""GET over HTTP(S), bounded in time, size, redirects and in who is shown the password."""

import re
import ssl
from http.client import HTTPException, IncompleteRead
from urllib.parse import urljoin

from requests import Response
from requests.auth import AuthBase, HTTPBasicAuth, HTTPDigestAuth
from urllib3.exceptions import HTTPError

from producers.errors import SourceFailedError, SourceSettingError
from producers.sources.address import Address, parse_address, redact
from producers.sources.peers import PeerGuard
from producers.sources.tls import trust_of
from producers.sources.web_session import Watch, WebSession

MAX_REDIRECTS = 3

#: One picture may have so many bytes.
MAX_IMAGE_BYTES = 8 * 1024 * 1024

_BASIC = re.compile(r"(?:^|,)\s*basic(?:\s|$)", re.IGNORECASE)
# Those of requests are OSErrors, but not all that lies below is made one of them.
_ERRORS = (OSError, HTTPError, HTTPException, ValueError)


class WebBody:
    """An answer whose body is still to be read.

    Args:
        response: The answer, with its headers read.
        session: Its session, closed with it.
        watch: What watches its connection.
        shown: The redacted address, for messages.
    """

    def __init__(self, response: Response, session: WebSession, watch: Watch, shown: str) -> None:
        self._response = response
        self._session = session
        self._watch = watch
        self._shown = shown
        self._left_bytes = MAX_IMAGE_BYTES
        words = response.headers.get("Content-Type", "").partition(";")[0].lower().split()
        self.content_type = words[0] if words else "no content type"
        self.is_endless = response.raw.length_remaining is None

    def limit(self, max_bytes: int) -> None:
        """Let no more than `max_bytes` bytes be read from here on."""
        self._left_bytes = max_bytes

    def restart(self, timeout_s: float) -> None:
        """Give the next picture of an endless answer `timeout_s` seconds, and the bytes of one picture."""
        self._watch.start(timeout_s)
        self._left_bytes = MAX_IMAGE_BYTES

    def read(self, size: int) -> bytes:
        """Give what has arrived, at least one byte and at most `size`; nothing at the end.

        Raises:
            SourceFailedError: The connection broke, took too long, or gave more than it may.
        """
        data, failure = b"", None
        try:
            data = self._response.raw.read1(size) or b""
        except _ERRORS as exc:
            failure = _why(exc)
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            failure = "more bytes than one picture may have"
        failure = self._watch.failure or failure  # a connection that was broken off may look like one that ended
        if failure:
            raise SourceFailedError(f"{self._shown}: {failure}")
        return data

    def read_all(self) -> bytes:
        """Read to the end.

        Raises:
            SourceFailedError: As for `read`, or it ended early.
        """
        return b"".join(iter(lambda: self.read(65_536), b""))

    def close(self) -> None:
        """Close the connection."""
        self._watch.stop()
        self._response.close()
        self._session.close()


class WebClient:
    """GETs one address again and again.

    At most three redirects are followed, never from https to http, and never further inward (from a public address to
    a private one, or from there to this machine) than the camera's own address. User name and password, taken from
    the address alone, are shown only where a server asks for them, by Digest where it takes that and else by Basic,
    and only to the address's own scheme, host and port (or the same host by https). Proxies of the environment are
    not used.

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
        self._watch = Watch()
        self._guard = PeerGuard()
        self._session = WebSession(self._watch, self._guard, trust_of(self._address, self.shown))
        self._auth: AuthBase | None = None
        self.reset()

    def get(self) -> WebBody:
        """Ask once.

        Returns:
            The answer; the caller closes it.

        Raises:
            SourceFailedError: No answer in time, or none with status 200.
        """
        self._watch.start(self._timeout_s)
        try:
            address = self._address
            for _ in range(MAX_REDIRECTS + 1):
                response = self._ask(address)
                if response.status_code == 200:
                    return WebBody(response, self._session, self._watch, self.shown)
                if not response.is_redirect:
                    raise SourceFailedError(f"{self.shown}: {self._refusal(response.status_code)}")
                address = self._follow(address, response.headers["Location"])
            raise SourceFailedError(f"{self.shown}: more than {MAX_REDIRECTS} redirects")
        except SourceFailedError:
            self._watch.stop()
            self._session.close()
            raise

    def interrupt(self) -> None:
        """Make a blocked `get`, or the reading of its body, return; all fails until `reset`."""
        self._watch.interrupt()

    def reset(self) -> None:
        """Forget an interruption, and how the server wants to be shown the password."""
        self._watch.reset()
        if self._address.user:
            self._auth = _DigestAuth(self._address.user, self._address.password)

    def _ask(self, address: Address) -> Response:
        """Ask one server; a Digest challenge is answered by requests, and one for Basic here."""
        if not (self._auth and self._is_own(address)):
            return self._send(address, None)
        response = self._send(address, self._auth)
        if response.status_code == 401 and "Authorization" not in response.request.headers:
            if not _BASIC.search(response.headers.get("WWW-Authenticate", "")):
                raise SourceFailedError(f"{self.shown}: the server takes neither Basic nor Digest authentication")
            # requests would write text as Latin-1.
            self._auth = HTTPBasicAuth(self._address.user.encode(), self._address.password.encode())
            response = self._send(address, self._auth)
        return response

    def _send(self, address: Address, auth: AuthBase | None) -> Response:
        """Send one request; the answer's headers are read."""
        self._guard.is_redirected = address is not self._address
        try:
            return self._session.get(
                f"{address.scheme}://{_in_url(address.host)}:{address.port}{address.target}",
                auth=auth,
                # Half of it to connect, so that a host's second address has its turn; the watch bounds the whole.
                timeout=(self._watch.left_s() / 2, self._timeout_s),
                stream=True,
                allow_redirects=False,
            )
        except _ERRORS as exc:
            failure = self._watch.failure or _why(exc)
        # Not `from exc`: what requests raises quotes the target, and secrets in its query with it.
        raise SourceFailedError(f"{self.shown}: {failure}")

    def _is_own(self, address: Address) -> bool:
        """Tell whether `address` may be shown the password."""
        own = self._address
        is_upgrade = (own.scheme, own.port, address.scheme, address.port) == ("http", 80, "https", 443)
        return address.origin == own.origin or (is_upgrade and address.host.lower() == own.host.lower())

    def _follow(self, address: Address, location: str) -> Address:
        """Give the address that a redirect names. What user name it may name is not used."""
        failure = "a redirect to something that is no http address"
        try:
            base = f"{address.scheme}://{_in_url(address.host)}:{address.port}{address.target}"
            found = parse_address(urljoin(base, location))
        except (SourceSettingError, ValueError):
            found = None
        if found and found.scheme in {"http", "https"}:
            if not (address.scheme == "https" and found.scheme == "http"):
                return found
            failure = "a redirect from https to http is not followed"
        raise SourceFailedError(f"{self.shown}: {failure}")

    def _refusal(self, status: int) -> str:
        if status == 401:
            given = "these were refused" if self._auth else "none is given"
            return f"the server wants a user name and password, and {given} (status 401)"
        return f"the server answered with status {status}"


class _DigestAuth(HTTPDigestAuth):
    def build_digest_header(self, method: str, url: str) -> str | None:
        """Give none for a challenge that lacks what it must have; requests looks no closer than for the word."""
        try:
            return super().build_digest_header(method, url)
        except KeyError:
            return None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _why(exc: BaseException) -> str:
    """Say what went wrong in words that cannot hold the address, as those of requests and urllib3 do."""
    chain = [exc]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for link in reversed(chain):  # the innermost says it best
        if isinstance(link, TimeoutError):
            return "timed out"
        if isinstance(link, IncompleteRead):
            return "the answer broke off"
        if isinstance(link, ssl.SSLCertVerificationError):
            return f"the certificate is not valid ({link.verify_message})"
        if isinstance(link, OSError) and link.strerror:
            return link.strerror
    return f"the server did not answer in HTTP ({type(chain[-1]).__name__})"
