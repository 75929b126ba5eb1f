"""Who may come in: decisions about single requests. Pure.

The pages show pictures of cameras and put frames back, so a request is believed only where it comes from a page of
ours. `Host` is checked against names that nobody else can point here (else any web page could reach this server under
a name of its own), `Origin` and `Sec-Fetch-Site` against requests that other pages make, and the token where the
address is open to other machines.
"""

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum, auto
from ipaddress import ip_address

from engine.exposure import MIN_TOKEN_CHARS, host_name, is_loopback
from streamer.web.errors import WebSettingError

#: Asked by whoever watches over the process, under whatever name it has there; they say nothing about cameras.
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
_COOKIE_PURPOSE = b"streamer web cookie 1"


class Verdict(Enum):
    """What becomes of a request."""

    ADMITTED = auto()
    #: It asks after the health, and may know no more than that.
    STRANGER = auto()
    #: It brought the token in its address: it gets the cookie, and goes to the same address without the token.
    TOKEN_GIVEN = auto()
    NO_TOKEN = auto()
    WRONG_TOKEN = auto()
    WRONG_HOST = auto()
    WRONG_ORIGIN = auto()


@dataclass(frozen=True, slots=True)
class Visit:
    """What is known of a request; a header that is not there is None.

    Attributes:
        token: From the address (`?token=…`).
        cookie: The value of our cookie.
        is_navigation: Whether a browser says that it opens a page in a window of its own (`Sec-Fetch-Mode: navigate`
            and `Sec-Fetch-Dest: document`).
    """

    path: str
    host: str | None = None
    origin: str | None = None
    fetch_site: str | None = None
    token: str | None = None
    cookie: str | None = None
    is_navigation: bool = False
    is_websocket: bool = False


class Door:
    """Decides about requests; it holds no state, so any thread may ask."""

    def __init__(self, host: str, allowed_hosts: Collection[str] = (), token: str | None = None) -> None:
        """Say where the server listens, what else it may be called, and what it asks for.

        Args:
            host: The address that it is bound to; a name for it when it is one of this machine's.
            allowed_hosts: Further names or addresses that users call it by, without port.
            token: None where everybody who reaches it may come in.
        """
        named = [] if is_any(host) else [host]
        self._hosts = frozenset(_plain(name) for name in (*named, *allowed_hosts))
        self._token = token.encode() if token is not None else None
        self.cookie = hmac.new(self._token, _COOKIE_PURPOSE, hashlib.sha256).hexdigest() if self._token else ""

    def judge(self, visit: Visit) -> Verdict:
        """Decide about one request."""
        verdict = self._judge_page(visit)
        if visit.path not in OPEN_PATHS or visit.is_websocket:
            return verdict
        return Verdict.ADMITTED if verdict in (Verdict.ADMITTED, Verdict.TOKEN_GIVEN) else Verdict.STRANGER

    def _judge_page(self, visit: Visit) -> Verdict:
        if visit.host is None or not self._is_ours(visit.host):
            return Verdict.WRONG_HOST
        if not _is_from_us(visit):
            return Verdict.WRONG_ORIGIN
        return self._judge_token(visit)

    def _judge_token(self, visit: Visit) -> Verdict:
        if self._token is None:
            return Verdict.ADMITTED
        if visit.token is not None and not visit.is_websocket:
            is_right = hmac.compare_digest(visit.token.encode(errors="replace"), self._token)
            return Verdict.TOKEN_GIVEN if is_right else Verdict.WRONG_TOKEN
        if visit.cookie is None:
            return Verdict.NO_TOKEN
        is_right = hmac.compare_digest(visit.cookie.encode(errors="replace"), self.cookie.encode())
        return Verdict.ADMITTED if is_right else Verdict.WRONG_TOKEN

    def _is_ours(self, host: str) -> bool:
        name = _plain(host_name(host))
        return is_loopback(name) or name in self._hosts


def _is_from_us(visit: Visit) -> bool:
    """Tell whether a page of ours, or a person, made the request, as far as the browser says who did.

    Programs that are no browser send neither header, and cannot be misled into coming here. A browser sends `Origin`
    with every WebSocket.
    """
    if visit.origin is not None:
        _, separator, authority = visit.origin.partition("://")
        return bool(separator) and authority.lower() == (visit.host or "").lower()
    if visit.is_websocket:
        return False
    return visit.fetch_site in (None, "same-origin", "none") or visit.is_navigation


def check_address(host: str, token: str | None, how: str) -> None:
    """Refuse to be open to other machines without a token, or with one that can be guessed.

    Args:
        host: Where the server is to listen.
        token: What a browser has to know; None for nothing.
        how: The settings that a token is given by.

    Raises:
        WebSettingError: It is so.
    """
    if token is None and not is_loopback(host):
        raise WebSettingError(f"{host} is open to other machines: give a token with {how}, or listen at 127.0.0.1")
    if token is not None and len(token) < MIN_TOKEN_CHARS:
        raise WebSettingError(f"the token has fewer than {MIN_TOKEN_CHARS} characters: give a longer one with {how}")


def is_any(host: str) -> bool:
    """Tell whether it stands for every address of this machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False


def _plain(name: str) -> str:
    return name.strip("[]").rstrip(".").lower()
