"""The watermark under any order of events: nothing is committed that has a hole below it."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from consumers.in_flight import InFlight, InFlightLimits
from consumers.ledger import Entry

PARTITIONS = (0, 1)


class LedgerMachine(RuleBasedStateMachine):
    """Polls, resolves, acknowledges, commits, revokes and assigns at random; remembers what is really done."""

    @initialize()
    def begin(self) -> None:
        self.in_flight: InFlight[int] = InFlight(InFlightLimits(frames=10**6, size_bytes=10**9))
        self.position = dict.fromkeys(PARTITIONS, 0)
        self.open: list[tuple[int, Entry[int]]] = []
        self.sent: list[tuple[int, Entry[int]]] = []
        self.done: dict[int, set[int]] = {partition: set() for partition in PARTITIONS}
        self.published: dict[int, list[int]] = {partition: [] for partition in PARTITIONS}
        self.commits: dict[int, int] = dict.fromkeys(PARTITIONS, 0)

    @rule(partition=st.sampled_from(PARTITIONS), gap=st.integers(0, 2))
    def poll(self, partition: int, gap: int) -> None:
        for skipped in range(self.position[partition], self.position[partition] + gap):
            self.done[partition].add(skipped)  # offsets that the log does not have
        offset = self.position[partition] + gap
        self.open.append((partition, self.in_flight.admit(partition, offset, 1)))
        self.position[partition] = offset + 1

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def resolve(self, data: st.DataObject) -> None:
        partition, entry = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.in_flight.resolve(entry, partition)
        for released in self.in_flight.release():
            assert released.outgoing is not None
            self.published[released.outgoing].append(released.offset)
            self.sent.append((released.outgoing, released))

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        partition, entry = self.sent.pop(data.draw(st.integers(0, len(self.sent) - 1)))
        self.in_flight.acknowledge(entry)
        self.done[partition].add(entry.offset)

    @rule()
    def commit(self) -> None:
        commits = self.in_flight.pending_commits()
        for partition, (offset, _, _) in commits.items():
            assert set(range(offset)) <= self.done[partition], "a commit over a hole"
            assert offset >= self.commits[partition], "a commit that goes back"
            self.commits[partition] = offset
        self.in_flight.committed(commits)

    @rule(partition=st.sampled_from(PARTITIONS))
    def revoke_and_read_on(self, partition: int) -> None:
        unfinished = self.in_flight.give_up({partition})
        self.open = [(number, entry) for number, entry in self.open if number != partition]
        self.sent = [(number, entry) for number, entry in self.sent if number != partition]
        start = unfinished.get(partition, self.position[partition])
        assert start <= self.position[partition]
        assert set(range(start)) <= self.done[partition], "frames below the new start are lost"
        self.position[partition] = start
        self.published[partition] = [offset for offset in self.published[partition] if offset < start]

    @invariant()
    def order_is_kept(self) -> None:
        for offsets in getattr(self, "published", {}).values():
            assert offsets == sorted(set(offsets))


TestLedger = LedgerMachine.TestCase
