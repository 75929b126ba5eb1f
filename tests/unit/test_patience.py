"""Warnings about what takes too long: after 5 s, then ever more rarely, and once when it is over."""

import pytest

from consumers.delivery import Patience

START_S = 1000.0


@pytest.fixture
def patience() -> Patience:
    return Patience()


def warnings_at(patience: Patience, caplog: pytest.LogCaptureFixture, times_s: range) -> list[int]:
    """Look every second; return when there was a warning, in s since `START_S`."""
    found = []
    for second in times_s:
        caplog.clear()
        patience.look(START_S + second)
        assert len(caplog.messages) <= 1
        found += [second for _ in caplog.messages]
    return found


def test_it_warns_after_five_seconds_and_then_more_rarely(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.began(START_S, "Kafka has not answered a call")
    assert warnings_at(patience, caplog, range(5)) == []
    assert warnings_at(patience, caplog, range(5, 400)) == [5, 10, 20, 40, 80, 140, 200, 260, 320, 380]


def test_a_warning_says_what_is_waited_for_and_how_long(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.began(START_S, "Kafka has not answered a call")
    patience.look(START_S + 7.4)
    assert caplog.messages == ["Kafka has not answered a call since 7 s; waiting for it"]


def test_nothing_is_said_where_nothing_is_waited_for(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.look(START_S)
    patience.moved(START_S, is_waiting=False)
    patience.began(START_S, "a call")
    patience.moved(START_S + 4.9, is_waiting=False)
    patience.look(START_S + 100)
    assert caplog.messages == []


def test_it_says_once_that_it_is_over(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.began(START_S, "a call")
    patience.look(START_S + 6)
    caplog.clear()
    patience.moved(START_S + 8, is_waiting=False)
    patience.moved(START_S + 9, is_waiting=False)
    patience.look(START_S + 100)
    assert caplog.messages == ["Kafka answers again, after 8 s"]


def test_what_begins_while_something_is_waited_for_does_not_begin_the_wait_again(
    patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    patience.began(START_S, "the first")
    patience.began(START_S + 4, "the second")
    patience.look(START_S + 5)
    assert caplog.messages == ["the first since 5 s; waiting for it"]


def test_every_arrival_begins_the_wait_for_the_others_again(
    patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    patience.began(START_S, "an outcome")
    for second in range(1, 100, 4):
        patience.look(START_S + second)
        patience.moved(START_S + second, is_waiting=True)
    assert caplog.messages == [], "they come one after the other"
    assert warnings_at(patience, caplog, range(98, 110)) == [102, 107], "nothing came since second 97"


def test_the_next_wait_is_warned_of_as_soon_as_the_first(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.began(START_S, "a call")
    assert warnings_at(patience, caplog, range(50)) == [5, 10, 20, 40]
    patience.moved(START_S + 50, is_waiting=False)
    patience.began(START_S + 50, "a call")
    assert warnings_at(patience, caplog, range(50, 70)) == [55, 60]


def test_what_arrives_after_a_long_wait_begins_the_next_one_anew(
    patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    patience.began(START_S, "an outcome")
    assert warnings_at(patience, caplog, range(50)) == [5, 10, 20, 40]
    caplog.clear()
    patience.moved(START_S + 50, is_waiting=True)
    patience.moved(START_S + 51, is_waiting=True)
    assert caplog.messages == ["Kafka answers again, after 50 s"]
    assert warnings_at(patience, caplog, range(51, 70)) == [56, 61]
