"""Records of outcomes as pages show them."""

import pytest

from messaging.errors import MessageError
from messaging.outcome import FrameLocation, LatencyParts
from streamer.watch.outcomes import RecentOutcomes, view_dead_letter, view_result
from tests.fakes.records import TIME_US, TRACEPARENT, record
from tests.fakes.watched import dead_letter_record, outcome_view, result_record, shed_record

RESULT = result_record()
HUGE = RESULT._replace(value=RESULT.value.replace(b'"sequence":0', b'"sequence":1' + b"0" * 30))


def test_a_result() -> None:
    view = view_result(result_record(sequence=4, truth="bolt", degraded=True), 7)
    assert view == outcome_view(sequence=4, truth="bolt", is_degraded=True, trace_id=TRACEPARENT[3:35], number=7)


def test_what_a_camera_says_itself_has_no_group_and_no_place() -> None:
    view = view_result(shed_record(sequence=2), 1)
    assert (view.group, view.status, view.reason) == ("", "skipped", "camera-buffer-full")
    assert (view.topic, view.partition, view.offset) == ("", -1, -1)
    assert (view.latency_ms, view.score, view.label) == (None, None, "")


def test_a_dead_letter() -> None:
    view = view_dead_letter(dead_letter_record(sequence=5), 3)
    assert (view.status, view.reason, view.group, view.camera) == ("dead-lettered", "truncated", "g", "line-1")
    assert (view.frame_id, view.sequence, view.captured_at_us) == ("line-1/s/5", 5, TIME_US + 5)
    assert (view.topic, view.partition, view.offset, view.number) == ("frames", 3, 5, 3)
    assert view.trace_id == TRACEPARENT[3:35]


@pytest.mark.parametrize(
    "bad",
    [
        record(value=b"no result"),
        record(value=None),
        result_record(captured_at="yesterday"),
        result_record(camera="c" * 1_000),
        result_record(group="g" * 2_000),
        result_record(source=FrameLocation("t" * 1_000, 0, 0)),
        result_record(label="l" * 2_000_000),
        HUGE,
    ],
    ids=["no json", "empty", "no time", "long camera", "long group", "long topic", "large", "huge sequence"],
)
def test_what_is_no_result_is_refused(bad: object) -> None:
    with pytest.raises(MessageError):
        view_result(bad, 1)


def test_texts_are_cut_and_figures_have_to_be_believable() -> None:
    view = view_result(
        result_record(
            label="l" * 1_000,
            truth="t" * 1_000,
            device="d" * 1_000,
            score=7.0,
            latency_ms=LatencyParts(1e300, 0.0, 0.0, 0.0, 0.0, 0.0, 1e300),
        ),
        1,
    )
    assert [len(text) for text in (view.label, view.truth, view.device)] == [200, 200, 200]
    assert view.score is None
    assert view.latency_ms is None
    assert len(view_result(shed_record(reason="r" * 1_000), 1).reason) == 50


def test_the_newest_come_first_and_only_those_after_a_number() -> None:
    recent = RecentOutcomes(3)
    for number in range(1, 6):
        recent.add(outcome_view(sequence=number, number=number))
    assert [outcome.number for outcome in recent.newest(10)] == [5, 4, 3]
    assert [outcome.number for outcome in recent.newest(2)] == [5, 4]
    assert [outcome.number for outcome in recent.newest(10, after=4)] == [5]
    assert recent.newest(10, after=5) == []


def test_the_outcomes_of_a_frame_are_found_until_they_are_gone() -> None:
    recent = RecentOutcomes(3)
    first, second = (outcome_view(group=group, sequence=1) for group in ("a", "b"))
    for outcome in (first, second, outcome_view(sequence=2)):
        recent.add(outcome)
    assert recent.of_frame((3, 1)) == [first, second]
    recent.add(outcome_view(sequence=3))
    assert recent.of_frame((3, 1)) == [second]
    recent.add(outcome_view(sequence=4))
    assert recent.of_frame((3, 1)) == []
    for sequence in range(100):
        recent.add(outcome_view(sequence=sequence))
    assert len(recent._by_place) == 3
