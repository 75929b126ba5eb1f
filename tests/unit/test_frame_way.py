"""What is read of a frame's outcomes, and which of them counts."""

from dataclasses import replace
from itertools import permutations

import msgspec
import pytest

from messaging.errors import MessageError
from messaging.frame import write_frame
from messaging.trace_context import trace_id
from streamer.evidence import FrameWay, RecordPlace, StoredOutcome
from streamer.evidence.reading import FrameReading, read_reading
from streamer.evidence.stored_outcome import read_stored_dead_letter, read_stored_result
from streamer.evidence.way import by_group
from tests.fakes.pictures import encoded, photograph_of
from tests.fakes.records import TIME_US, TRACEPARENT, record, record_of
from tests.fakes.ways import classified, frame, skipped, stored, stored_dead, timed

FRAME = frame()


def way_of(*outcomes: StoredOutcome, readings: tuple[FrameReading, ...] = ()) -> FrameWay:
    return FrameWay(FRAME.frame_id, by_group(outcomes), readings)


def test_a_result_says_who_when_and_where() -> None:
    outcome = stored(FRAME, classified(FRAME), held_ms=5, offset=7)
    assert outcome.place == RecordPlace("results", 0, 7)
    assert outcome.source == RecordPlace("frames", 3, 10)
    assert (outcome.camera, outcome.group, outcome.status, outcome.sequence) == ("a", "g", "classified", 1)
    assert (outcome.captured_at_us, outcome.made_at_us) == (TIME_US, TIME_US + 18_000)
    assert outcome.written_at_us == TIME_US + 23_000
    assert outcome.traceparent == TRACEPARENT
    assert outcome.answer == classified(FRAME)
    own = stored(FRAME, skipped(FRAME, "camera-buffer-full"))
    assert (own.group, own.status, own.reason, own.source) == ("", "skipped", "camera-buffer-full", None)


def test_a_dead_letter_says_why_and_whether_it_has_the_bytes() -> None:
    outcome = stored_dead(replace(FRAME, replay=2))
    assert (outcome.status, outcome.reason, outcome.error) == ("dead-lettered", "truncated", "it is truncated")
    assert (outcome.has_bytes, outcome.replay, outcome.sequence) == (True, 2, 1)
    assert (outcome.captured_at_us, outcome.made_at_us) == (TIME_US, None)
    assert not stored_dead(replace(FRAME, data=b""), reason="empty").has_bytes


@pytest.mark.parametrize("name", ["captured_at", "camera"])
def test_what_is_no_time_is_none(name: str) -> None:
    value = msgspec.json.encode(classified(FRAME, **{name: "yesterday"}))
    headers = [("ce_id", b"a/s/1"), ("ce_time", b"99999"), ("traceparent", b"junk")]
    outcome = read_stored_result(record(headers, value=value, timestamp=2**62))
    assert (outcome.captured_at_us is None) == (name == "captured_at")
    assert (outcome.made_at_us, outcome.written_at_us, outcome.traceparent) == (None, 0, "")


def test_what_is_no_outcome_is_refused() -> None:
    for value in (b"", b"junk", msgspec.json.encode(skipped(FRAME)), b" " * 2_000_000):
        with pytest.raises(MessageError):
            read_stored_result(record([("ce_id", b"a/s/1")], value=value))
    with pytest.raises(MessageError):
        read_stored_dead_letter(record([("ce_id", b"a/s/1")]))


def test_a_result_that_is_too_large_is_none_of_ours() -> None:
    huge = msgspec.json.encode(classified(FRAME, label="x" * 1_100_000))
    with pytest.raises(MessageError, match="too large"):
        read_stored_result(record([("ce_id", b"a/s/1")], value=huge))


def test_the_last_reading_counts_whatever_the_clocks_say() -> None:
    first = stored_dead(FRAME, held_ms=9000)
    again = replace(FRAME, offset=11, replay=1)
    second = stored(again, classified(again), offset=1)
    third = stored(replace(FRAME, offset=12), classified(replace(FRAME, offset=12), label="dent"))
    for order in permutations((first, second, third)):
        assert by_group(order) == {"g": (first, second, third)}


def test_of_one_reading_a_result_comes_after_a_dead_letter_and_repeats_in_the_log_s_order() -> None:
    letter = stored_dead(FRAME, held_ms=9000)
    results = [stored(FRAME, classified(FRAME), offset=offset, held_ms=-offset) for offset in (1, 2)]
    for order in permutations((letter, *results)):
        assert by_group(order) == {"g": (letter, *results)}


def test_where_the_frame_was_in_two_partitions_the_clock_decides() -> None:
    moved = replace(FRAME, partition=4, offset=2)
    late, early = stored(moved, classified(moved), held_ms=50), stored(FRAME, classified(FRAME), held_ms=10)
    for order in permutations((late, early)):
        assert by_group(order) == {"g": (early, late)}


def test_the_shown_outcome_is_the_newest_of_those_with_a_label() -> None:
    old, new = stored(FRAME, classified(FRAME, "old")), stored(FRAME, classified(FRAME, "new"), held_ms=5)
    newest = stored(FRAME, timed(FRAME, "sizing"), held_ms=9)
    own = stored(FRAME, skipped(FRAME, "camera-buffer-full"), held_ms=20)
    way = way_of(new, newest, own, old)
    assert list(way.groups) == ["", "new", "old", "sizing"]
    assert way.shown() == new
    assert way.shown("old") == old
    assert way_of(newest, own).shown() == own
    assert way_of().shown() is None


def test_camera_time_and_trace_come_from_whoever_knows_them() -> None:
    reading = read_reading(record_of(write_frame(FRAME), topic="frames"))
    for way in (way_of(stored(FRAME, timed(FRAME))), way_of(readings=(reading,)), way_of(stored_dead(FRAME))):
        assert (way.camera, way.captured_at_us) == ("a", TIME_US)
        assert way.trace_id == trace_id(TRACEPARENT)
    nobody = FrameWay("a/s/1", {}, (FrameReading(RecordPlace("frames", 0, 0), missing="gone"),))
    assert (nobody.camera, nobody.captured_at_us, nobody.trace_id) == ("", None, "")


def test_a_reading_says_what_the_picture_is() -> None:
    data = encoded(photograph_of(64, 48), "PNG")
    read = read_reading(record_of(write_frame(replace(FRAME, data=data)), topic="frames", offset=5))
    assert read.place == RecordPlace("frames", 3, 5)
    assert read.header is not None
    assert (read.header.format, read.header.width_px, read.header.height_px) == ("png", 64, 48)
    assert (read.size_bytes, read.missing, read.appended_at_us) == (len(data), "", None)
    appended = read_reading(record_of(write_frame(FRAME), timestamp=TIME_US // 1000 + 3, timestamp_type=1))
    assert (appended.header, appended.appended_at_us) == (None, TIME_US + 3000)
    foreign = read_reading(record([], key=b"door", value=b"x"))
    assert (foreign.camera, foreign.traceparent) == ("door", "")
