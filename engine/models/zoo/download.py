"""Fetching a file of weights, with an end to every wait."""

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import requests
import urllib3

from engine.errors import ModelError, first_line
from engine.models.files import file_digest

#: For the connection, and for each piece of what comes.
TIMEOUTS_S = (5.0, 30.0)
_PIECE_BYTES = 1 << 20
#: The largest of them is 2.5 GB.
MAX_BYTES, MAX_TIME_S = 4 << 30, 3600.0
#: Nothing is packed on the way: a file is what its digest says.
_AS_IT_IS = {"Accept-Encoding": "identity"}
#: The first that fits: some are of several kinds.
_REASONS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((requests.Timeout, urllib3.exceptions.TimeoutError), "no answer in time"),
    ((requests.exceptions.SSLError,), "its certificate is not accepted"),
    ((requests.exceptions.ProxyError,), "the proxy gives no connection"),
    ((requests.ConnectionError, urllib3.exceptions.HTTPError), "no connection, or it broke off"),
)
#: The first digits of a file's SHA-256 stand at the end of its name. Source: pytorch/pytorch, torch/hub.py.
_DIGEST = re.compile(r"-([0-9a-f]{8,})\.")


def fetch(
    url: str,
    path: Path,
    what: str,
    *,
    timeouts_s: tuple[float, float] = TIMEOUTS_S,
    max_bytes: int = MAX_BYTES,
    max_time_s: float = MAX_TIME_S,
) -> None:
    """Fetch a file whose name holds the beginning of its SHA-256; one that is there already, and right, stays.

    Args:
        url: Where it is.
        path: Where it shall be; no part of it is there before all of it is.
        what: Whose weights they are, for messages.
        timeouts_s: How long to wait for the connection, and for each piece.
        max_bytes: More of it is not taken.
        max_time_s: For how long it is taken.

    Raises:
        ModelError: It cannot be reached, is another file than its name says, is too large or too slow, or cannot be
            written; or the one that is there is another than its name says.
    """
    if path.exists():
        _check_kept(path, what)
        return
    part = path.with_name(f"{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest, size_bytes, until_s = hashlib.sha256(), 0, time.monotonic() + max_time_s
        with (
            requests.get(url, stream=True, timeout=timeouts_s, headers=_AS_IT_IS) as response,
            part.open("wb") as file,
        ):
            response.raise_for_status()
            while piece := response.raw.read1(_PIECE_BYTES):  # what has come, so that no trickle outlasts the end
                digest.update(piece)
                file.write(piece)
                size_bytes += len(piece)
                if size_bytes > max_bytes:
                    raise cannot_fetch(what, url, f"it is larger than {max_bytes:,} bytes")
                if time.monotonic() > until_s:
                    raise cannot_fetch(what, url, f"{size_bytes:,} bytes in {max_time_s:g} s is too slow")
        if not _is_named(path, digest.hexdigest()):
            raise cannot_fetch(what, url, f"what came is another file, SHA-256 {digest.hexdigest()}")
        part.replace(path)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
        raise cannot_fetch(what, url, _reason(exc)) from exc
    except OSError as exc:
        raise cannot_fetch(what, url, f"{path} cannot be written: {exc.strerror or first_line(exc)}") from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _check_kept(path: Path, what: str) -> None:
    """Refuse a file that was not fetched by us."""
    try:
        digest = file_digest(path)
    except OSError as exc:
        raise ModelError(f"the weights of {what} in {path} cannot be read: {exc.strerror or first_line(exc)}") from exc
    if not _is_named(path, digest):
        raise ModelError(
            f"the weights of {what} in {path} are another file than its name says, SHA-256 {digest}: delete it"
        )


def _is_named(path: Path, digest: str) -> bool:
    named = _DIGEST.search(path.name)
    return named is not None and digest.startswith(named[1])


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


def _reason(exc: requests.RequestException | urllib3.exceptions.HTTPError) -> str:
    """Say in a few words what requests says in a paragraph."""
    response = getattr(exc, "response", None)
    if response is not None:
        return f"the answer is HTTP {response.status_code}"
    return next((reason for kinds, reason in _REASONS if isinstance(exc, kinds)), first_line(exc))
