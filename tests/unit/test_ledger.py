import pytest

from consumers.in_flight import InFlight, InFlightLimits
from consumers.ledger import Entry, PartitionLedger


def ledger_of(*offsets: int) -> tuple[PartitionLedger[str], list[Entry[str]]]:
    ledger: PartitionLedger[str] = PartitionLedger(0)
    return ledger, [ledger.admit(offset, 10) for offset in offsets]


def test_outcomes_leave_in_offset_order_whatever_order_they_were_made_in() -> None:
    ledger, (first, second, third) = ledger_of(5, 6, 7)
    ledger.resolve(third, "c")
    ledger.resolve(second, "b")
    assert ledger.release() == []
    ledger.resolve(first, "a")
    assert [entry.outgoing for entry in ledger.release()] == ["a", "b", "c"]
    assert ledger.release() == []


def test_the_watermark_stops_at_the_first_outcome_that_is_not_acknowledged() -> None:
    ledger, entries = ledger_of(5, 6, 9)
    for entry in entries:
        ledger.resolve(entry, "x")
    ledger.release()
    ledger.acknowledge(entries[1])
    ledger.acknowledge(entries[2])
    assert ledger.pending_commit() is None
    ledger.acknowledge(entries[0])
    assert ledger.pending_commit() == (10, 3)
    ledger.committed(3)
    assert ledger.pending_commit() is None
    assert len(ledger) == 0
    assert ledger.watermark == 10


def test_an_acknowledged_outcome_behind_an_open_frame_is_not_committed() -> None:
    ledger, (first, second) = ledger_of(0, 1)
    ledger.resolve(first, "a")
    ledger.release()
    ledger.acknowledge(first)
    assert ledger.pending_commit() == (1, 1)
    assert ledger.first_unfinished_offset == second.offset


def test_a_frame_has_one_outcome() -> None:
    ledger, (entry,) = ledger_of(0)
    ledger.resolve(entry, "a")
    with pytest.raises(ValueError, match="offset 0 has an outcome already"):
        ledger.resolve(entry, "b")


def test_offsets_only_rise() -> None:
    ledger, _ = ledger_of(3)
    with pytest.raises(ValueError, match="offset 3 came after 3"):
        ledger.admit(3, 10)


def test_room_counts_frames_until_they_are_committed() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits(frames=3, size_bytes=10**6))
    entries = [in_flight.admit(0, offset, 10) for offset in range(3)]
    assert in_flight.room() == 0
    for entry in entries:
        in_flight.resolve(entry, "x")
    for entry in in_flight.release():
        in_flight.acknowledge(entry)
    assert in_flight.room() == 0, "acknowledged is not yet committed"
    in_flight.committed(in_flight.pending_commits())
    assert in_flight.room() == 3


def test_room_closes_by_bytes_and_always_lets_one_frame_into_an_empty_house() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits(frames=100, size_bytes=1_000_000))
    assert in_flight.room() == 100
    for offset in range(4):
        in_flight.admit(0, offset, 300_000)
    assert in_flight.room() == 0


def test_what_belongs_to_a_partition_that_was_given_up_is_neither_published_nor_committed() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits())
    kept, lost = in_flight.admit(0, 10, 1), in_flight.admit(1, 20, 1)
    assert in_flight.give_up({1}) == {1: 20}
    in_flight.resolve(kept, "a")
    in_flight.resolve(lost, "b")
    assert [entry.outgoing for entry in in_flight.release()] == ["a"]
    in_flight.acknowledge(lost)
    in_flight.acknowledge(kept)
    assert {number: commit[:2] for number, commit in in_flight.pending_commits().items()} == {0: (11, 1)}


def test_a_partition_that_comes_back_is_read_on_from_its_first_unfinished_frame() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits())
    entries = [in_flight.admit(0, offset, 1) for offset in (4, 5, 6)]
    in_flight.resolve(entries[0], "a")
    in_flight.acknowledge(in_flight.release()[0])
    assert in_flight.withdraw([entries[2]]) == {entries[2]}
    assert in_flight.give_up({0}) == {0: 5}
    assert in_flight.room() == 256


def test_a_partition_of_which_all_was_withdrawn_is_read_on_from_its_first_frame() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits())
    entries = [in_flight.admit(0, offset, 1) for offset in (4, 5, 6)]
    assert in_flight.withdraw(entries) == set(entries)
    assert in_flight.are_drained({0})
    assert in_flight.give_up({0}) == {0: 4}


def test_a_waiting_frame_before_one_that_is_worked_on_is_not_withdrawn() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits())
    waiting, begun, newest = (in_flight.admit(0, offset, 1) for offset in (4, 5, 6))
    assert in_flight.withdraw([waiting, newest]) == {newest}
    for entry in (waiting, begun):
        in_flight.resolve(entry, "a")
    for entry in in_flight.release():
        in_flight.acknowledge(entry)
    assert in_flight.give_up({0}) == {0: 6}


def holding(limit: int, *held: int) -> InFlight[str]:
    """Partitions 0, 1, … that hold so many frames."""
    in_flight: InFlight[str] = InFlight(InFlightLimits(frames=limit))
    in_flight.assign(range(len(held)))
    for partition, count in enumerate(held):
        for offset in range(count):
            in_flight.admit(partition, offset, 1000)
    return in_flight


def test_what_is_held_of_each_partition_and_the_room_beside_it() -> None:
    assert holding(256, 0, 0).held() == (256, {0: 0, 1: 0})
    assert holding(256, 90, 20).held() == (146, {0: 90, 1: 20})
    assert holding(256, 250, 6).held() == (0, {0: 250, 1: 6})


def test_the_room_for_few_large_frames_is_what_their_bytes_leave() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits(frames=256, size_bytes=64_000_000))
    for offset in range(300):
        entry = in_flight.admit(0, offset, 1_000_000)
        if offset < 290:
            in_flight.withdraw([entry])
    room, held = in_flight.held()
    assert 50 <= room <= 56, "some 64 frames, less the ten that are held"
    assert held == {0: 10}


def test_a_commit_that_arrives_after_its_partition_came_back_is_not_counted_on_the_new_ledger() -> None:
    in_flight: InFlight[str] = InFlight(InFlightLimits())
    for offset in range(3):
        in_flight.resolve(in_flight.admit(0, offset, 1), "a")
    for entry in in_flight.release():
        in_flight.acknowledge(entry)
    commits = in_flight.pending_commits()
    in_flight.give_up({0})
    in_flight.assign({0})
    in_flight.committed(commits)
    assert len(in_flight) == 0
    in_flight.resolve(in_flight.admit(0, 0, 1), "a")
    in_flight.acknowledge(in_flight.release()[0])
    assert in_flight.pending_commits()[0].offset == 1
