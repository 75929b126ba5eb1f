"""How often pages may ask for pictures."""

from streamer.web.dashboard.pace import Pace


def follow(pace: Pace, share: float, seconds: int, start_s: float = 0.0) -> None:
    for second in range(seconds):
        pace.measured(start_s + second, (start_s + second) * share)


def test_a_quiet_machine_is_asked_more_often() -> None:
    pace = Pace()
    follow(pace, 0.02, 60)
    assert pace.interval_ms == 500


def test_a_busy_one_more_seldom_and_never_not_at_all() -> None:
    pace = Pace()
    follow(pace, 0.6, 120)
    assert pace.interval_ms == 4000


def test_between_the_two_nothing_changes() -> None:
    pace = Pace()
    follow(pace, 0.15, 60)
    assert pace.interval_ms == 1000


def test_a_moment_says_nothing() -> None:
    pace = Pace()
    pace.measured(0.0, 0.0)
    pace.measured(0.1, 0.1)
    assert pace.interval_ms == 1000
