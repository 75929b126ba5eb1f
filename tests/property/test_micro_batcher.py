"""The micro-batcher against a plain list, in any order of events."""

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.batching import MicroBatcher


@dataclass(frozen=True)
class Item:
    number: int
    size_bytes: int
    added_at_ms: int


class Machine(RuleBasedStateMachine):
    """The clock moves in quarters of a second, which floats hold exactly."""

    @initialize(
        size=st.integers(1, 5),
        timeout_ms=st.sampled_from([0, 250, 1000]),
        budget_bytes=st.integers(1, 40),
    )
    def begin(self, size: int, timeout_ms: int, budget_bytes: int) -> None:
        self.size, self.timeout_ms, self.budget_bytes = size, timeout_ms, budget_bytes
        self.batcher = MicroBatcher[Item](size, timeout_ms / 1000, budget_bytes)
        self.waiting: list[Item] = []
        self.now_ms = 0
        self.added = 0
        self.left: list[int] = []

    @rule(size_bytes=st.integers(0, 50))
    def add(self, size_bytes: int) -> None:
        item = Item(self.added, size_bytes, self.now_ms)
        self.added += 1
        self.batcher.add(item, size_bytes, self.now_ms / 1000)
        self.waiting.append(item)

    @rule(quarters=st.integers(1, 8))
    def time_passes(self, quarters: int) -> None:
        self.now_ms += 250 * quarters

    @rule()
    def take(self) -> None:
        is_due = self._is_due()
        batch = self.batcher.take(self.now_ms / 1000)
        assert bool(batch) == is_due
        self._leaves(batch)

    @rule()
    def drain(self) -> None:
        batch = self.batcher.take(self.now_ms / 1000, force=True)
        assert bool(batch) == bool(self.waiting)
        self._leaves(batch)

    @rule(divisor=st.integers(1, 4), remainder=st.integers(0, 3))
    def discard(self, divisor: int, remainder: int) -> None:
        def is_unwanted(item: Item) -> bool:
            return item.number % divisor == remainder

        gone = self.batcher.discard(is_unwanted)
        assert gone == [item for item in self.waiting if is_unwanted(item)]
        self.waiting = [item for item in self.waiting if not is_unwanted(item)]
        self.left += [item.number for item in gone]

    @invariant()
    def what_waits_is_known(self) -> None:
        if not hasattr(self, "batcher"):
            return
        assert self.batcher.waiting() == self.waiting
        assert len(self.batcher) == len(self.waiting)
        assert self.batcher.waiting_bytes == sum(item.size_bytes for item in self.waiting)
        assert self.batcher.is_due(self.now_ms / 1000) == self._is_due()
        due_at_s = self.batcher.due_at_s()
        if self.waiting:
            assert due_at_s == (self.waiting[0].added_at_ms + self.timeout_ms) / 1000
        else:
            assert due_at_s is None

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "batcher"):
            assert sorted(self.left + [item.number for item in self.waiting]) == list(range(self.added))

    def _is_due(self) -> bool:
        """Decide by the items alone: the age is that of the first, whatever happened since it came."""
        return bool(self.waiting) and (
            len(self.waiting) >= self.size
            or sum(item.size_bytes for item in self.waiting) >= self.budget_bytes
            or self.now_ms - self.waiting[0].added_at_ms >= self.timeout_ms
        )

    def _leaves(self, batch: list[Item]) -> None:
        assert batch == self.waiting[: len(batch)], "the order of arrival"
        rest = self.waiting[len(batch) :]
        assert len(batch) <= self.size
        size_bytes = sum(item.size_bytes for item in batch)
        assert len(batch) <= 1 or size_bytes <= self.budget_bytes
        if batch and rest:
            is_full = len(batch) == self.size or size_bytes + rest[0].size_bytes > self.budget_bytes
            assert is_full, "as much as fits"
        self.waiting = rest
        self.left += [item.number for item in batch]


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestMicroBatcher = Machine.TestCase
