from producers.shed import ShedFrames


def test_neighbours_become_one_range_and_come_out_one_by_one() -> None:
    shed = ShedFrames()
    for sequence in (3, 4, 5, 9):
        shed.add(sequence, sequence * 100)
    assert shed.total == 4
    assert list(shed.take(2)) == [(3, 300), (4, 400)]
    assert bool(shed)
    assert list(shed.take(10)) == [(5, 500), (9, 900)]
    assert not shed


def test_a_long_outage_is_a_few_numbers_and_its_times_lie_evenly() -> None:
    shed = ShedFrames()
    for sequence in range(100_000):
        shed.add(sequence, 1_000_000 + sequence * 40_000)
    assert len(shed._ranges) == 1
    taken = list(shed.take(100_000))
    assert [sequence for sequence, _ in taken] == list(range(100_000))
    assert all(abs(at_us - (1_000_000 + sequence * 40_000)) <= 1 for sequence, at_us in taken)
