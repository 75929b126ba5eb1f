"""Which frames of one partition are where, from poll to commit. Pure: no clock, no lock, no Kafka.

A frame's entry goes through four states, and entries leave each of them in offset order:
open → resolved (its outcome is known) → released (handed to the producer) → acknowledged (by the broker).
What is committed is the watermark: the offset after the last entry below which everything is acknowledged.
"""

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Outgoing = TypeVar("Outgoing")


@dataclass(slots=True, eq=False)
class Entry(Generic[Outgoing]):
    """One polled frame.

    Attributes:
        outgoing: What is to be published about it; None where nothing is.
    """

    ledger: "PartitionLedger[Outgoing]"
    offset: int
    size_bytes: int
    outgoing: Outgoing | None = None
    is_resolved: bool = False
    is_acknowledged: bool = False


class PartitionLedger(Generic[Outgoing]):
    """The entries of one partition, for as long as it is held.

    A partition that comes back after a rebalance gets a new ledger; what belongs to the old one is `is_closed`, and
    nothing of it is published or committed any more.
    """

    def __init__(self, partition: int) -> None:
        """Begin with no entries."""
        self.partition = partition
        self.is_closed = False
        self._open: deque[Entry[Outgoing]] = deque()
        self._released: deque[Entry[Outgoing]] = deque()
        self._first: int | None = None
        self._watermark: int | None = None
        self._uncommitted = 0

    def __len__(self) -> int:
        """Return how many frames were polled and are not known to be committed."""
        return len(self._open) + len(self._released) + self._uncommitted

    @property
    def is_drained(self) -> bool:
        """Whether every entry is acknowledged."""
        return not self._open and not self._released

    @property
    def watermark(self) -> int | None:
        """The offset to commit; None while nothing has been acknowledged."""
        return self._watermark

    @property
    def first_unfinished_offset(self) -> int | None:
        """The offset to go back to if everything unfinished were dropped; None where nothing was polled."""
        if self._released:
            return self._released[0].offset
        if self._open:
            return self._open[0].offset
        # All that was polled may have been withdrawn before any of it was acknowledged.
        return self._watermark if self._watermark is not None else self._first

    def admit(self, offset: int, size_bytes: int) -> Entry[Outgoing]:
        """Enter a polled frame; offsets rise, with gaps where the log has them."""
        newest = self._open[-1].offset if self._open else self._released[-1].offset if self._released else -1
        if offset <= newest or (self._watermark is not None and offset < self._watermark):
            raise ValueError(f"partition {self.partition}: offset {offset} came after {newest}")
        entry = Entry(self, offset, size_bytes)
        self._first = offset if self._first is None else self._first
        self._open.append(entry)
        return entry

    def withdraw(self, idle: set[Entry[Outgoing]]) -> list[Entry[Outgoing]]:
        """Take out and return the newest entries that are idle, up to the newest one that is not.

        They will be polled again. An idle entry before one that is worked on stays: a watermark cannot pass it.
        """
        withdrawn: list[Entry[Outgoing]] = []
        while self._open and self._open[-1] in idle:
            withdrawn.append(self._open.pop())
        return withdrawn

    def resolve(self, entry: Entry[Outgoing], outgoing: Outgoing | None) -> None:
        """Say what became of an entry's frame.

        Raises:
            ValueError: It has an outcome already.
        """
        if entry.is_resolved:
            raise ValueError(f"partition {self.partition}: offset {entry.offset} has an outcome already")
        entry.outgoing = outgoing
        entry.is_resolved = True

    def release(self) -> list[Entry[Outgoing]]:
        """Return the entries that may be published now, in order; each is returned once."""
        ready: list[Entry[Outgoing]] = []
        while self._open and self._open[0].is_resolved:
            entry = self._open.popleft()
            self._released.append(entry)
            ready.append(entry)
        return ready

    def acknowledge(self, entry: Entry[Outgoing]) -> None:
        """Note that the broker has an entry's outcome, or that there is none to have."""
        entry.is_acknowledged = True
        while self._released and self._released[0].is_acknowledged:
            self._watermark = self._released.popleft().offset + 1
            self._uncommitted += 1

    def unacknowledged(self) -> list[Entry[Outgoing]]:
        """Return the entries that the broker has no outcome of yet."""
        return [*(entry for entry in self._released if not entry.is_acknowledged), *self._open]

    def pending_commit(self) -> tuple[int, int] | None:
        """Return the watermark and how many entries it covers anew; None where there is nothing new to commit."""
        return (self._watermark, self._uncommitted) if self._watermark is not None and self._uncommitted else None

    def committed(self, count: int) -> None:
        """Note that a commit of `count` entries, as `pending_commit` gave it, has succeeded."""
        self._uncommitted -= count
