import logging

import pytest

from consumers.loss_horizon import LossHorizon, Retention
from consumers.unread import UnreadFrames
from messaging.frame import Frame
from tests.unit.test_freshness import polled

MINUTES_10 = Retention(time_s=600)


def observed(retention: Retention, *observations: tuple[float, float, float]) -> LossHorizon:
    horizon = LossHorizon(retention)
    for now_s, age_s, unread_bytes in observations:
        horizon.observe(now_s, age_s, unread_bytes)
    return horizon


def test_by_time_it_is_what_is_left_of_the_age_over_its_growth() -> None:
    horizon = observed(MINUTES_10, *((second, 100 + second / 2, 0) for second in range(6)))
    assert horizon.horizon_s == pytest.approx((600 - 102.5) / 0.5)


def test_by_size_it_is_what_is_left_of_the_bytes_over_their_growth() -> None:
    retention = Retention(time_s=600, size_bytes=1000)
    horizon = observed(retention, *((second, second, 100.0 * second) for second in range(6)))
    assert horizon.horizon_s == pytest.approx((1000 - 500) / 100), "the sooner one"


@pytest.mark.parametrize("growth", [-0.5, 0.0, 0.001])
def test_who_keeps_up_loses_nothing(growth: float) -> None:
    assert observed(MINUTES_10, *((second, 300 + growth * second, 9) for second in range(6))).horizon_s is None


def test_what_is_kept_for_ever_is_never_lost() -> None:
    assert observed(Retention(), *((second, second, second) for second in range(6))).horizon_s is None


def test_what_is_over_its_time_is_lost_now() -> None:
    assert observed(MINUTES_10, *((second, 600 + second, 0) for second in range(6))).horizon_s == 0


def test_a_trend_takes_some_seconds_and_a_burst_is_none() -> None:
    horizon = observed(MINUTES_10, (0, 0, 0), (1, 2, 0), (2, 4, 0))
    assert horizon.horizon_s is None
    ages = (1.0, 1.4, 0.8, 1.2, 0.9, 1.3, 0.7, 1.1)
    assert observed(MINUTES_10, *((second, age, 0) for second, age in enumerate(ages))).horizon_s is None


def test_what_was_long_ago_does_not_count() -> None:
    falling_behind = [(float(second), float(second), 0.0) for second in range(20)]
    catching_up = [(float(second), 40.0 - second, 0.0) for second in range(20, 31)]
    assert observed(MINUTES_10, *falling_behind).horizon_s is not None
    assert observed(MINUTES_10, *falling_behind, *catching_up).horizon_s is None


def test_a_warning_comes_once_a_crossing() -> None:
    horizon, warnings, age_s = LossHorizon(MINUTES_10), [], 500.0
    for now_s in range(350):
        horizon.observe(now_s, age_s, 0)
        if horizon.crosses():
            warnings.append(age_s)
        age_s += -2 if 80 <= now_s < 180 else 1
    assert warnings == [540, 540], "a tenth of the retention before the loss, and again after it was far away"


def test_a_horizon_that_trembles_at_the_threshold_warns_once() -> None:
    horizon, warnings = LossHorizon(MINUTES_10), 0
    for now_s in range(60):
        horizon.observe(now_s, 530 + now_s / 8 + (now_s % 2), 0)
        warnings += horizon.crosses()
    assert warnings <= 1


@pytest.mark.parametrize(
    ("retention", "warning_s"),
    [
        (Retention(time_s=600), 60),
        (Retention(time_s=10), 5),
        (Retention(time_s=7 * 86_400), 600),
        (Retention(size_bytes=1), 60),
    ],
)
def test_how_long_before_the_loss_the_warning_comes(retention: Retention, warning_s: float) -> None:
    assert retention.warning_s == warning_s


def read(camera: str, captured_at_s: float, partition: int = 3, replay: int = 0) -> Frame:
    frame = polled(camera, 0, captured_at_us=round(captured_at_s * 1e6), replay=replay).frame
    frame.partition = partition
    frame.data = b"x" * 1000
    return frame


def watched(caplog: pytest.LogCaptureFixture, cameras: list[str], seconds: int = 60) -> tuple[UnreadFrames, list[str]]:
    """A worker that stands at frames captured at 1000 s, and looks once a second from 1500 s on."""
    unread = UnreadFrames()
    unread.expect(MINUTES_10)
    unread.read([read(camera, 1000) for camera in cameras])
    with caplog.at_level(logging.WARNING):
        for second in range(seconds):
            unread.look(second, (1500 + second) * 1_000_000, {3: (10, 5000 + second)})
    return unread, [record.getMessage() for record in caplog.records]


def test_the_warning_names_the_camera_the_time_and_what_to_do(caplog: pytest.LogCaptureFixture) -> None:
    _, warnings = watched(caplog, ["gate"])
    (warning,) = warnings
    assert warning == (
        "camera gate loses frames in 60 s: the group is 540 s behind in partition 3 and falls further; "
        "add workers (--workers) or shed (--policy freshest)"
    )


def test_of_many_cameras_the_warning_names_some(caplog: pytest.LogCaptureFixture) -> None:
    _, warnings = watched(caplog, ["a", "b", "c", "d", "e"])
    assert len(warnings) == 1
    assert warnings[0].startswith("cameras a, b, c and 2 more lose frames in 60 s: ")


def test_lag_and_horizon_are_known_for_the_partitions_that_are_held(caplog: pytest.LogCaptureFixture) -> None:
    unread, _ = watched(caplog, ["gate"], seconds=10)
    looked = unread.look(10, 1510 * 1_000_000, {3: (10, 5010), 4: (7, 7), 5: (None, None)})
    assert (looked[3].lag, looked[3].loss_horizon_s) == (5000, 90.0)
    assert (looked[4].lag, looked[4].loss_horizon_s) == (0, None)
    assert (looked[5].lag, looked[5].loss_horizon_s) == (None, None)
    assert unread.look(11, 1511 * 1_000_000, {}) == {}
    assert unread.look(12, 1512 * 1_000_000, {3: (10, 5010)})[3].loss_horizon_s is None, "a partition that comes back"


def test_a_partition_that_is_read_up_is_not_behind(caplog: pytest.LogCaptureFixture) -> None:
    unread, _ = watched(caplog, ["gate"], seconds=0)
    for second in range(20):
        looked = unread.look(second, (1500 + second) * 1_000_000, {3: (10, 10)})
    assert looked[3].loss_horizon_s is None


def test_replayed_frames_and_a_clock_that_is_behind_say_nothing_of_the_age(caplog: pytest.LogCaptureFixture) -> None:
    unread, _ = watched(caplog, ["gate"], seconds=0)
    for second in range(20):
        unread.read([read("gate", 1500 + second), read("slow-clock", 10), read("replayed", 20, replay=1)])
        looked = unread.look(second, (1501 + second) * 1_000_000, {3: (10, 5000)})
    assert looked[3].loss_horizon_s is None


def test_the_first_frames_of_a_partition_are_told() -> None:
    unread = UnreadFrames()
    first, second = read("a", 1), read("a", 2)
    other = read("b", 1, partition=4)
    assert unread.read([first, second, other]) == [first, other]
    assert unread.read([second]) == []
