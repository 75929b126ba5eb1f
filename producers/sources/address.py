"""A source's address: what may be shown of it, and its parts."""

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from producers.errors import SourceSettingError

#: Schemes with a host, and so perhaps with a user name and a password.
NETWORK_SCHEMES = frozenset({"http", "https", "rtsp", "rtsps"})

DEFAULT_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322}

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NETWORK_SCHEME = re.compile(r"(?:rtsps?|https?):/{0,2}", re.IGNORECASE)
_DELIMITER = re.compile(r"[/?#\\]")
_HOST_AND_PORT = re.compile(r"(?!.*%40)(?:\[[0-9A-Fa-f:.%]+\]|[^:]*)(?::[0-9]*)?")
# Cameras call it `usr`, `loginpas`, `pwd`, `sid`; clouds `X-Amz-Signature`, `sig`; some write
# `/user=admin_password=x_channel=1.sdp` into the path.
_SECRET = re.compile(
    r"(?:pas|pwd|pw|psw|tok|key|auth|sig|secret|cred|user|usr|login|acc|account|session|sid|jwt|code|pin|hash|nonce"
    r"|bearer|ticket|(?<![a-z0-9])(?:p|u|sk|st)(?==))[^=&?/;#]*=",
    re.IGNORECASE,
)
_HIDDEN = "***"
_BLACK = re.compile("\0+")
_NOT_AT = re.compile("[^@]")


def redact(uri: str) -> str:
    """Give `uri` without user name, password, or the values of query parameters that look secret.

    It works on anything a person may type, well-formed or not, and hides too much rather than too little:
    everything up to the last `@` of a network address goes, wherever that stands, and so does the whole of
    `host:port` where the port is no number (it may be `user:password`).

    Args:
        uri: A source as the user wrote it.

    Returns:
        One printable line.
    """
    # URLs are read without tabs and line ends, so they must not hide a key.
    text = "".join(letter for letter in uri.strip() if letter.isprintable())
    scheme = _NETWORK_SCHEME.match(text) or _SCHEME.match(text)
    prefix, rest = (scheme.group(), text[scheme.end() :]) if scheme else ("", text)
    is_network = bool(scheme) and not prefix.lower().startswith("file:")
    # Judged before anything is blackened, for that takes the signs away.
    before, _, plain = rest.rpartition("@")
    has_login = is_network or ":" in before or "//" in before
    if is_network or "?" in rest or "&" in rest:
        rest = "&".join(_without_secret(piece) for piece in rest.split("&"))
    if has_login:
        rest = rest.rpartition("@")[2]
    if is_network:
        end = len(_authority(rest))
        is_host = _is_host(_authority(plain)) and _is_host(rest[:end])
        rest = (rest[:end] if is_host else _HIDDEN) + rest[end:]
    return prefix + _BLACK.sub(_HIDDEN, rest)


def _authority(rest: str) -> str:
    """Return what stands before the path, the query and the fragment."""
    return _DELIMITER.split(rest, maxsplit=1)[0]


def _is_host(authority: str) -> bool:
    """Tell whether it can be a host: without an encoded user name, and with a port that is a number."""
    return _HOST_AND_PORT.fullmatch(authority) is not None


def _without_secret(piece: str) -> str:
    """Blacken the rest of a `key=value` piece from the first key on that looks secret.

    An `@` stays: it may be the one that ends a password, and all before it has to go as well.
    """
    found = _SECRET.search(piece)
    head = unquote(piece[: found.end()] if found else piece)
    first = _SECRET.search(head)
    if not found and not first:
        return piece
    # An encoded key may stand before the one that was found: nothing of the piece is shown then.
    start = found.end() if found and first and first.end() == len(head) else 0
    return piece[:start] + (_NOT_AT.sub("\0", piece[start:]) or "\0")


@dataclass(frozen=True, slots=True)
class Address:
    """The parts of a network address.

    Attributes:
        scheme: `http`, `https`, `rtsp` or `rtsps`.
        host: The host name or IP address, without brackets.
        port: The port, the scheme's own where none was given.
        target: Path and query as they were written, at least `/`.
        user: The decoded user name, or empty.
        password: The decoded password, or empty.
        tls_options: What `#tls-...` at its end says; a server is not told.
    """

    scheme: str
    host: str
    port: int
    target: str
    user: str = ""
    password: str = ""
    tls_options: str = ""

    def __repr__(self) -> str:
        """Name scheme, host and port alone, so that no log or traceback shows more."""
        return f"Address({self.scheme}://{self.host}:{self.port}/...)"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who a password belongs to."""
        return (self.scheme, self.host.lower(), self.port)


def parse_address(uri: str) -> Address:
    """Take a network address apart.

    Args:
        uri: The address, with or without `user:password@`.

    Returns:
        Its parts.

    Raises:
        SourceSettingError: It has no host, a port that is none, or another scheme.
    """
    try:
        parts = urlsplit(uri.strip())
        host, port = parts.hostname, parts.port
    except ValueError:  # its text quotes the address, password included, so it is not chained
        host, port, parts = None, None, None
    if parts is None or not host or parts.scheme not in NETWORK_SCHEMES or "@" in parts.netloc.rpartition("@")[0]:
        raise SourceSettingError(
            f"{redact(uri)}: this is no address of a camera; write scheme://[user:password@]host[:port]/path, "
            "and special characters in the user name or password as %XX (@ is %40, / is %2F, # is %23)"
        )
    return Address(
        scheme=parts.scheme,
        host=host,
        port=port if port is not None else DEFAULT_PORTS[parts.scheme],
        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        tls_options=parts.fragment if parts.fragment.lower().startswith("tls-") else "",
    )


def local_path(uri: str) -> Path:
    """Give the path that a bare path or a `file:` URI names.

    Args:
        uri: A path, `file:///path` or `file://localhost/path`.

    Returns:
        The path.

    Raises:
        SourceSettingError: The URI names another host.
    """
    if not uri.lower().startswith("file:"):
        return Path(uri)
    try:
        parts = urlsplit(uri)
        host, path = parts.hostname or "", unquote(parts.path)
    except ValueError:
        host, path = "?", ""
    if host not in {"", "localhost"} or not path:
        raise SourceSettingError(f"{redact(uri)}: a file's address is written file:///path")
    return Path(path)
