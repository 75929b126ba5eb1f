"""The micro-batcher against a plain list, in any order of events."""

import math
from collections import Counter
from dataclasses import dataclass
from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engine.batching import MicroBatcher


@dataclass(frozen=True)
class Item:
    number: int
    size_bytes: int
    due_at_ms: int


class Machine(RuleBasedStateMachine):
    """The clock moves in quarters of a second, which floats hold exactly."""

    @initialize(
        size=st.integers(1, 5),
        budget_bytes=st.integers(1, 40),
    )
    def begin(self, size: int, budget_bytes: int) -> None:
        self.size, self.budget_bytes = size, budget_bytes
        self.batcher = MicroBatcher[Item](size, budget_bytes)
        self.waiting: list[Item] = []
        self.now_ms = 0
        self.added = 0
        self.left: list[int] = []

    @rule(size_bytes=st.integers(0, 50), quarters=st.integers(-4, 8))
    def add(self, size_bytes: int, quarters: int) -> None:
        item = Item(self.added, size_bytes, self.now_ms + 250 * quarters)
        self.added += 1
        self.batcher.add(item, size_bytes, item.due_at_ms / 1000)
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
        assert self.batcher.waiting_weight == sum(item.size_bytes for item in self.waiting)
        assert self.batcher.is_due(self.now_ms / 1000) == self._is_due()
        due_at_s = self.batcher.due_at_s()
        if not self.waiting:
            assert due_at_s is None
        elif self._is_full():
            assert due_at_s == -math.inf
        else:
            assert due_at_s == min(item.due_at_ms for item in self.waiting) / 1000

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        if hasattr(self, "batcher"):
            assert sorted(self.left + [item.number for item in self.waiting]) == list(range(self.added))

    def _is_due(self) -> bool:
        """Decide by the items alone, whatever happened since they came."""
        return bool(self.waiting) and (self._is_full() or any(item.due_at_ms <= self.now_ms for item in self.waiting))

    def _is_full(self) -> bool:
        return len(self.waiting) >= self.size or sum(item.size_bytes for item in self.waiting) >= self.budget_bytes

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


@dataclass(frozen=True)
class CameraItem:
    camera: int
    number: int
    size_bytes: int
    due_at_ms: int


class FairMachine(RuleBasedStateMachine):
    """With a key: the bounds and each key's order as without one, and nobody waits for more than a turn of the rest."""

    @initialize(size=st.integers(1, 5), budget_bytes=st.integers(1, 40))
    def begin(self, size: int, budget_bytes: int) -> None:
        self.size, self.budget_bytes = size, budget_bytes
        self.batcher = MicroBatcher[CameraItem](size, budget_bytes, lambda item: item.camera)
        self.waiting: list[CameraItem] = []
        self.now_ms = 0
        self.added = 0
        self.left: list[int] = []
        #: For each camera that waits, how often each other one was served since it waits, or was served.
        self.overtaken: dict[int, Counter[int]] = {}

    @rule(
        camera=st.integers(0, 6),
        count=st.sampled_from([1, 1, 2, 10]),
        size_bytes=st.integers(0, 50),
        quarters=st.integers(-4, 8),
    )
    def add(self, camera: int, count: int, size_bytes: int, quarters: int) -> None:
        for _ in range(count):
            item = CameraItem(camera, self.added, size_bytes, self.now_ms + 250 * quarters)
            self.added += 1
            self.batcher.add(item, size_bytes, item.due_at_ms / 1000)
            self.waiting.append(item)
        self.overtaken.setdefault(camera, Counter())

    @rule(quarters=st.integers(1, 8))
    def time_passes(self, quarters: int) -> None:
        self.now_ms += 250 * quarters

    @rule(is_forced=st.booleans())
    def take(self, is_forced: bool) -> None:
        is_due = bool(self.waiting) and (is_forced or self._is_due())
        is_contended = (
            len(self.waiting) > self.size or sum(item.size_bytes for item in self.waiting) > self.budget_bytes
        )
        batch = self.batcher.take(self.now_ms / 1000, force=is_forced)
        assert bool(batch) == is_due
        assert len(batch) <= self.size
        size_bytes = sum(item.size_bytes for item in batch)
        assert len(batch) <= 1 or size_bytes <= self.budget_bytes
        for camera in {item.camera for item in batch}:
            mine = [item for item in self.waiting if item.camera == camera]
            taken = [item for item in batch if item.camera == camera]
            assert taken == mine[: len(taken)], "each key oldest first"
        self.waiting = [item for item in self.waiting if item not in batch]
        if batch and self.waiting and len(batch) < self.size:
            heads = {item.camera: item for item in reversed(self.waiting)}
            assert any(size_bytes + item.size_bytes > self.budget_bytes for item in heads.values()), "as much as fits"
        if is_contended:
            for position, item in enumerate(batch):
                to_come = {later.camera for later in chain(batch[position + 1 :], self.waiting)}
                self._served(item.camera, to_come)
        self._gone(batch)

    @rule(camera=st.integers(0, 6), keeps_newest=st.booleans())
    def discard(self, camera: int, keeps_newest: bool) -> None:
        mine = [item for item in self.waiting if item.camera == camera]
        unwanted = mine[:-1] if keeps_newest else mine
        assert self.batcher.discard(lambda item: item in unwanted) == unwanted
        self.waiting = [item for item in self.waiting if item not in unwanted]
        self._gone(unwanted)

    @invariant()
    def what_waits_is_known(self) -> None:
        if not hasattr(self, "batcher"):
            return
        assert self.batcher.waiting() == self.waiting
        assert len(self.batcher) == len(self.waiting)
        assert self.batcher.waiting_weight == sum(item.size_bytes for item in self.waiting)
        assert self.batcher.is_due(self.now_ms / 1000) == self._is_due()
        if self.waiting and not self._is_full():
            assert self.batcher.due_at_s() == min(item.due_at_ms for item in self.waiting) / 1000
        assert sorted(self.left + [item.number for item in self.waiting]) == list(range(self.added))

    def _is_due(self) -> bool:
        return bool(self.waiting) and (self._is_full() or any(item.due_at_ms <= self.now_ms for item in self.waiting))

    def _is_full(self) -> bool:
        return len(self.waiting) >= self.size or sum(item.size_bytes for item in self.waiting) >= self.budget_bytes

    def _served(self, camera: int, to_come: set[int]) -> None:
        for other, overtaking in self.overtaken.items():
            if other != camera and other in to_come:
                overtaking[camera] += 1
                assert overtaking[camera] <= 1, f"camera {camera} had two turns while {other} waited for its first"
        self.overtaken[camera] = Counter()

    def _gone(self, items: list[CameraItem]) -> None:
        self.left += [item.number for item in items]
        still_waiting = {item.camera for item in self.waiting}
        self.overtaken = {camera: passed for camera, passed in self.overtaken.items() if camera in still_waiting}


FairMachine.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestFairMicroBatcher = FairMachine.TestCase
