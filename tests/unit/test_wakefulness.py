"""Whether a process stood still: half a session or longer, and not too long ago."""

from consumers.wakefulness import Wakefulness


def test_a_loop_that_runs_never_stands_still() -> None:
    wakefulness = Wakefulness(3.0, 0.0)
    for tick in range(1, 100):
        wakefulness.awake(tick * 0.2)
    assert wakefulness.pause_s(20.0) == 0.0


def test_half_a_session_without_a_sign_of_life_is_a_pause_that_is_remembered_for_two_sessions() -> None:
    wakefulness = Wakefulness(3.0, 0.0)
    wakefulness.awake(1.5)
    wakefulness.awake(2.9)
    assert wakefulness.pause_s(7.4) == 4.5
    assert Wakefulness(3.0, 0.0).pause_s(1.4) == 0.0


def test_a_pause_is_forgotten() -> None:
    wakefulness = Wakefulness(3.0, 0.0)
    wakefulness.awake(1.5)
    for tenth in range(16, 75):
        wakefulness.awake(tenth / 10)
    assert wakefulness.pause_s(7.4) == 1.5
    wakefulness.awake(7.5)
    assert wakefulness.pause_s(7.6) == 0.0


def test_one_that_has_not_shown_life_since_stands_still_now() -> None:
    assert Wakefulness(3.0, 10.0).pause_s(14.0) == 4.0
