"""Sets of whole numbers as sorted ranges: a million frames in a row are two numbers."""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice


class RangeSet:
    """A set of whole numbers from 0 to 2**62, kept as half-open ranges; fast where numbers come in order."""

    __slots__ = ("_count", "_ends", "_starts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Begin with `ranges`, each (first, after the last)."""
        # 16 bytes a range, where a list would take five times that.
        self._starts = array("q")
        self._ends = array("q")
        self._count = 0
        for start, end in sorted(ranges):
            self._append(start, end)

    def _append(self, start: int, end: int) -> None:
        """Add a range that begins at or after the start of the last one."""
        if end <= start:
            return
        if self._ends and start <= self._ends[-1]:
            self._count += max(end - self._ends[-1], 0)
            self._ends[-1] = max(self._ends[-1], end)
            return
        self._starts.append(start)
        self._ends.append(end)
        self._count += end - start

    def add(self, number: int) -> bool:
        """Add a number; False where it was there."""
        starts, ends = self._starts, self._ends
        at = bisect_right(starts, number)
        if at and number < ends[at - 1]:
            return False
        joins_left = at > 0 and ends[at - 1] == number
        joins_right = at < len(starts) and starts[at] == number + 1
        if joins_left and joins_right:
            ends[at - 1] = ends[at]
            del starts[at], ends[at]
        elif joins_left:
            ends[at - 1] = number + 1
        elif joins_right:
            starts[at] = number
        else:
            starts.insert(at, number)
            ends.insert(at, number + 1)
        self._count += 1
        return True

    def discard(self, number: int) -> None:
        """Take a number out, if it is there."""
        if number not in self:
            return
        at = bisect_right(self._starts, number) - 1
        start, end = self._starts[at], self._ends[at]
        if end - start == 1:
            del self._starts[at], self._ends[at]
        elif number == start:
            self._starts[at] = number + 1
        elif number == end - 1:
            self._ends[at] = number
        else:
            self._ends[at] = number
            self._starts.insert(at + 1, number + 1)
            self._ends.insert(at + 1, end)
        self._count -= 1

    def __contains__(self, number: int) -> bool:
        """Tell whether a number is in the set."""
        at = bisect_right(self._starts, number)
        return at > 0 and number < self._ends[at - 1]

    def __len__(self) -> int:
        """Return how many numbers are in the set."""
        return self._count

    def __eq__(self, other: object) -> bool:
        """Tell whether both hold the same numbers."""
        return isinstance(other, RangeSet) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        """Show the ranges."""
        return f"RangeSet({list(self.ranges())})"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the ranges in order, each (first, after the last)."""
        return zip(self._starts, self._ends, strict=True)

    def numbers(self) -> Iterator[int]:
        """Yield the numbers in order."""
        for start, end in self.ranges():
            yield from range(start, end)

    def first(self, count: int) -> list[int]:
        """Return the lowest `count` numbers."""
        return list(islice(self.numbers(), count))

    @property
    def lowest(self) -> int | None:
        """The lowest number; None for the empty set."""
        return self._starts[0] if self._starts else None

    @property
    def highest(self) -> int | None:
        """The highest number; None for the empty set."""
        return self._ends[-1] - 1 if self._ends else None

    def below(self, limit: int) -> "RangeSet":
        """Return the numbers below `limit`."""
        return RangeSet((start, min(end, limit)) for start, end in self.ranges() if start < limit)

    def at_least(self, limit: int) -> "RangeSet":
        """Return the numbers from `limit` on."""
        return RangeSet((max(start, limit), end) for start, end in self.ranges() if end > limit)

    def newest(self, count: int) -> "RangeSet":
        """Return the highest `count` numbers."""
        kept: list[tuple[int, int]] = []
        for start, end in zip(reversed(self._starts), reversed(self._ends), strict=True):
            if count <= 0:
                break
            kept.append((max(start, end - count), end))
            count -= end - start
        return RangeSet(kept)

    def __or__(self, other: "RangeSet") -> "RangeSet":
        """Return the numbers of either."""
        return RangeSet([*self.ranges(), *other.ranges()])

    def __and__(self, other: "RangeSet") -> "RangeSet":
        """Return the numbers of both."""
        return self - (self - other)

    def __sub__(self, other: "RangeSet") -> "RangeSet":
        """Return the numbers of this set that are not in the other."""
        left: list[tuple[int, int]] = []
        holes = list(other.ranges())
        at = 0
        for first, end in self.ranges():
            start = first
            while at < len(holes) and holes[at][1] <= start:
                at += 1
            here = at
            while here < len(holes) and holes[here][0] < end:
                left.append((start, holes[here][0]))
                start = holes[here][1]
                here += 1
            left.append((start, end))
        return RangeSet((start, end) for start, end in left if start < end)
