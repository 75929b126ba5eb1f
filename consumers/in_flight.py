"""All frames between poll and commit, over all partitions, for several threads."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from threading import Condition
from typing import Any, Generic, NamedTuple, TypeVar

from consumers.ledger import Entry, PartitionLedger

Outgoing = TypeVar("Outgoing")


@dataclass(frozen=True, slots=True)
class InFlightLimits:
    """How much may be polled and not yet committed."""

    frames: int = 256
    size_bytes: int = 64 * 1024 * 1024


class PendingCommit(NamedTuple):
    """What may be committed of one partition.

    Attributes:
        offset: The watermark.
        frames: How many frames that covers anew.
        ledger: Whose they are.
    """

    offset: int
    frames: int
    ledger: PartitionLedger[Any]


class InFlight(Generic[Outgoing]):
    """The ledgers of the partitions that this consumer holds, their bounds, and who waits for room.

    Any thread may call anything. Entries of a partition that was given up in the meantime are let pass: they are
    neither released nor committed.
    """

    def __init__(self, limits: InFlightLimits) -> None:
        """Set the bounds."""
        self._limits = limits
        self._changed = Condition()
        self._ledgers: dict[int, PartitionLedger[Outgoing]] = {}
        self._bytes = 0
        self._average_bytes = 16_384.0

    def __len__(self) -> int:
        """Return how many frames were polled and are not known to be committed."""
        with self._changed:
            return sum(len(ledger) for ledger in self._ledgers.values())

    def totals(self) -> tuple[int, int, int]:
        """Return the frames not known to be committed, the bytes of those without an outcome, and their limit."""
        with self._changed:
            return sum(len(ledger) for ledger in self._ledgers.values()), self._bytes, self._limits.size_bytes

    @property
    def is_drained(self) -> bool:
        """Whether every frame that was polled has its outcome acknowledged."""
        with self._changed:
            return all(ledger.is_drained for ledger in self._ledgers.values())

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin a ledger for each partition that has none."""
        with self._changed:
            for partition in partitions:
                self._ledgers.setdefault(partition, PartitionLedger(partition))

    def admit(self, partition: int, offset: int, size_bytes: int) -> Entry[Outgoing]:
        """Enter a polled frame."""
        with self._changed:
            ledger = self._ledgers.setdefault(partition, PartitionLedger(partition))
            entry = ledger.admit(offset, size_bytes)
            self._bytes += size_bytes
            self._average_bytes += (size_bytes - self._average_bytes) / 64
            return entry

    def room(self) -> int:
        """Return how many more frames may be polled; bytes are turned into frames by their recent average size."""
        with self._changed:
            return self._room()

    def _room(self) -> int:
        return self._room_beside(sum(len(ledger) for ledger in self._ledgers.values()))

    def _room_beside(self, held: int) -> int:
        frames = self._limits.frames - held
        by_bytes = int((self._limits.size_bytes - self._bytes) / max(self._average_bytes, 1.0))
        # One frame always fits into an empty house, however large it is.
        return max(min(frames, by_bytes), 0) if self._bytes else max(frames, 0)

    def held(self) -> tuple[int, dict[int, int]]:
        """Return how many more frames may be polled, and how many are held of each partition."""
        with self._changed:
            held = {number: len(ledger) for number, ledger in self._ledgers.items()}
            return self._room_beside(sum(held.values())), held

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a frame may be polled; False after `timeout_s` without."""
        with self._changed:
            return self._changed.wait_for(lambda: self._room() > 0, timeout_s)

    def wait_until_drained(self, timeout_s: float) -> bool:
        """Wait until every outcome is acknowledged; False after `timeout_s`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: all(ledger.is_drained for ledger in self._ledgers.values()), timeout_s
            )

    def resolve(self, entry: Entry[Outgoing], outgoing: Outgoing | None) -> None:
        """Say what became of an entry's frame; None where nothing is to be published."""
        with self._changed:
            entry.ledger.resolve(entry, outgoing)

    def release(self) -> list[Entry[Outgoing]]:
        """Return the entries whose outcomes may be published now, each partition's in order."""
        with self._changed:
            return [entry for ledger in self._ledgers.values() for entry in ledger.release()]

    def acknowledge(self, entry: Entry[Outgoing]) -> None:
        """Note that an entry's outcome has arrived."""
        with self._changed:
            if not entry.ledger.is_closed:
                entry.ledger.acknowledge(entry)
                self._bytes -= entry.size_bytes
                entry.outgoing = None
                if entry.ledger.is_drained:
                    self._changed.notify_all()

    def pending_commits(self) -> dict[int, PendingCommit]:
        """Return for each partition what may be committed, where there is news."""
        with self._changed:
            pending = {number: (ledger.pending_commit(), ledger) for number, ledger in self._ledgers.items()}
        return {number: PendingCommit(*commit, ledger) for number, (commit, ledger) in pending.items() if commit}

    def committed(self, commits: Mapping[int, PendingCommit]) -> None:
        """Note that a commit as `pending_commits` gave it has succeeded."""
        with self._changed:
            for commit in commits.values():  # the partition may have come back since, with another ledger
                commit.ledger.committed(commit.frames)
            self._changed.notify_all()

    def withdraw(self, idle: Iterable[Entry[Outgoing]]) -> set[Entry[Outgoing]]:
        """Take out and return those of the idle entries that nothing else of their partition stands behind.

        Their frames will be polled again, here or by another consumer; the others have to be finished.
        """
        by_ledger: dict[PartitionLedger[Outgoing], set[Entry[Outgoing]]] = {}
        for entry in idle:
            by_ledger.setdefault(entry.ledger, set()).add(entry)
        with self._changed:
            withdrawn = {entry for ledger, entries in by_ledger.items() for entry in ledger.withdraw(entries)}
            self._bytes -= sum(entry.size_bytes for entry in withdrawn)
            self._changed.notify_all()
        return withdrawn

    def are_drained(self, partitions: Iterable[int]) -> bool:
        """Tell whether every frame of these partitions has its outcome acknowledged."""
        with self._changed:
            return all(self._ledgers[number].is_drained for number in partitions if number in self._ledgers)

    def give_up(self, partitions: Iterable[int]) -> dict[int, int]:
        """Close the ledgers of partitions that are held no more.

        Returns:
            For each, the first offset that is not finished, where anything of it was polled: whoever reads the
            partition on, here or elsewhere, begins there.
        """
        unfinished: dict[int, int] = {}
        with self._changed:
            for number in partitions:
                ledger = self._ledgers.pop(number, None)
                if ledger is None:
                    continue
                ledger.is_closed = True
                if (offset := ledger.first_unfinished_offset) is not None:
                    unfinished[number] = offset
            self._bytes = sum(
                entry.size_bytes for ledger in self._ledgers.values() for entry in ledger.unacknowledged()
            )
            self._changed.notify_all()
        return unfinished
