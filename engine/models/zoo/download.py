"""Fetching a file of weights, with an end to every wait."""

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import requests

from engine.errors import ModelError, first_line

#: For the connection, and for each piece of what comes.
TIMEOUTS_S = (5.0, 30.0)
_PIECE_BYTES = 1 << 20
#: The first digits of a file's SHA-256 stand at the end of its name. Source: pytorch/pytorch, torch/hub.py.
_DIGEST = re.compile(r"-([0-9a-f]{8,})\.")


def fetch(url: str, path: Path, what: str, *, timeouts_s: tuple[float, float] = TIMEOUTS_S) -> None:
    """Fetch a file whose name holds the beginning of its SHA-256; one that is there already stays.

    Args:
        url: Where it is.
        path: Where it shall be; no part of it is there before all of it is.
        what: Whose weights they are, for messages.
        timeouts_s: How long to wait for the connection, and for each piece.

    Raises:
        ModelError: It cannot be reached, is another file than its name says, or cannot be written.
    """
    if path.exists():
        return
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with requests.get(url, stream=True, timeout=timeouts_s) as response, part.open("wb") as file:
            response.raise_for_status()
            for piece in response.iter_content(_PIECE_BYTES):
                digest.update(piece)
                file.write(piece)
        named = _DIGEST.search(path.name)
        if named is None or not digest.hexdigest().startswith(named[1]):
            raise cannot_fetch(what, url, f"what came is another file, SHA-256 {digest.hexdigest()}")
        part.replace(path)
    except requests.RequestException as exc:
        raise cannot_fetch(what, url, _reason(exc)) from exc
    except OSError as exc:
        raise cannot_fetch(what, url, f"{path} cannot be written: {exc.strerror or first_line(exc)}") from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def check_reachable(url: str, what: str) -> None:
    """Refuse where a server does not answer: some clients would go on asking for minutes.

    Raises:
        ModelError: It does not; it names the server.
    """
    try:
        requests.head(url, timeout=TIMEOUTS_S)
    except requests.RequestException as exc:
        raise cannot_fetch(what, url, _reason(exc)) from exc


def cannot_fetch(what: str, url: str, reason: str) -> ModelError:
    """Return the error of whoever needs weights and gets none."""
    return ModelError(
        f"the weights of {what} cannot be fetched from {url}: {reason}; without network: --weights random"
    )


def _reason(exc: requests.RequestException) -> str:
    """Say in a few words what requests says in a paragraph."""
    if exc.response is not None:
        return f"the answer is HTTP {exc.response.status_code}"
    if isinstance(exc, requests.Timeout):
        return "no answer in time"
    if isinstance(exc, requests.exceptions.SSLError):
        return "its certificate is not accepted"
    if isinstance(exc, requests.exceptions.ProxyError):
        return "the proxy gives no connection"
    if isinstance(exc, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return "no connection, or it broke off"
    return first_line(exc)
