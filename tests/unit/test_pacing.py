import pytest

from producers.pacing import Backoff, Pacer


def test_frames_come_at_the_rate_without_drift() -> None:
    pacer = Pacer(10)
    now_s, taken = 100.0, []
    for _ in range(50):
        now_s += pacer.wait_s(now_s) + 0.003  # each frame is a little late
        taken.append(now_s)
        pacer.took(now_s)
    assert taken[-1] - taken[0] == pytest.approx(4.9, abs=0.01)


def test_a_gap_is_not_made_up_for_by_a_burst() -> None:
    pacer = Pacer(10)
    pacer.took(0.0)
    pacer.took(5.0)
    assert pacer.wait_s(5.0) == pytest.approx(0.1)


def test_a_rate_is_above_zero() -> None:
    with pytest.raises(ValueError, match="no rate"):
        Pacer(0)


def test_retries_wait_longer_each_time_up_to_a_limit_and_not_all_at_once() -> None:
    backoff = Backoff()
    longest = [backoff.failed(chance=1.0) for _ in range(10)]
    assert longest[:4] == [0.5, 1.0, 2.0, 4.0]
    assert longest[-1] == 30.0
    assert backoff.failed(chance=0.0) == 15.0
    backoff.succeeded()
    assert backoff.failed(chance=1.0) == 0.5
