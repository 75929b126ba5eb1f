"""Image files: one, a directory of them, or those that a pattern matches."""

import logging
import re
from collections.abc import Iterator
from glob import iglob
from pathlib import Path

from producers.errors import SourceFailedError, SourceNotFoundError
from producers.image_type import content_type_of
from producers.sources.address import local_path, redact
from producers.sources.base import Picture, Source

MAX_IMAGE_BYTES = 8 * 1024 * 1024

_PATTERN = re.compile(r"[*?\[]")
_DIGITS = re.compile(r"([0-9]+)")

_log = logging.getLogger(__name__)


class ImageSource(Source):
    """JPEG, PNG, WebP and BMP files in natural order (`2.jpg` before `10.jpg`), byte for byte.

    The content says what a file is, not its suffix. A directory gives the files that lie directly in it, less
    hidden ones; `**` in a pattern reaches below. What is no image, cannot be read, or has more than 8 MiB is
    passed over with one warning a file. Each `open` looks anew at what is there.

    Args:
        uri: A file, directory or pattern, or the `file:` URI of one.

    Raises:
        SourceSettingError: A `file:` URI names another host.
    """

    def __init__(self, uri: str) -> None:
        self.display_name = redact(uri)
        self._path = local_path(uri)
        self._waiting: Iterator[Path] | None = None
        self._has_given = False
        self._warned: set[Path] = set()

    def check(self) -> None:
        """Refuse a path or pattern that names nothing."""
        self._find()

    def open(self) -> None:
        """Look for the files."""
        self._waiting = iter(self._find())
        self._has_given = False

    def read(self) -> Picture | None:
        """Give the next file that is an image."""
        if self._waiting is None:
            raise SourceFailedError(f"{self.display_name}: read before it was opened")
        for path in self._waiting:
            data = self._load(path)
            if data is not None:
                self._has_given = True
                return Picture(encoded=data)
        if not self._has_given:
            # Not the end of a pass: looping over nothing would never rest.
            raise SourceNotFoundError(f"{self.display_name}: no JPEG, PNG, WebP or BMP image among the files there")
        return None

    def close(self) -> None:
        """Forget the place reached."""
        self._waiting = None

    def _find(self) -> list[Path]:
        """Give the files, at least one, in natural order."""
        try:
            if self._path.is_dir():
                found = [path for path in self._path.iterdir() if path.is_file() and not path.name.startswith(".")]
            elif self._path.is_file():
                found = [self._path]
            elif _PATTERN.search(str(self._path)):
                matches = iglob(str(self._path), recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
                found = [path for path in map(Path, matches) if path.is_file()]
            else:
                found = []
        except (OSError, ValueError):
            found = []  # not a path at all, or a directory that may not be read
        if not found:
            raise SourceNotFoundError(f"{self.display_name}: no file there; give an image, a directory or a pattern")
        return sorted(found, key=_natural)

    def _load(self, path: Path) -> bytes | None:
        try:
            with path.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as exc:
            why = exc.strerror or type(exc).__name__
        else:
            if len(data) > MAX_IMAGE_BYTES:
                why = f"more than {MAX_IMAGE_BYTES:,} bytes"
            elif content_type_of(data) is None:
                why = "no JPEG, PNG, WebP or BMP image"
            else:
                return data
        if path not in self._warned:
            self._warned.add(path)
            _log.warning("passed over %s: %s", redact(str(path)), why)
        return None


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Order numbers within names by their value."""
    parts = _DIGITS.split(str(path))
    return [(0, int(part)) if part.isdecimal() and part.isascii() else (1, part) for part in parts if part]
