"""From poll to commit under any order of events: the real micro-batcher over the real ledgers, with a clock of ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumers.in_flight import InFlight, InFlightLimits, PendingCommit
from consumers.ledger import Entry
from engine.batching import MicroBatcher

T = TypeVar("T")

PARTITIONS = (0, 1)
#: Each camera's frames are in one partition.
CAMERAS_OF = (("a", "c"), ("b",))
KIB = 1024
#: Frames are as large as those whose average `InFlight` begins with, so that there is room for several.
LIMITS = InFlightLimits(frames=12, size_bytes=160 * KIB)
MAX_FRAME_KIB = 40
#: Which of those that there are.
PICKS = st.integers(0, 11)


@dataclass(frozen=True)
class Polled:
    """A frame that was polled.

    Attributes:
        holding: Which time of holding its partition it belongs to; what is left of an older one counts no more.
    """

    entry: Entry[str]
    camera: str
    partition: int
    holding: int
    added_at_ms: int

    @property
    def offset(self) -> int:
        return self.entry.offset


def picked(things: Sequence[T], pick: int) -> T:
    return things[pick % len(things)]


class Machine(RuleBasedStateMachine):
    """One member of a group. It remembers what the log holds, what the broker has, and which batches are on their way.

    The clock moves in quarters of a second, which floats hold exactly.
    """

    @initialize(
        size=st.integers(1, 5),
        timeout_ms=st.sampled_from([0, 250, 1000]),
        budget_bytes=st.sampled_from([1, 20 * KIB, 60 * KIB, 1024 * KIB]),
        is_fair=st.booleans(),
    )
    def begin(self, size: int, timeout_ms: int, budget_bytes: int, is_fair: bool) -> None:
        self.size, self.timeout_ms, self.budget_bytes = size, timeout_ms, budget_bytes
        key = attrgetter("camera") if is_fair else None
        self.batcher = MicroBatcher[Polled](size, budget_bytes, key)
        self.in_flight = InFlight[str](LIMITS)
        self.now_ms = 0
        self.log: dict[int, list[tuple[str, int]]] = {partition: [] for partition in PARTITIONS}
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.committed = dict.fromkeys(PARTITIONS, 0)
        self.holding = dict.fromkeys(PARTITIONS, 0)
        self.assigned: set[int] = set()
        self.waiting: list[Polled] = []
        self.live: list[list[Polled]] = []
        self.sent: list[Polled] = []
        self.by_entry: dict[int, Polled] = {}
        self.answered: dict[int, set[int]] = {partition: set() for partition in PARTITIONS}
        self.published: dict[str, list[int]] = {camera: [] for cameras in CAMERAS_OF for camera in cameras}
        self._assign(set(PARTITIONS))

    # What happens to a member. Rules without anything to do do nothing, so that each run gets somewhere.

    @precondition(lambda self: len(self.assigned) < len(PARTITIONS))
    @rule()
    def assign(self) -> None:
        self._assign(set(PARTITIONS) - self.assigned)

    @rule(pick=PICKS, sizes_kib=st.lists(st.integers(0, MAX_FRAME_KIB), min_size=1, max_size=6))
    def poll(self, pick: int, sizes_kib: list[int]) -> None:
        for number, size_kib in enumerate(sizes_kib):
            if self.assigned and self.in_flight.room():
                partition = picked(sorted(self.assigned), pick)
                self._enter(partition, picked(CAMERAS_OF[partition], pick + number), size_kib * KIB)

    @rule(quarters=st.integers(1, 8))
    def advance(self, quarters: int) -> None:
        self.now_ms += 250 * quarters

    @rule()
    def take(self) -> None:
        is_old = any(self.now_ms - polled.added_at_ms >= self.timeout_ms for polled in self.waiting)
        is_full = len(self.waiting) >= self.size
        batch = self.batcher.take(self.now_ms / 1000)
        assert batch or not (is_old or is_full), "a batch that is due by age or size is given"
        self._leaves(batch)

    @rule(pick=PICKS, fails=st.booleans())
    def finish(self, pick: int, fails: bool) -> None:
        if not self.live:
            return
        batch = self.live.pop(pick % len(self.live))
        if fails and len(batch) > 1:  # it is halved, to find the one at fault
            middle = len(batch) // 2
            self.live += [batch[:middle], batch[middle:]]
        else:
            self._resolve(batch, "dead-lettered" if fails else "classified")

    @rule(pick=PICKS, count=st.integers(1, 4))
    def acknowledge(self, pick: int, count: int) -> None:
        for _ in range(min(count, len(self.sent))):
            self._acknowledge(self.sent.pop(pick % len(self.sent)))

    @rule()
    def commit(self) -> None:
        commits = self.in_flight.pending_commits()
        self._commit(commits)
        self.in_flight.committed(commits)

    @rule(pick=PICKS, is_lost=st.booleans())
    def revoke(self, pick: int, is_lost: bool) -> None:
        """Let a partition go; where it is lost another member has it already, and nothing may be committed."""
        if not self.assigned:
            return
        partition = picked(sorted(self.assigned), pick)
        self._drop_waiting(partition)
        if not is_lost:
            commits = self.in_flight.pending_commits()
            self._commit({number: commit for number, commit in commits.items() if number == partition})
        self._give_up(partition)

    def teardown(self) -> None:
        """Close: what is held is finished and committed, and nothing stays behind."""
        if not hasattr(self, "batcher"):
            return
        while batch := self.batcher.take(self.now_ms / 1000, force=True):
            self._leaves(batch)
        assert not self.waiting
        while self.live:
            self._resolve(self.live.pop(), "classified")
        while self.sent:
            self._acknowledge(self.sent.pop())
        self.commit()
        assert self.in_flight.is_drained
        assert len(self.in_flight) == 0
        for partition in self.assigned:
            assert self.committed[partition] == self.position[partition], "what was polled is committed at the end"

    # What holds at any time.

    @invariant()
    def no_offset_is_in_two_batches(self) -> None:
        places = [
            (polled.partition, polled.offset) for batch in getattr(self, "live", []) for polled in self._held(batch)
        ]
        assert len(places) == len(set(places))

    @invariant()
    def no_commit_would_cover_a_hole(self) -> None:
        for partition, (offset, _, _) in self.in_flight.pending_commits().items() if hasattr(self, "in_flight") else ():
            assert set(range(offset)) <= self.answered[partition]

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        if hasattr(self, "batcher"):
            assert len(self.in_flight) <= LIMITS.frames
            held_bytes = sum(polled.entry.size_bytes for polled in self._unanswered())
            assert self.in_flight._bytes == held_bytes
            assert held_bytes < LIMITS.size_bytes + MAX_FRAME_KIB * KIB
            assert self.batcher.waiting_weight == sum(polled.entry.size_bytes for polled in self.waiting)
            assert len(self.batcher) == len(self.waiting)

    @invariant()
    def a_batch_that_is_due_says_so(self) -> None:
        if hasattr(self, "batcher") and self.waiting:
            oldest_ms = min(polled.added_at_ms for polled in self.waiting)
            due_at_s = self.batcher.due_at_s()
            assert due_at_s is not None
            assert due_at_s <= (oldest_ms + self.timeout_ms) / 1000
            assert self.batcher.is_due(self.now_ms / 1000) or self.now_ms < oldest_ms + self.timeout_ms

    @invariant()
    def each_cameras_outcomes_are_in_order(self) -> None:
        for offsets in getattr(self, "published", {}).values():
            assert offsets == sorted(set(offsets))

    # What the consumer does with it.

    def _assign(self, partitions: set[int]) -> None:
        self.in_flight.assign(partitions)
        self.assigned |= partitions
        for partition in partitions:
            self.holding[partition] += 1
            self.position[partition] = self.committed[partition]
            self.published |= {camera: [] for camera in CAMERAS_OF[partition]}

    def _enter(self, partition: int, camera: str, size_bytes: int) -> None:
        """Enter the partition's next frame: what the log has there already, or one that comes to it now."""
        held_bytes = sum(polled.entry.size_bytes for polled in self._unanswered())
        assert held_bytes < LIMITS.size_bytes, "there is room though the bytes are used up"
        offset, log = self.position[partition], self.log[partition]
        if offset == len(log):
            log.append((camera, size_bytes))
        camera, size_bytes = log[offset]
        entry = self.in_flight.admit(partition, offset, size_bytes)
        polled = Polled(entry, camera, partition, self.holding[partition], self.now_ms)
        self.position[partition] += 1
        self.by_entry[id(entry)] = polled
        self.batcher.add(polled, size_bytes, (self.now_ms + self.timeout_ms) / 1000)
        self.waiting.append(polled)

    def _leaves(self, batch: list[Polled]) -> None:
        assert len(batch) <= self.size
        assert len(batch) <= 1 or sum(polled.entry.size_bytes for polled in batch) <= self.budget_bytes
        for polled in batch:
            assert polled.partition in self.assigned, "nothing of a partition that went"
            self.waiting.remove(polled)
        for camera in self.published:
            offsets = [polled.offset for polled in batch if polled.camera == camera]
            assert offsets == sorted(offsets), "a camera's frames in their order"
            left = [polled.offset for polled in self.waiting if polled.camera == camera]
            assert not (offsets and left) or max(offsets) < min(left), "no frame overtakes one of its camera"
        if batch:
            self.live.append(batch)

    def _resolve(self, batch: list[Polled], outcome: str) -> None:
        for polled in batch:
            self.in_flight.resolve(polled.entry, outcome)
        for entry in self.in_flight.release():
            polled = self.by_entry[id(entry)]
            assert polled.partition in self.assigned, "an outcome of a partition that went"
            assert polled.holding == self.holding[polled.partition], "an outcome of an earlier time"
            self.published[polled.camera].append(polled.offset)
            self.sent.append(polled)

    def _acknowledge(self, polled: Polled) -> None:
        self.in_flight.acknowledge(polled.entry)
        self.answered[polled.partition].add(polled.offset)

    def _commit(self, commits: dict[int, PendingCommit]) -> None:
        for partition, (offset, _, _) in commits.items():
            assert partition in self.assigned, "a commit for a partition that went"
            assert set(range(offset)) <= self.answered[partition], "a commit over a hole"
            assert offset >= self.committed[partition], "a commit that goes back"
            self.committed[partition] = offset

    def _drop_waiting(self, partition: int) -> None:
        dropped = self.batcher.discard(lambda polled: polled.partition == partition)
        assert {id(polled) for polled in dropped} == {
            id(polled) for polled in self.waiting if polled.partition == partition
        }
        self.in_flight.withdraw(polled.entry for polled in dropped)
        self.waiting = [polled for polled in self.waiting if polled.partition != partition]

    def _give_up(self, partition: int) -> None:
        start = self.in_flight.give_up({partition}).get(partition)
        self.assigned.remove(partition)
        if start is not None:
            assert set(range(start)) <= self.answered[partition], "frames below the next start have no outcome"
            assert start >= self.committed[partition]

    def _held(self, batch: list[Polled]) -> list[Polled]:
        """What of a batch belongs to a partition as it is held now."""
        return [
            polled
            for polled in batch
            if polled.partition in self.assigned and polled.holding == self.holding[polled.partition]
        ]

    def _unanswered(self) -> list[Polled]:
        """What was polled, is held, and has no acknowledged outcome."""
        return [polled for polled in self._held(list(self.by_entry.values())) if not polled.entry.is_acknowledged]


Machine.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestBatchingAndOffsets = Machine.TestCase
