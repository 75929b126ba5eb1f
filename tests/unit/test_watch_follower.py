"""Where following begins, and when it is behind; reading itself is tested with a broker."""

import pytest

from streamer.watch.follower import Lateness, start_offset


@pytest.mark.parametrize(
    ("at_age", "records", "read_up_to", "start"),
    [
        (None, None, None, 100),
        (700, None, None, 700),
        (50, None, None, 100),
        (None, 10, None, 990),
        (None, 5000, None, 100),
        (700, 10, None, 990),
        (995, 10, None, 995),
        (700, None, 800, 800),
        (700, None, 600, 700),
        (None, None, 1000, 1000),
        (700, None, 1001, 700),  # another topic of the same name
    ],
)
def test_start_offset(at_age: int | None, records: int | None, read_up_to: int | None, start: int) -> None:
    assert start_offset(100, 1000, at_age, records, read_up_to) == start


def test_reading_that_keeps_up_is_not_late() -> None:
    lateness = Lateness(5.0)
    for second in range(100):
        assert not lateness.is_late({0: second * 10}, {0: second * 10 + 40}, float(second))


def test_reading_is_late_where_it_is_not_yet_where_the_end_was_so_long_ago() -> None:
    lateness = Lateness(5.0)
    late = [lateness.is_late({0: second * 10}, {0: second * 100}, float(second)) for second in range(1, 20)]
    assert late.index(True) == 5
    assert all(late[5:])


def test_a_partition_that_gives_nothing_is_not_late() -> None:
    lateness = Lateness(5.0)
    for second in range(100):
        assert not lateness.is_late({0: second * 10}, {0: second * 10, 1: 77}, float(second))


def test_what_was_noted_is_forgotten_when_reading_goes_on_elsewhere() -> None:
    lateness = Lateness(5.0)
    assert not lateness.is_late({0: 0}, {0: 100}, 0.0)
    lateness.clear()
    assert not lateness.is_late({0: 0}, {0: 100}, 6.0)
    assert lateness.is_late({0: 0}, {0: 100}, 11.0)


def test_what_is_noted_is_bounded() -> None:
    lateness = Lateness(5.0)
    for tick in range(10_000):
        lateness.is_late({0: tick}, {0: tick}, tick / 10)
    assert len(lateness._ends) <= 7
