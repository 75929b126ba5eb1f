"""What became of one camera's frames."""

from streamer.watch.tallies import CameraTallies
from streamer.watch.views import LedgerView
from tests.fakes.watched import NOW_S, outcome_view


def test_outcomes_are_counted_by_group_and_reason() -> None:
    tallies = CameraTallies()
    for outcome in (
        outcome_view(),
        outcome_view(status="timed"),
        outcome_view(status="skipped", reason="too-old"),
        outcome_view(status="dead-lettered", reason="truncated"),
        outcome_view(status="dead-lettered", reason="truncated"),
        outcome_view(group="other"),
    ):
        tallies.take(outcome, NOW_S)
    assert tallies.ledgers() == {
        "g": LedgerView(1, 1, {"too-old": 1}, {"truncated": 2}),
        "other": LedgerView(1, 0, {}, {}),
    }


def test_what_the_camera_says_itself_counts_for_every_group() -> None:
    tallies = CameraTallies()
    own = outcome_view(group="", status="skipped", reason="camera-buffer-full")
    tallies.take(own, NOW_S)
    assert tallies.ledgers() == {"": LedgerView(0, 0, {"camera-buffer-full": 1}, {})}
    tallies.take(outcome_view(group="a"), NOW_S)
    tallies.take(outcome_view(group="b", status="skipped", reason="camera-buffer-full"), NOW_S)
    assert tallies.ledgers() == {
        "a": LedgerView(1, 0, {"camera-buffer-full": 1}, {}),
        "b": LedgerView(0, 0, {"camera-buffer-full": 2}, {}),
    }


def test_reasons_are_bounded() -> None:
    tallies = CameraTallies()
    for number in range(100):
        tallies.take(outcome_view(status="skipped", reason=f"reason-{number}"), NOW_S)
    ledgers = tallies.ledgers()
    assert len(ledgers["g"].skipped) == 33
    assert ledgers["g"].skipped["other"] == 100 - 32


def test_the_newest_outcome_is_that_of_the_newest_frame() -> None:
    tallies = CameraTallies()
    assert tallies.newest("") is None
    newest = outcome_view(sequence=9)
    tallies.take(newest, NOW_S)
    tallies.take(outcome_view(sequence=3), NOW_S + 1)  # such as a replay's
    tallies.take(outcome_view(sequence=5, group="lags"), NOW_S + 1)
    assert tallies.newest("") == newest
    assert tallies.newest("g") == newest
    assert tallies.newest("lags") == outcome_view(sequence=5, group="lags")
    assert tallies.newest("nobody") is None


def test_a_camera_whose_clock_was_set_back_goes_on() -> None:
    tallies = CameraTallies()
    tallies.take(outcome_view(sequence=9), NOW_S)
    tallies.take(outcome_view(sequence=3), NOW_S + 5.1)
    assert tallies.newest("") == outcome_view(sequence=3)


def test_a_group_that_is_silent_is_not_shown_for_all() -> None:
    tallies = CameraTallies()
    tallies.take(outcome_view(sequence=9, group="stopped"), NOW_S)
    tallies.take(outcome_view(sequence=3, group="live"), NOW_S + 6)
    assert tallies.newest("") == outcome_view(sequence=3, group="live")
    tallies.drop("live")
    assert tallies.newest("") == outcome_view(sequence=9, group="stopped")
