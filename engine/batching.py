"""The micro-batcher: the one place where frames become batches. A pure state machine; `now_s` is an argument."""

from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Waiting(NamedTuple, Generic[Item]):
    item: Item
    size_bytes: int
    since_s: float


class MicroBatcher(Generic[Item]):
    """Gathers items into batches that close by size, by bytes or by age, in the order in which the items came.

    The age counts from the first item that waits, from when it was added, and nothing re-arms it: an item that
    comes after an idle gap waits its full time for company, one that waited through a busy device waits no more.
    A time-out of zero is legal: every batch is due at once.

    Not thread-safe; no clock of its own: every `now_s` is of one monotonic clock.
    """

    def __init__(self, size: int, timeout_s: float, budget_bytes: int) -> None:
        """Set the bounds.

        Args:
            size: Items in a batch, at the most.
            timeout_s: How long a batch's first item waits, at the most.
            budget_bytes: Bytes in a batch, at the most, save for an item that is larger alone.
        """
        if size < 1 or timeout_s < 0 or budget_bytes < 1:
            raise ValueError("a batch holds at least one item and one byte, and its time-out is not negative")
        self._size = size
        self._timeout_s = timeout_s
        self._budget_bytes = budget_bytes
        self._waiting: deque[_Waiting[Item]] = deque()
        self._waiting_bytes = 0

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """The bytes of the items that wait."""
        return self._waiting_bytes

    def add(self, item: Item, size_bytes: int, now_s: float) -> None:
        """Let an item wait for its batch."""
        self._waiting.append(_Waiting(item, size_bytes, now_s))
        self._waiting_bytes += size_bytes

    def due_at_s(self) -> float | None:
        """Return when the next batch closes by age, or has closed; None where nothing waits."""
        return self._waiting[0].since_s + self._timeout_s if self._waiting else None

    def is_due(self, now_s: float) -> bool:
        """Tell whether `take` would give a batch."""
        if not self._waiting:
            return False
        return (
            len(self._waiting) >= self._size
            or self._waiting_bytes >= self._budget_bytes
            or now_s >= self._waiting[0].since_s + self._timeout_s
        )

    def take(self, now_s: float, *, force: bool = False) -> list[Item]:
        """Return the next batch if it is due, else an empty list.

        Args:
            now_s: The time.
            force: Take what waits though it is not due, for a drain.
        """
        if not (force or self.is_due(now_s)):
            return []
        batch: list[Item] = []
        taken_bytes = 0
        while self._waiting and len(batch) < self._size:
            item, size_bytes, _ = self._waiting[0]
            if batch and taken_bytes + size_bytes > self._budget_bytes:
                break
            self._waiting.popleft()
            taken_bytes += size_bytes
            batch.append(item)
        self._waiting_bytes -= taken_bytes
        return batch

    def discard(self, is_unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take out and return the items that are not wanted any more; the others keep their order and age."""
        unwanted = [waiting for waiting in self._waiting if is_unwanted(waiting.item)]
        if unwanted:
            gone = {id(waiting) for waiting in unwanted}
            self._waiting = deque(waiting for waiting in self._waiting if id(waiting) not in gone)
            self._waiting_bytes -= sum(waiting.size_bytes for waiting in unwanted)
        return [waiting.item for waiting in unwanted]

    def waiting(self) -> list[Item]:
        """Return the items that wait, oldest first."""
        return [waiting.item for waiting in self._waiting]
