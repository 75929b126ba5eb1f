"""A dead letter becomes the frame that it was, for one group."""

from typing import Any

import pytest

from messaging.cloudevents import Message
from messaging.dead_letter import read_dead_letter, write_dead_letter, write_replay
from messaging.errors import MessageError
from messaging.frame import MAX_REPLAY, Frame, read_frame
from messaging.stand_in import UNREAD_HEADER
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
    ("x-site", b"\xff\x00"),
]


def dead(frame: Frame, *, max_message_bytes: int = 100_000, group: str = "g") -> Message:
    return write_dead_letter(frame, group, "truncated", "it ends", max_message_bytes=max_message_bytes)


def letter_of(frame: Frame, **changes: Any) -> Any:
    return record_of(dead(frame, **changes), topic="dead", partition=0, offset=17, timestamp=TIME_US // 1000 + 5000)


def test_the_frames_own_headers_come_back_with_who_it_is_for() -> None:
    message = write_replay(letter_of(read_frame(record(HEADERS))), 1)
    assert dict(message.headers) == dict(HEADERS) | {"ce_replayfor": b"g", "ce_replay": b"1"}
    assert (message.key, message.value) == (b"line-1", b"bytes")


def test_its_time_in_the_log_is_now() -> None:
    assert write_replay(letter_of(read_frame(record(HEADERS))), 1).timestamp_ms is None


def test_nothing_of_the_dead_letter_stays() -> None:
    names = [name for name, _ in write_replay(letter_of(read_frame(record(HEADERS))), 1).headers]
    about_it = {"group", "reason", "error", "original-topic", "original-partition", "original-offset"}
    assert not about_it & set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("key", [b"gate", None, b"\xff\xfe", b"\xff" * 50, b"\xff" * 51, b"\xff" * 200, b"k" * 201])
@pytest.mark.parametrize("topic", ["frames", "t" * 249])
def test_a_bare_frame_comes_back_as_the_same_though_its_offset_is_another(key: bytes | None, topic: str) -> None:
    frame = read_frame(record([], key=key, topic=topic))
    again = read_frame(record_of(write_replay(letter_of(frame), 1), topic=topic, partition=3, offset=9999))
    assert (again.camera, again.sequence, again.frame_id) == (frame.camera, 1042, frame.frame_id)
    assert (again.captured_at_us, again.data) == (TIME_US, b"bytes")
    assert (again.replay_for, again.replay) == ("g", 1)


def test_headers_that_stayed_behind_leave_the_frame_what_it_was() -> None:
    frame = read_frame(record([*HEADERS, ("pad", bytes(60_000))]))
    letter = letter_of(frame)
    assert "pad" not in dict(letter.headers)
    again = read_frame(record_of(write_replay(letter, 1)))
    assert (again.camera, again.session, again.sequence, again.truth) == ("line-1", "s1", 7, "ok")


def test_bytes_that_stayed_behind_are_taken_from_the_original_with_its_headers() -> None:
    original = record([*HEADERS, ("group", b"their own word")], value=b"many more bytes")
    letter = letter_of(read_frame(original), max_message_bytes=3)
    assert not read_dead_letter(letter).has_bytes
    message = write_replay(letter, 2, original)
    assert message.value == b"many more bytes"
    assert dict(message.headers)["group"] == b"their own word"
    assert dict(message.headers)["ce_replayfor"] == b"g"


def test_another_frame_is_not_taken_for_the_original() -> None:
    letter = letter_of(read_frame(record(HEADERS)), max_message_bytes=0)
    other = record([*HEADERS, ("ce_id", b"line-1/s1/8")])
    with pytest.raises(MessageError, match="another frame stands at frames-3 offset 1042"):
        write_replay(letter, 1, other)


def test_a_header_that_was_taken_back_does_not_come_back() -> None:
    frame = read_frame(record([*HEADERS, ("ce_truth", None), ("x-site", None), ("x-site", b"last")]))
    replay = write_replay(letter_of(frame), 1)
    assert read_frame(record_of(replay)).truth is frame.truth is None
    assert [value for name, value in replay.headers if name == "x-site"] == [b"\xff\x00", b"last"]


@pytest.mark.parametrize("max_message_bytes", [100_000, 3], ids=["its own", "the original"])
def test_no_header_says_that_the_frame_could_not_be_read(max_message_bytes: int) -> None:
    original = record([*HEADERS, (UNREAD_HEADER, b"forged")])
    letter = letter_of(read_frame(original), max_message_bytes=max_message_bytes)
    assert UNREAD_HEADER not in dict(letter.headers)
    forged = letter._replace(headers=[*letter.headers, (UNREAD_HEADER, b"forged")])
    replay = write_replay(forged, 1, None if max_message_bytes > 3 else original)
    assert UNREAD_HEADER not in dict(replay.headers)
    assert dict(replay.headers)["x-site"] == b"\xff\x00"


def test_an_empty_frame_has_all_the_bytes_that_there_are() -> None:
    message = write_dead_letter(read_frame(record(HEADERS, value=None)), "g", "empty", "no bytes", max_message_bytes=9)
    assert read_dead_letter(record_of(message)).has_bytes
    assert write_replay(record_of(message), 1).value == b""


def test_a_dead_letter_of_a_replay_says_which_one_it_was_and_can_be_put_back_for_another_group() -> None:
    first = read_frame(record_of(write_replay(letter_of(read_frame(record(HEADERS))), 1)))
    letter = letter_of(first, group="h")
    assert read_dead_letter(letter).replay == 1
    again = read_frame(record_of(write_replay(letter, 2)))
    assert (again.frame_id, again.replay_for, again.replay) == ("line-1/s1/7", "h", 2)


def test_the_number_of_a_replay_stays_one_that_is_believed() -> None:
    for number in (MAX_REPLAY, MAX_REPLAY + 1):
        again = read_frame(record_of(write_replay(letter_of(read_frame(record(HEADERS))), number)))
        assert again.replay == MAX_REPLAY


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group", b""),
        ("group", b"\xff"),
        # It would not be believed, and then the frame would be for everybody.
        ("group", b"g" * 1001),
        ("ce_id", b""),
        ("ce_id", b"i" * 1001),
        ("ce_subject", b"c" * 261),
        ("original-topic", b""),
        ("original-topic", b"t" * 250),
        ("original-partition", b"-1"),
        ("original-offset", b"x"),
    ],
)
def test_what_does_not_say_whose_frame_it_is_cannot_be_put_back(name: str, value: bytes) -> None:
    letter = letter_of(read_frame(record(HEADERS)))
    forged = letter._replace(headers=[*letter.headers, (name, value)])
    assert not read_dead_letter(forged).is_whole
    with pytest.raises(MessageError, match="not a dead letter of streamer"):
        write_replay(forged, 1)
