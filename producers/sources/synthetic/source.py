"""A camera that needs no camera: `synthetic:workpiece`."""

import secrets
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl

from producers.errors import SourceFailedError, SourceSettingError
from producers.sources.base import Picture, Source
from producers.sources.synthetic.workpiece import LARGEST_PX, SMALLEST_PX, WorkpieceRenderer

SCHEME = "synthetic"

_KINDS = ("workpiece",)
_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class SyntheticOptions:
    """What a `synthetic:` URI asks for.

    Attributes:
        size_px: The side of the square pictures.
        seed: Gives the same pictures each time; None for other ones at each opening.
    """

    size_px: int = 256
    seed: int | None = None


def parse_uri(uri: str) -> SyntheticOptions:
    """Read a URI such as `synthetic:workpiece?size=256&seed=7`.

    Raises:
        SourceSettingError: The kind or an option is unknown, given twice, or has a value it cannot have.
    """
    scheme, _, rest = uri.partition(":")
    kind, _, query = rest.partition("?")
    if scheme.lower() != SCHEME or kind not in _KINDS:
        raise SourceSettingError(f"{uri}: the kind {kind!r} is unknown; use {SCHEME}:{_KINDS[0]}")
    given: dict[str, int] = {}
    limits = {"size": (SMALLEST_PX, LARGEST_PX), "seed": (0, _LARGEST_SEED)}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name not in limits:
            raise SourceSettingError(f"{uri}: the option {name!r} is unknown; it can be {' or '.join(limits)}")
        if name in given:
            raise SourceSettingError(f"{uri}: the option {name!r} is given twice; give it once")
        low, high = limits[name]
        if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
            raise SourceSettingError(f"{uri}: {name}={text} cannot be used; give a whole number, {low} to {high}")
        given[name] = int(text)
    return SyntheticOptions(size_px=given.get("size", 256), seed=given.get("seed"))


class SyntheticSource(Source):
    """Draws workpieces without end; every picture says its true label.

    Args:
        uri: `synthetic:workpiece`, with the options `size` (px) and `seed`.
    """

    is_live = False

    def __init__(self, uri: str) -> None:
        self.display_name = uri
        self._uri = uri
        self._renderer: WorkpieceRenderer | None = None

    @classmethod
    def from_uri(cls, uri: str) -> Self:
        """Make the source that a URI names; `check` and `open` refuse one that cannot be used."""
        return cls(uri)

    def check(self) -> None:
        """Refuse a URI that cannot be used."""
        parse_uri(self._uri)

    def open(self) -> None:
        """Prepare the renderer; this takes about 0.15 s of CPU at 256 px."""
        options = parse_uri(self._uri)
        seed = secrets.randbits(63) if options.seed is None else options.seed
        self._renderer = WorkpieceRenderer(seed, options.size_px)

    def read(self) -> Picture:
        """Draw the next picture."""
        if self._renderer is None:
            raise SourceFailedError(f"{self.display_name}: read before open")
        pixels, label = self._renderer.render()
        return Picture(pixels=pixels, truth=label)

    def close(self) -> None:
        """Let the renderer go."""
        self._renderer = None
