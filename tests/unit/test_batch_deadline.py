import logging
from dataclasses import replace

import pytest

from consumers.batch import PolledFrame
from consumers.batch_deadline import BatchDeadline
from tests.fakes.polled_frames import polled_frames
from tests.fakes.records import TIME_US

POLLED_AT_S = 1000.0


def frame_of_age(age_s: float) -> PolledFrame:
    (polled,) = polled_frames([1])
    return replace(polled, polled_at_s=POLLED_AT_S, polled_at_us=TIME_US + round(age_s * 1e6))


def test_without_a_budget_a_frame_waits_its_time_from_the_poll_whatever_its_age() -> None:
    deadline = BatchDeadline(0.02)
    deadline.note(5.0)
    assert deadline.due_at_s(frame_of_age(3.0)) == pytest.approx(POLLED_AT_S + 0.02)
    assert deadline.lead_s == 0.0


def test_with_a_budget_the_time_counts_from_capture() -> None:
    deadline = BatchDeadline(0.02, 0.1)
    assert deadline.due_at_s(frame_of_age(0.03)) == pytest.approx(POLLED_AT_S + 0.07)
    assert deadline.due_at_s(frame_of_age(0.3)) == pytest.approx(POLLED_AT_S - 0.2), "it is late already"


def test_a_camera_whose_clock_is_ahead_waits_no_longer_than_the_budget() -> None:
    assert BatchDeadline(0.02, 0.1).due_at_s(frame_of_age(-60.0)) == pytest.approx(POLLED_AT_S + 0.1)


def test_before_anything_was_measured_half_the_budget_is_left_for_the_batch() -> None:
    assert BatchDeadline(0.02, 0.1).lead_s == pytest.approx(0.05)


def test_the_lead_is_what_batches_take_with_room_for_their_deviation() -> None:
    deadline = BatchDeadline(0.02, 0.1)
    deadline.note(0.02)
    assert deadline.lead_s == pytest.approx(0.02 + 4 * 0.01), "one sample says little"
    for _ in range(50):
        deadline.note(0.02)
    assert deadline.lead_s == pytest.approx(0.02, abs=1e-4), "always the same needs no room"
    for took_s in (0.01, 0.03) * 50:
        deadline.note(took_s)
    assert 0.03 < deadline.lead_s < 0.08, "above the longest"


def test_the_lead_follows_a_device_that_becomes_slower_and_faster() -> None:
    deadline = BatchDeadline(0.02, 1.0)
    for took_s, times in ((0.01, 30), (0.2, 30), (0.01, 60)):
        for _ in range(times):
            deadline.note(took_s)
        assert deadline.lead_s == pytest.approx(took_s, rel=0.2)


def test_a_budget_that_cannot_be_kept_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    deadline = BatchDeadline(0.02, 0.1)
    with caplog.at_level(logging.WARNING):
        deadline.note(0.09)
        assert not caplog.records
        for _ in range(20):
            deadline.note(0.3)
    (record,) = caplog.records
    assert "latency budget of 100 ms cannot be kept" in record.getMessage()
