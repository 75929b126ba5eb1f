"""Pictures that a page is about to ask for."""

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

#: A frame has 8 MiB at most, and several people look at a time.
_MAX_BYTES: Final = 64 * 1024 * 1024
_MAX_PICTURES: Final = 256


@dataclass(frozen=True, slots=True)
class ShelvedPicture:
    """An encoded picture and what it is."""

    data: bytes
    content_type: str


class PictureShelf:
    """Keeps the last pictures under names that nobody can guess, in bounded memory; used by one thread."""

    def __init__(self, max_bytes: int = _MAX_BYTES) -> None:
        """Begin empty."""
        self._max_bytes = max_bytes
        self._pictures: OrderedDict[str, ShelvedPicture] = OrderedDict()
        self._size_bytes = 0

    def put(self, data: bytes, content_type: str) -> str:
        """Keep a picture for a while, and return the name that `get` gives it for."""
        name = secrets.token_urlsafe(16)
        self._pictures[name] = ShelvedPicture(data, content_type)
        self._size_bytes += len(data)
        while len(self._pictures) > 1 and (self._size_bytes > self._max_bytes or len(self._pictures) > _MAX_PICTURES):
            _, oldest = self._pictures.popitem(last=False)
            self._size_bytes -= len(oldest.data)
        return name

    def get(self, name: str) -> ShelvedPicture | None:
        """Return a picture; None where it is not kept any more."""
        return self._pictures.get(name)
