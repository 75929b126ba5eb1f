"""Frames on the wire, above all those of somebody else's producer: each header falls back by itself."""

import pytest

from messaging.frame import Frame, frame_id, read_frame, write_frame
from messaging.stand_in import UNREAD_HEADER, UnreadHeaders
from messaging.timestamps import format_us, now_us
from messaging.trace_context import is_traceparent
from tests.fakes.records import TIME_US, TRACEPARENT, record, record_of

OURS = {
    "ce_specversion": b"1.0",
    "ce_id": b"line-1/s1/7",
    "ce_source": b"/cameras/line-1",
    "ce_type": b"streamer.frame.v1",
    "ce_subject": b"line-1",
    "ce_time": b"2026-11-21T07:59:59.123456Z",
    "ce_sequence": b"7",
    "content-type": b"image/jpeg",
    "traceparent": TRACEPARENT.encode(),
}
CAPTURED_US = TIME_US - 1_000_000 + 123_456


def sent(**changes: object) -> Frame:
    fields = {
        "camera": "line-1",
        "session": "s1",
        "sequence": 7,
        "frame_id": frame_id("line-1", "s1", 7),
        "captured_at_us": CAPTURED_US,
        "data": b"bytes",
        "content_type": "image/jpeg",
        "traceparent": TRACEPARENT,
    }
    return Frame(**fields | changes)  # type: ignore[arg-type]


def read(**changes: bytes | None) -> Frame:
    """Read a frame of ours with some headers (underscores for dashes) set to other values."""
    headers: dict[str, bytes | None] = dict(OURS)
    headers |= {name.replace("content_type", "content-type"): value for name, value in changes.items()}
    return read_frame(record(headers.items(), key=b"the-key"))


def read_without(name: str) -> Frame:
    return read_frame(record([(key, value) for key, value in OURS.items() if key != name], key=b"the-key"))


def test_a_camera_writes_the_headers_of_the_contract() -> None:
    key, value, headers, timestamp_ms = write_frame(sent())
    assert dict(headers) == OURS
    assert len(headers) == len(OURS)
    assert (key, value, timestamp_ms) == (b"line-1", b"bytes", CAPTURED_US // 1000)


def test_truth_and_tracestate_are_written_only_where_there_are_any() -> None:
    headers = dict(write_frame(sent(truth="scratch", tracestate="a=b")).headers)
    assert headers["ce_truth"] == b"scratch"
    assert headers["tracestate"] == b"a=b"
    assert len(write_frame(sent(truth="", tracestate="")).headers) == len(OURS)


def test_a_frame_of_ours_comes_back() -> None:
    frame = read()
    assert (frame.camera, frame.session, frame.sequence, frame.frame_id) == ("line-1", "s1", 7, "line-1/s1/7")
    assert (frame.captured_at_us, frame.content_type, frame.data) == (CAPTURED_US, "image/jpeg", b"bytes")
    assert (frame.traceparent, frame.has_remote_context) == (TRACEPARENT, True)
    assert (frame.truth, frame.replay_for, frame.replay, frame.tracestate) == (None, None, 0, None)
    assert (frame.topic, frame.partition, frame.offset) == ("frames", 3, 1042)
    assert frame.headers == tuple(OURS.items())


def test_a_bare_record_is_a_frame() -> None:
    frame = read_frame(record())
    assert (frame.camera, frame.sequence, frame.frame_id) == ("line-1", 1042, "line-1/frames-3/1042")
    assert (frame.session, frame.captured_at_us, frame.content_type) == (None, TIME_US, "")
    assert is_traceparent(frame.traceparent)
    assert not frame.has_remote_context


@pytest.mark.parametrize("bad", [None, b"", b"\xff\xfe"], ids=["null", "empty", "no UTF-8"])
def test_the_camera_falls_back_to_the_key_alone(bad: bytes | None) -> None:
    frame = read(ce_subject=bad)
    assert frame.camera == "the-key"
    # All else is as it came; the session is told by the camera's name in the id, which is another.
    assert (frame.frame_id, frame.sequence, frame.captured_at_us) == ("line-1/s1/7", 7, CAPTURED_US)


@pytest.mark.parametrize(
    ("key", "camera"),
    [
        (None, "frames-3"),
        (b"", "frames-3"),
        (b"gate", "gate"),
        (b"\x00\x01\x02\xff", "\x00\x01\x02\\xff"),
        ("größe".encode(), "größe"),
    ],
)
def test_the_key_falls_back_to_topic_and_partition(key: bytes | None, camera: str) -> None:
    frame = read_frame(record(key=key))
    assert frame.camera == camera
    assert frame.frame_id == f"{camera}/frames-3/1042"
    frame.camera.encode()


def test_binary_keys_stay_different_cameras() -> None:
    cameras = {read_frame(record(key=bytes([200 + number]))).camera for number in range(50)}
    assert len(cameras) == 50


@pytest.mark.parametrize("bad", [None, b"", b"\xff"])
def test_the_id_falls_back_to_where_the_frame_stands(bad: bytes | None) -> None:
    assert read(ce_id=bad).frame_id == "line-1/frames-3/1042"
    assert read_without("ce_id").frame_id == "line-1/frames-3/1042"


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b"\xff",
        b"yesterday",
        b"2026-11-21",
        b"2026-11-21T08:00:00",
        b"2026-13-41T08:00:00Z",
        b"2016-12-31T23:59:60Z",
        "２０２６-11-21T08:00:00Z".encode(),
        # Nothing could write these as a time again.
        b"0001-01-01T00:00:00+14:00",
        b"9999-12-31T23:59:59.9-14:00",
    ],
)
def test_the_capture_time_falls_back_to_the_records(bad: bytes | None) -> None:
    frame = read(ce_time=bad)
    assert frame.captured_at_us == TIME_US
    assert (frame.camera, frame.sequence) == ("line-1", 7)


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        (b"2026-11-21T08:00:00Z", TIME_US),
        (b"2026-11-21T08:00:00.5Z", TIME_US + 500_000),
        (b"2026-11-21T08:00:00.123456789Z", TIME_US + 123_456),
        (b"2026-11-21T09:30:00+01:30", TIME_US),
        (b"2026-11-21t08:00:00z", TIME_US),
        (b"1969-12-31T23:59:59.999999Z", -1),
    ],
)
def test_capture_times_that_can_be_read(text: bytes, time_us: int) -> None:
    assert read(ce_time=text).captured_at_us == time_us


@pytest.mark.parametrize("timestamp_ms", [None, -1, 253_402_300_800_000, 2**62], ids=str)
def test_a_record_without_a_usable_time_was_captured_now(timestamp_ms: int | None) -> None:
    before_us = now_us()
    frame = read_frame(record(timestamp=timestamp_ms))
    assert before_us <= frame.captured_at_us <= now_us()


@pytest.mark.parametrize("timestamp_ms", [0, 253_402_300_799_999, TIME_US // 1000])
def test_whatever_time_is_read_can_be_written(timestamp_ms: int) -> None:
    assert format_us(read_frame(record(timestamp=timestamp_ms)).captured_at_us)


@pytest.mark.parametrize(
    "bad",
    [None, b"", b"\xff", b"-1", b"+1", b"1.0", b"0x10", b" 7", b"7\n", b"1_000", "٧".encode(), b"9" * 19, b"9" * 5000],
)
def test_the_sequence_falls_back_to_the_offset(bad: bytes | None) -> None:
    frame = read(ce_sequence=bad)
    assert (frame.sequence, frame.session) == (1042, None)
    assert (frame.camera, frame.frame_id, frame.captured_at_us) == ("line-1", "line-1/s1/7", CAPTURED_US)


def test_the_largest_sequence() -> None:
    assert read(ce_sequence=b"9" * 18).sequence == 10**18 - 1


@pytest.mark.parametrize(
    ("identity", "session"),
    [
        (b"line-1/s1/7", "s1"),
        (b"line-1/a/b/7", "a/b"),
        (b"line-1//7", None),
        (b"line-1/7", None),
        (b"line-1/s1/8", None),
        (b"gate/s1/7", None),
        (b"0c7e", None),
    ],
)
def test_the_session_is_read_from_ids_of_our_form_alone(identity: bytes, session: str | None) -> None:
    frame = read(ce_id=identity)
    assert (frame.session, frame.frame_id) == (session, identity.decode())


def test_a_camera_with_a_slash_in_its_name_keeps_its_session() -> None:
    frame = read(ce_subject=b"hall/2", ce_id=b"hall/2/s1/7")
    assert (frame.camera, frame.session) == ("hall/2", "s1")


@pytest.mark.parametrize(
    "bad",
    [
        None,
        b"",
        b"\xff",
        b"00-abc",
        TRACEPARENT.upper().encode(),
        b"ff" + TRACEPARENT[2:].encode(),
        b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
    ],
)
def test_without_a_valid_trace_context_a_trace_begins(bad: bytes | None) -> None:
    frame = read(traceparent=bad, tracestate=b"a=b")
    assert is_traceparent(frame.traceparent)
    assert frame.traceparent.endswith("-00")
    assert not frame.has_remote_context
    assert frame.tracestate is None  # it belongs to the context that could not be read
    assert read(traceparent=bad).traceparent != frame.traceparent


def test_tracestate_comes_with_its_trace_context() -> None:
    assert read(tracestate=b"a=b,c=d").tracestate == "a=b,c=d"


@pytest.mark.parametrize("name", ["ce_truth", "ce_replayfor"])
@pytest.mark.parametrize("bad", [None, b"", b"\xff"])
def test_what_is_optional_is_none_where_it_cannot_be_read(name: str, bad: bytes | None) -> None:
    # An empty group would be nobody's: every group would pass over the frame, and it would have no outcome.
    frame = read(**{name: bad})
    assert (frame.truth, frame.replay_for) == (None, None)


def test_a_replayed_frame() -> None:
    frame = read(ce_replayfor=b"line", ce_replay=b"2", ce_truth="für".encode())
    assert (frame.replay_for, frame.replay, frame.truth) == ("line", 2, "für")


@pytest.mark.parametrize("bad", [None, b"", b"\xff", b"-1", b"x", "²".encode(), b"9" * 9, b"9" * 5000])
def test_a_count_of_replays_that_cannot_be_read_is_none(bad: bytes | None) -> None:
    assert read(ce_replay=bad).replay == 0


@pytest.mark.parametrize("bad", [None, b"", b"\xff"])
def test_the_content_type_is_a_hint(bad: bytes | None) -> None:
    assert read(content_type=bad).content_type == ""


def test_of_a_repeated_header_the_last_counts() -> None:
    frame = read_frame(record([("ce_subject", b"first"), *OURS.items(), ("ce_subject", b"last")]))
    assert frame.camera == "last"
    assert [value for name, value in frame.headers if name == "ce_subject"] == [b"first", b"line-1", b"last"]


@pytest.mark.parametrize("bad", [None, b"\xff"])
def test_a_repeated_header_that_cannot_be_read_falls_back(bad: bytes | None) -> None:
    assert read_frame(record([*OURS.items(), ("ce_subject", bad)], key=b"the-key")).camera == "the-key"


def test_a_tombstone_is_a_frame_without_bytes() -> None:
    frame = read_frame(record(OURS.items(), value=None))
    assert (frame.data, frame.camera) == (b"", "line-1")


def test_the_names_of_headers_are_told_apart_by_case() -> None:
    assert read_frame(record([("CE_SUBJECT", b"x")], key=b"k")).camera == "k"


def test_a_frame_that_is_written_can_be_read() -> None:
    frame = read_frame(record_of(write_frame(sent(truth="ok", tracestate="a=b"))))
    assert frame.truth == "ok"
    assert frame.tracestate == "a=b"
    assert frame.captured_at_us == CAPTURED_US


def test_a_stand_in_is_told_by_its_type_and_not_by_a_header_that_anybody_may_send() -> None:
    stand_in = UnreadHeaders("it is\ndamaged")
    assert read_frame(record()._replace(headers=stand_in, value=None)).unread == "it is damaged"
    assert read_frame(record([(UNREAD_HEADER, b"forged")])).unread is None
    assert read_frame(record(stand_in)).unread is None, "the same headers, as another client sends them"
