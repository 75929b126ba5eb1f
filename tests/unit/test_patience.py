"""Warnings about what takes too long: after 5 s, then ever more rarely, and once when it is over."""

import pytest

from consumers.patience import Awaited, Patience

START_S = 1000.0
CALL = Awaited("Kafka has not answered a call", 1)


@pytest.fixture
def patience() -> Patience:
    return Patience()


def warnings_at(
    patience: Patience, caplog: pytest.LogCaptureFixture, times_s: range, awaited: Awaited | None = CALL
) -> list[int]:
    """Look every second; return when there was a warning, in s since `START_S`."""
    found = []
    for second in times_s:
        caplog.clear()
        patience.look(START_S + second, awaited)
        assert len(caplog.messages) <= 1
        found += [second for _ in caplog.messages]
    return found


def test_it_warns_after_five_seconds_and_then_more_rarely(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_at(patience, caplog, range(400)) == [5, 10, 20, 40, 80, 140, 200, 260, 320, 380]


def test_a_warning_says_what_is_waited_for_and_how_long(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.look(START_S, CALL)
    patience.look(START_S + 7.4, CALL)
    assert caplog.messages == ["Kafka has not answered a call for 7 s; waiting for it"]


def test_nothing_is_said_where_nothing_is_waited_for(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.look(START_S, CALL)
    patience.look(START_S + 4.9, None)
    patience.look(START_S + 100, None)
    assert caplog.messages == []


def test_it_says_once_that_it_is_over(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    patience.look(START_S, CALL)
    patience.look(START_S + 6, CALL)
    caplog.clear()
    for second in (8, 9, 100):
        patience.look(START_S + second, None)
    assert caplog.messages == ["Kafka answers again, after 8 s"]


def test_every_arrival_begins_the_wait_for_the_others_again(
    patience: Patience, caplog: pytest.LogCaptureFixture
) -> None:
    for second in range(0, 100, 4):
        patience.look(START_S + second, Awaited("an outcome", second))
    assert caplog.messages == [], "they come one after the other"
    assert warnings_at(patience, caplog, range(97, 110), Awaited("an outcome", 96)) == [101, 106], "then nothing came"


def test_the_next_wait_is_warned_of_as_soon_as_the_first(patience: Patience, caplog: pytest.LogCaptureFixture) -> None:
    assert warnings_at(patience, caplog, range(50)) == [5, 10, 20, 40]
    caplog.clear()
    patience.look(START_S + 50, Awaited(CALL.what, 2))
    assert caplog.messages == ["Kafka answers again, after 50 s"]
    assert warnings_at(patience, caplog, range(51, 70), Awaited(CALL.what, 2)) == [55, 60]
