"""Dead letters: the frame as it came, why it is dead, and where it stands."""

from typing import Any

import pytest

from messaging.cloudevents import Message
from messaging.dead_letter import REASONS, read_dead_letter, write_dead_letter
from messaging.frame import Frame, read_frame
from messaging.kafka import MAX_FRAME_BYTES, MAX_MESSAGE_BYTES
from tests.fakes.records import TIME_US, TRACEPARENT, record, record_of

HEADERS: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("ce_id", b"line-1/s1/7"),
    ("ce_source", b"/cameras/line-1"),
    ("ce_type", b"streamer.frame.v1"),
    ("ce_subject", b"line-1"),
    ("ce_time", b"2026-11-21T08:00:00.000000Z"),
    ("ce_sequence", b"7"),
    ("ce_truth", b"ok"),
    ("content-type", b"image/jpeg"),
    ("traceparent", TRACEPARENT.encode()),
    ("tracestate", b"a=b"),
    ("x-site", b"\xff\x00"),
]


def frame_of(headers: list[tuple[str, bytes | None]] = HEADERS, **changes: Any) -> Frame:
    return read_frame(record(headers, **changes))


def dead(frame: Frame, **changes: Any) -> Message:
    fields: dict[str, Any] = {"group": "g", "reason": "truncated", "error": "it ends at byte 5"}
    return write_dead_letter(frame, **fields | {"max_message_bytes": 100_000} | changes)


def test_the_frame_stays_as_it_is_and_says_why_it_is_dead() -> None:
    message = dead(frame_of())
    assert (message.key, message.value, message.timestamp_ms) == (b"line-1", b"bytes", None)
    assert dict(message.headers) == dict(HEADERS) | {
        "ce_type": b"streamer.dead-letter.v1",
        "group": b"g",
        "reason": b"truncated",
        "error": b"it ends at byte 5",
        "original-topic": b"frames",
        "original-partition": b"3",
        "original-offset": b"1042",
    }


@pytest.mark.parametrize("repeated", ["ce_type", "ce_subject", "ce_id", "group", "error", "traceparent"])
def test_each_header_of_ours_is_there_once(repeated: str) -> None:
    message = dead(frame_of([*HEADERS, (repeated, b"other"), (repeated, None), ("x", b"1"), ("x", b"2")]))
    names = [name for name, _ in message.headers]
    assert names.count(repeated) == 1
    assert [value for name, value in message.headers if name == "x"] == [b"1", b"2"]
    assert dict(message.headers)["ce_type"] == b"streamer.dead-letter.v1"


def test_no_header_is_without_a_value() -> None:
    # kafka-python can read such a header and not write it.
    message = dead(frame_of([*HEADERS, ("empty", None)]))
    assert all(isinstance(value, bytes) for _, value in message.headers)


@pytest.mark.parametrize("source", [None, b"", b"\xff"])
def test_a_frame_without_a_readable_source_gets_one(source: bytes | None) -> None:
    for headers in ([], [("ce_source", source)]):
        message = dead(frame_of(headers))
        assert [value for name, value in message.headers if name == "ce_source"] == [b"/cameras/line-1"]


def test_a_bare_frame_becomes_a_whole_event() -> None:
    headers = dict(dead(frame_of([])).headers)
    assert headers["ce_specversion"] == b"1.0"
    assert headers["ce_id"] == b"line-1/frames-3/1042"
    assert headers["ce_subject"] == b"line-1"
    assert headers["ce_time"] == b"2026-11-21T08:00:00.000000Z"


def test_a_foreign_ce_source_is_kept() -> None:
    assert dict(dead(frame_of([("ce_source", b"urn:gate")])).headers)["ce_source"] == b"urn:gate"


@pytest.mark.parametrize(
    ("limit_bytes", "has_headers", "has_bytes"),
    [(100_000, True, True), (60_000, True, False), (40_000, False, True), (20_000, False, False), (0, False, False)],
)
def test_what_the_topic_cannot_take_stays_behind(limit_bytes: int, has_headers: bool, has_bytes: bool) -> None:
    frame = frame_of([*HEADERS, ("pad", bytes(35_000))], value=bytes(25_000))
    message = dead(frame, max_message_bytes=limit_bytes)
    headers = dict(message.headers)
    assert ("pad" in headers, bool(message.value)) == (has_headers, has_bytes)
    assert (headers["original-offset"], headers["ce_id"], headers["ce_sequence"]) == (b"1042", b"line-1/s1/7", b"7")


def test_a_frame_of_the_largest_size_keeps_its_bytes_whatever_its_headers() -> None:
    for header_bytes in (0, 50_000, 60_000):
        frame = frame_of([*HEADERS, ("pad", bytes(header_bytes))], value=bytes(MAX_FRAME_BYTES))
        assert len(dead(frame, max_message_bytes=MAX_MESSAGE_BYTES).value) == MAX_FRAME_BYTES


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\n\n  "])
def test_an_error_is_one_line(end: str) -> None:
    error = dict(dead(frame_of(), error=f"first{end}second").headers)["error"]
    assert error == b"first second"


def test_an_error_is_cut_and_can_always_be_written() -> None:
    assert len(dict(dead(frame_of(), error="x" * 10_000).headers)["error"]) == 500
    assert dict(dead(frame_of(), error="file \udcff").headers)["error"] == b"file \\udcff"


def test_the_context_of_its_own_span_replaces_the_frames() -> None:
    mine = TRACEPARENT.replace("b7ad6b7169203331", "00f067aa0ba902b7")
    assert dict(dead(frame_of(), traceparent=mine).headers)["traceparent"] == mine.encode()


@pytest.mark.parametrize("timestamp_ms", [2**62, -5])
def test_a_frame_with_an_impossible_time_can_be_dead(timestamp_ms: int) -> None:
    frame = frame_of([("ce_time", b"9999-12-31T23:59:59-14:00")], timestamp=timestamp_ms)
    assert dict(dead(frame).headers)["ce_time"].endswith(b"Z")


@pytest.mark.parametrize("reason", REASONS)
def test_it_can_be_read(reason: str) -> None:
    letter = read_dead_letter(record_of(dead(frame_of(), reason=reason), topic="dead", partition=0, offset=1))
    assert (letter.camera, letter.frame_id, letter.group, letter.reason) == ("line-1", "line-1/s1/7", "g", reason)
    assert (letter.original_topic, letter.original_partition, letter.original_offset) == ("frames", 3, 1042)
    assert (letter.error, letter.data) == ("it ends at byte 5", b"bytes")


def test_it_can_be_put_back_as_the_frame_it_was() -> None:
    again = read_frame(record_of(dead(frame_of())))
    assert (again.camera, again.session, again.sequence, again.frame_id) == ("line-1", "s1", 7, "line-1/s1/7")
    assert (again.captured_at_us, again.truth) == (TIME_US, "ok")


def test_the_reasons_of_the_contract() -> None:
    assert REASONS == (
        "empty",
        "too-large",
        "not-an-image",
        "truncated",
        "too-many-pixels",
        "too-many-scans",
        "unsupported",
        "inference-failed",
    )


@pytest.mark.parametrize("bad", [None, b"", b"\xff", b"-1", "٣".encode(), b"9" * 5000])
def test_what_is_missing_is_empty_or_minus_one(bad: bytes | None) -> None:
    letter = read_dead_letter(record([("original-offset", bad), ("group", None)], value=None))
    assert (letter.original_offset, letter.original_partition) == (-1, -1)
    assert (letter.group, letter.camera, letter.data) == ("", "", b"")


def test_what_anybody_may_write_takes_no_more_than_ours() -> None:
    letter = read_dead_letter(record([("reason", b"r" * 10**6), ("error", b"e" * 10**6)]))
    assert (letter.reason, letter.error) == ("r" * 50, "e" * 500)


def test_the_longest_names_of_ours_are_whole() -> None:
    frame = frame_of([], key=None, topic="t" * 249, partition=2**31 - 1)
    letter = read_dead_letter(record_of(dead(frame)))
    assert letter.camera == "t" * 249 + "-2147483647"
    assert letter.is_whole
