"""Tokens for OAUTHBEARER: from a file that somebody renews, or from an OpenID provider."""

import base64
import binascii
import json
import logging
import math
import re
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from kafka.net.sasl.oauth import AbstractTokenProvider

from messaging.errors import NoTokenNowError, SecuritySettingError, TokenError
from messaging.security import is_loopback, read_secret
from messaging.timed_post import TimedPost

log = logging.getLogger(__name__)

#: Kafka's I/O waits meanwhile, and with it the heartbeats of a group.
_TIMEOUT_S = 5.0
_MAX_ANSWER_BYTES = 256 * 1024
#: Kafka asks for a new token after 85 % of the old one's life at the earliest. Source: kafka-python's
#: `SaslReauthenticator.schedule`; 0.8 is also `sasl.login.refresh.window.factor` of Java's client.
_FRESH_PART = 0.8
#: A token that says nothing of its end is asked for again after this long.
_UNKNOWN_LIFE_S = 60.0
#: Ten years; no token lives as long.
_MAX_LIFE_S = 10 * 365.25 * 86400
#: The end of the year 9999.
_MAX_TIME_S = 253_402_300_799
#: After a renewal that failed, while the last token is good: not sooner, so that a provider that hangs does not hold
#: up every login; but not later than half of what is left.
_RETRY_S = 30.0
#: Source: RFC 6750, section 2.1. Nothing else may stand in the SASL message.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
_ERROR_CODE = re.compile(r"[a-z_]{1,40}", re.ASCII)
_OK = 200
_BROKEN = 500

Clock = Callable[[], float]


def expiry_s(token: str) -> float | None:
    """Return when a JSON Web Token ends, in s since 1970; None where it does not say, or is none."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        ends_s = float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError, binascii.Error):
        return None
    return ends_s if 0 <= ends_s <= _MAX_TIME_S else None


class TokenFile(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """A file that holds the token and is renewed by somebody else; it is read whenever Kafka wants a token."""

    def __init__(self, path: Path, now_s: Clock = time.time) -> None:
        """Remember the file.

        Args:
            path: The token as one line.
            now_s: The time in s since 1970.
        """
        super().__init__()
        self._path = path
        self._now_s = now_s

    def token(self) -> str:
        """Return the token that the file holds now.

        Raises:
            TokenError: The token cannot be one, or has ended.
            SecuritySettingError: The file cannot be read.
        """
        setting = "--sasl-oauth-token-file"
        token = _checked(read_secret(self._path, setting), f"{setting} {self._path}")
        ends_s = expiry_s(token)
        if ends_s is not None and ends_s <= self._now_s():
            ended = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ends_s))
            raise TokenError(f"the token in {self._path} ended at {ended}: renew the file")
        return token


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python has no types
    """Tokens of an OpenID provider, by the grant `client_credentials` (RFC 6749, section 4.4).

    A token is kept for 80 % of its life. `token` is called on Kafka's I/O threads, by any number of clients.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        client_secret: str,
        scope: str = "",
        *,
        timeout_s: float = _TIMEOUT_S,
        now_s: Clock = time.time,
    ) -> None:
        """Remember whom to ask; nothing is asked yet.

        Args:
            url: The provider's token endpoint, https; http on this machine alone.
            client_id: Who we are to the provider.
            client_secret: And its proof; never shown.
            scope: Scopes, blanks between; "" leaves them to the provider.
            timeout_s: For an answer, all in all.
            now_s: The time in s since 1970.

        Raises:
            SecuritySettingError: The URL cannot be used, or the id or secret is empty.
        """
        super().__init__()
        self._host, self._port, self._target, self._is_encrypted = _endpoint(url)
        if not client_id or not client_secret:
            raise SecuritySettingError(
                "--sasl-oauth-token-url needs --sasl-oauth-client-id, and a secret that is not empty: "
                "set STREAMER_SASL_OAUTH_CLIENT_SECRET or give --sasl-oauth-client-secret-file"
            )
        login = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
        self._authorization = f"Basic {base64.b64encode(login.encode()).decode()}"
        grant = {"grant_type": "client_credentials"} | ({"scope": scope} if scope else {})
        self._body = urlencode(grant)
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._lock = Lock()
        self._token = ""
        self._renew_at_s = 0.0
        self._ends_at_s = 0.0

    def token(self) -> str:
        """Return a token that is good for a while.

        Raises:
            TokenError: The provider gives none, and the last one has ended.
            NoTokenNowError: Likewise, and it may give one later.
        """
        with self._lock:
            now_s = self._now_s()
            if now_s >= self._renew_at_s:
                try:
                    self._renew(now_s)
                except TokenError as exc:
                    now_s = self._now_s()  # the attempt took its time
                    left_s = self._ends_at_s - now_s
                    if left_s <= 0:
                        raise
                    self._renew_at_s = now_s + min(_RETRY_S, left_s / 2)
                    log.warning("the last token is used on, for %.0f s: %s", left_s, exc)
            return self._token

    def _renew(self, now_s: float) -> None:
        answer = self._ask()
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise TokenError(f"{self._name} gives no access_token: check --sasl-oauth-token-url")
        life_s = answer.get("expires_in")
        if isinstance(life_s, int | float) and abs(life_s) > _MAX_LIFE_S:
            raise TokenError(f"{self._name} gives an expires_in that no token has: check --sasl-oauth-token-url")
        if not isinstance(life_s, int | float) or math.isnan(life_s):
            life_s = (expiry_s(token) or now_s + _UNKNOWN_LIFE_S) - now_s
        self._token = _checked(token, self._name)
        self._renew_at_s = now_s + _FRESH_PART * life_s
        self._ends_at_s = now_s + life_s

    @property
    def _name(self) -> str:
        return f"the token URL at {self._host}:{self._port}"

    def _ask(self) -> dict[str, Any]:
        post = TimedPost(
            self._host,
            self._port,
            is_encrypted=self._is_encrypted,
            timeout_s=self._timeout_s,
            max_bytes=_MAX_ANSWER_BYTES + 1,
        )
        headers = {
            "Authorization": self._authorization,
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        try:
            status, data = post.send(self._target, self._body, headers)
        except TimeoutError as exc:
            raise NoTokenNowError(f"{self._name} gave no answer within {self._timeout_s:.0f} s") from exc
        # The texts of these errors quote no request, and so neither id nor secret.
        except ssl.SSLCertVerificationError as exc:
            raise TokenError(
                f"{self._name} cannot be asked: {exc.verify_message.rstrip('.')}: "
                "check --sasl-oauth-token-url and the provider's certificate"
            ) from exc
        except Exception as exc:
            reason = getattr(exc, "strerror", None) or exc or type(exc).__name__
            raise NoTokenNowError(
                f"{self._name} cannot be asked: {reason}: check --sasl-oauth-token-url, and that the provider runs"
            ) from exc
        answer = _json_object(data) if len(data) <= _MAX_ANSWER_BYTES else {}
        if status != _OK:  # a redirect, too: it would carry the secret elsewhere
            code = answer.get("error")
            reason = f" ({code})" if isinstance(code, str) and _ERROR_CODE.fullmatch(code) else ""
            error = NoTokenNowError if status >= _BROKEN else TokenError
            raise error(
                f"{self._name} answers {status}{reason}: "
                "check --sasl-oauth-token-url, --sasl-oauth-client-id and the secret"
            )
        return answer


def _endpoint(url: str) -> tuple[str, int, str, bool]:
    """Take the URL apart: host, port, path with query, and whether it is https. Errors do not quote it."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        parts, host, port = None, None, None
    if parts is None or not host or parts.scheme not in ("https", "http") or "@" in parts.netloc:
        raise SecuritySettingError("--sasl-oauth-token-url is no https://host/path without user and password") from None
    is_encrypted = parts.scheme == "https"
    if not is_encrypted and not is_loopback(f"[{host}]" if ":" in host else host):
        raise SecuritySettingError("--sasl-oauth-token-url has to be https, since the client's secret goes there")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, port or (443 if is_encrypted else 80), target, is_encrypted


def _checked(token: str, where: str) -> str:
    if not _TOKEN.fullmatch(token):
        raise TokenError(f"{where} holds no bearer token: it has letters that no token has")
    return token


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
