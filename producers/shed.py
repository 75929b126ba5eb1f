"""Frames that a camera had to give up, as ranges: an outage of a day is a few numbers and not millions of objects."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(slots=True)
class ShedRange:
    """Frames of one camera without a gap between them.

    Attributes:
        first: The first sequence.
        last: The last one.
        first_at_us: Capture time of the first, µs since 1970; those between lie evenly up to `last_at_us`.
    """

    first: int
    last: int
    first_at_us: int
    last_at_us: int

    def captured_at_us(self, sequence: int) -> int:
        """Return when a frame of the range was captured: exact at its ends, evenly spread between."""
        if self.last == self.first:
            return self.first_at_us
        share = (sequence - self.first) / (self.last - self.first)
        return round(self.first_at_us + share * (self.last_at_us - self.first_at_us))


class ShedFrames:
    """The shed frames of one camera that nobody has been told about yet."""

    def __init__(self) -> None:
        """Begin with none."""
        self._ranges: deque[ShedRange] = deque()
        self.total = 0

    def __bool__(self) -> bool:
        """Tell whether there are any to tell about."""
        return bool(self._ranges)

    def add(self, sequence: int, captured_at_us: int) -> None:
        """Note a frame that was given up; sequences rise."""
        self.total += 1
        newest = self._ranges[-1] if self._ranges else None
        if newest is not None and sequence == newest.last + 1:
            newest.last, newest.last_at_us = sequence, captured_at_us
        else:
            self._ranges.append(ShedRange(sequence, sequence, captured_at_us, captured_at_us))

    def take(self, most: int) -> Iterator[tuple[int, int]]:
        """Yield up to `most` frames to tell about, oldest first (sequence, capture time in µs); they are gone here."""
        for _ in range(most):
            if not self._ranges:
                return
            oldest = self._ranges[0]
            sequence, captured_at_us = oldest.first, oldest.captured_at_us(oldest.first)
            if oldest.first == oldest.last:
                self._ranges.popleft()
            else:
                oldest.first_at_us = oldest.captured_at_us(sequence + 1)
                oldest.first = sequence + 1
            yield sequence, captured_at_us
