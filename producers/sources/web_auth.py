"""HTTP authentication by user name and password: Basic and Digest."""

import hashlib
import re
import secrets
from base64 import b64encode
from collections.abc import Callable, Iterable
from urllib.request import parse_http_list, parse_keqv_list

_HASHES: dict[str, Callable[[bytes], str]] = {
    # MD5 is what most cameras speak; the password's protection is the owner's network.
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_DIGEST = re.compile(r"(?:^|,)\s*digest\s+", re.IGNORECASE)
_BASIC = re.compile(r"(?:^|,)\s*basic(?:\s|$)", re.IGNORECASE)


class Credentials:
    """A user name and password, and what a server asked to be shown of them.

    Nothing is sent before a server asks, and Digest is preferred to Basic, which shows the password to everyone
    between. Used by one thread.

    Args:
        user: The user name.
        password: The password.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._is_basic = False
        self._challenge: dict[str, str] = {}
        self._count = 0

    def accept(self, challenges: Iterable[str]) -> bool:
        """Take a server's `WWW-Authenticate` headers.

        Args:
            challenges: The headers' values.

        Returns:
            Whether one of them can be answered.
        """
        challenges = list(challenges)
        self._is_basic, self._challenge, self._count = False, {}, 0
        for text in challenges:
            found = _DIGEST.search(text)
            if found:
                pairs = [pair for pair in parse_http_list(text[found.end() :]) if "=" in pair]
                challenge = {key.lower(): value for key, value in parse_keqv_list(pairs).items()}
                if _is_answerable(challenge):
                    self._challenge = challenge
                    return True
        self._is_basic = any(_BASIC.search(text) for text in challenges)
        return self._is_basic

    def header(self, method: str, target: str) -> str | None:
        """Give the `Authorization` header of one request.

        Args:
            method: `GET`.
            target: Path and query, as they are sent.

        Returns:
            The header's value; None before a server asked.
        """
        if self._challenge:
            return self._digest(method, target)
        if self._is_basic:
            return "Basic " + b64encode(f"{self._user}:{self._password}".encode()).decode("ascii")
        return None

    def _digest(self, method: str, target: str) -> str:
        """Answer a Digest challenge. Source: RFC 7616, section 3.4."""
        challenge = self._challenge
        algorithm = challenge.get("algorithm", "MD5")
        digest = _HASHES[algorithm.upper().removesuffix("-SESS")]
        realm, nonce = challenge["realm"], challenge["nonce"]
        self._count += 1
        count, own_nonce = f"{self._count:08x}", secrets.token_hex(8)
        who = digest(f"{self._user}:{realm}:{self._password}".encode())
        if algorithm.upper().endswith("-SESS"):
            who = digest(f"{who}:{nonce}:{own_nonce}".encode())
        what = digest(f"{method}:{target}".encode())
        user = self._user.replace("\\", "\\\\").replace('"', '\\"')
        parts = [f'username="{user}"', f'realm="{realm}"', f'nonce="{nonce}"', f'uri="{target}"']
        if "qop" in challenge:
            response = digest(f"{who}:{nonce}:{count}:{own_nonce}:auth:{what}".encode())
            parts += ["qop=auth", f"nc={count}", f'cnonce="{own_nonce}"']
        else:
            response = digest(f"{who}:{nonce}:{what}".encode())
        parts += [f'response="{response}"']
        if "algorithm" in challenge:
            parts += [f"algorithm={algorithm}"]
        if "opaque" in challenge:
            parts += [f'opaque="{challenge["opaque"]}"']
        return "Digest " + ", ".join(parts)


def _is_answerable(challenge: dict[str, str]) -> bool:
    algorithm = challenge.get("algorithm", "MD5").upper().removesuffix("-SESS")
    methods = [method.strip().lower() for method in challenge.get("qop", "auth").split(",")]
    return "realm" in challenge and "nonce" in challenge and algorithm in _HASHES and "auth" in methods
