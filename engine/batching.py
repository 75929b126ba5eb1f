"""The micro-batcher: the one place where frames become batches. A pure state machine; `now_s` is an argument."""

import math
from collections import deque
from collections.abc import Callable, Hashable
from itertools import chain
from typing import Final, Generic, NamedTuple, TypeVar

Item = TypeVar("Item")

#: A round has so many turns at the most, however many keys there are: what is remembered of them is bounded.
_LONGEST_ROUND: Final = 4096


class _Waiting(NamedTuple, Generic[Item]):
    item: Item
    weight: int
    due_at_s: float
    number: int  # of arrival


class MicroBatcher(Generic[Item]):
    """Gathers items into batches that close by size, by weight or by time, in the order in which the items came.

    With a key, and while more items wait than fit a batch, the keys take turns, in rounds, each with its oldest item:
    a key has one turn a round, also one of which nothing waits in between, and one key's flood makes no other's item
    wait for more than one item of each key. Rounds go on from batch to batch, and an item that takes the place of a
    discarded one of its key keeps the turn. Each key's own order stays.

    Every item says until when it can wait, and the first such moment of those that wait closes the batch. Nothing
    re-arms it: with a time-out from its arrival, an item that comes after an idle gap waits its full time for company,
    and one that waited through a busy device waits no more. A moment that is over is legal: the batch is due at once.

    Not thread-safe; no clock of its own: every `now_s` and `due_at_s` is of one monotonic clock.
    """

    def __init__(self, size: int, budget: int, key: Callable[[Item], Hashable] | None = None) -> None:
        """Set the bounds.

        Args:
            size: Items in a batch, at the most.
            budget: Weight of a batch (bytes, or rows), at the most, save for an item that is heavier alone.
            key: Whose item it is, for fairness; None takes all items in the order in which they came.
        """
        if size < 1 or budget < 1:
            raise ValueError("a batch holds at least one item and has a budget above 0")
        self._size = size
        self._budget = budget
        self._key = key
        # Items wait in the order in which they came; they are sorted by key, once each, where there is contention.
        self._arrived: deque[_Waiting[Item]] = deque()
        self._queues: dict[Hashable, deque[_Waiting[Item]]] = {}
        self._turns: deque[Hashable] = deque()  # the keys of the queues that have a turn in this round, next first
        self._next_turns: deque[Hashable] = deque()  # those that had one, or came too late for it
        self._had_turns: set[Hashable] = set()  # the keys that had one, whether anything of them waits or not
        self._sorted = 0  # items in the queues
        self._waiting_weight = 0
        self._added = 0
        self._due_at_s: float | None = math.inf  # of all that wait; None where it has to be looked for again

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._arrived) + self._sorted

    def resize(self, size: int) -> None:
        """Set how many items the next batches have at the most; what waits stays in its place."""
        if size < 1:
            raise ValueError("a batch holds at least one item")
        self._size = size

    @property
    def waiting_weight(self) -> int:
        """The weight of the items that wait."""
        return self._waiting_weight

    def add(self, item: Item, weight: int, due_at_s: float) -> None:
        """Let an item wait for its batch, until `due_at_s` at the latest."""
        self._arrived.append(_Waiting(item, weight, due_at_s, self._added))
        self._added += 1
        self._waiting_weight += weight
        if self._due_at_s is not None and due_at_s < self._due_at_s:
            self._due_at_s = due_at_s

    def due_at_s(self) -> float | None:
        """Return when the next batch closes: -inf where it has by size or weight; None where nothing waits."""
        if not len(self):
            return None
        if len(self) >= self._size or self._waiting_weight >= self._budget:
            return -math.inf
        if self._due_at_s is None:  # fewer wait than fit a batch
            self._due_at_s = min(waiting.due_at_s for waiting in chain(*self._queues.values(), self._arrived))
        return self._due_at_s

    def is_due(self, now_s: float) -> bool:
        """Tell whether `take` would give a batch."""
        due_at_s = self.due_at_s()
        return due_at_s is not None and now_s >= due_at_s

    def take(self, now_s: float, *, force: bool = False) -> list[Item]:
        """Return the next batch if it is due, else an empty list.

        Args:
            now_s: The time.
            force: Take what waits though it is not due, for a drain.
        """
        if not (force or self.is_due(now_s)):
            return []
        self._due_at_s = None
        if self._key is not None and (
            self._sorted or len(self._arrived) > self._size or self._waiting_weight > self._budget
        ):
            self._sort(self._key)
            return self._take_by_turns()
        batch: list[Item] = []
        taken_weight = 0
        while self._arrived and len(batch) < self._size:
            item, weight, *_ = self._arrived[0]
            if batch and taken_weight + weight > self._budget:
                break
            self._arrived.popleft()
            taken_weight += weight
            batch.append(item)
        self._waiting_weight -= taken_weight
        return batch

    def discard(self, is_unwanted: Callable[[Item], bool]) -> list[Item]:
        """Take out and return the items that are not wanted any more; the others keep their order, time and turn."""
        unwanted = [waiting for waiting in self._oldest_first() if is_unwanted(waiting.item)]
        if unwanted:
            if self._key is not None:
                self._sort(self._key)  # the newest item of a key finds the turn of those that go
            gone = {id(waiting) for waiting in unwanted}
            self._arrived = deque(waiting for waiting in self._arrived if id(waiting) not in gone)
            for key, queue in list(self._queues.items()):
                self._queues[key] = deque(waiting for waiting in queue if id(waiting) not in gone)
                if not self._queues[key]:
                    del self._queues[key]
            self._turns = deque(key for key in self._turns if key in self._queues)
            self._next_turns = deque(key for key in self._next_turns if key in self._queues)
            self._sorted = sum(map(len, self._queues.values()))
            self._waiting_weight -= sum(waiting.weight for waiting in unwanted)
            self._due_at_s = None
        return [waiting.item for waiting in unwanted]

    def waiting(self) -> list[Item]:
        """Return the items that wait, in the order in which they came."""
        return [waiting.item for waiting in self._oldest_first()]

    def _oldest_first(self) -> list[_Waiting[Item]]:
        waiting = sorted(chain.from_iterable(self._queues.values()), key=lambda waiting: waiting.number)
        return [*waiting, *self._arrived]

    def _sort(self, key_of: Callable[[Item], Hashable]) -> None:
        queues = self._queues
        for waiting in self._arrived:
            key = key_of(waiting.item)
            queue = queues.get(key)
            if queue is None:
                queues[key] = deque((waiting,))
                is_late = key in self._had_turns or len(self._had_turns) >= _LONGEST_ROUND
                (self._next_turns if is_late else self._turns).append(key)
            else:
                queue.append(waiting)
        self._sorted += len(self._arrived)
        self._arrived.clear()

    def _take_by_turns(self) -> list[Item]:
        queues = self._queues
        batch: list[Item] = []
        taken_weight = 0
        while queues and len(batch) < self._size:
            if not self._turns:
                self._turns, self._next_turns = self._next_turns, self._turns
                self._had_turns.clear()
            key = self._turns[0]
            queue = queues[key]
            item, weight, *_ = queue[0]
            if batch and taken_weight + weight > self._budget:
                break
            queue.popleft()
            self._turns.popleft()
            self._had_turns.add(key)
            if queue:
                self._next_turns.append(key)
            else:
                del queues[key]
            taken_weight += weight
            batch.append(item)
        self._sorted -= len(batch)
        self._waiting_weight -= taken_weight
        return batch
