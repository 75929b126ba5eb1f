"""Things by names that anybody may invent, kept within bounds."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

#: What was not heard of for so long gives way where there is no room.
_SILENT_S = 60.0
_MAX_LEFT_OUT = 10_000

T = TypeVar("T")


class _Entry(Generic[T]):
    __slots__ = ("heard_s", "value")

    def __init__(self, value: T, heard_s: float) -> None:
        self.value = value
        self.heard_s = heard_s


class Roster(Generic[T]):
    """At most so many things; where there is no room, one that was silent for a minute gives way to a new one.

    Those that speak are kept, so that invented names push nobody out.
    """

    def __init__(self, limit: int, make: Callable[[], T], on_gone: Callable[[str], None] | None = None) -> None:
        """Begin with none.

        Args:
            limit: How many there may be.
            make: Makes the thing for a new name.
            on_gone: Told of a name that gave way.
        """
        self._limit = limit
        self._make = make
        self._on_gone = on_gone
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()
        self._left_out: set[int] = set()

    def hear(self, name: str, now_s: float) -> T | None:
        """Note that a name was heard of at `now_s`; return its thing, or None where there is no room for it."""
        entry = self._entries.get(name)
        if entry is not None:
            entry.heard_s = max(entry.heard_s, now_s)
            self._entries.move_to_end(name)
            return entry.value
        if len(self._entries) >= self._limit and not self._make_room(now_s):
            if len(self._left_out) < _MAX_LEFT_OUT:
                self._left_out.add(hash(name))
            return None
        self._left_out.discard(hash(name))
        entry = self._entries[name] = _Entry(self._make(), now_s)
        return entry.value

    def _make_room(self, now_s: float) -> bool:
        name, entry = next(iter(self._entries.items()))
        if now_s - entry.heard_s < _SILENT_S:
            return False
        del self._entries[name]
        if self._on_gone is not None:
            self._on_gone(name)
        return True

    def get(self, name: str) -> T | None:
        """Return the thing of a name; None where there is none."""
        entry = self._entries.get(name)
        return None if entry is None else entry.value

    def drop(self, name: str) -> None:
        """Forget a name, if it is known."""
        self._entries.pop(name, None)

    def items(self) -> Iterator[tuple[str, T]]:
        """Yield names and things, the one that was silent longest first."""
        return ((name, entry.value) for name, entry in self._entries.items())

    def values(self) -> Iterator[T]:
        """Yield the things, likewise."""
        return (entry.value for entry in self._entries.values())

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._entries)

    @property
    def left_out(self) -> int:
        """How many different names there was no room for, up to 10,000."""
        return len(self._left_out)
