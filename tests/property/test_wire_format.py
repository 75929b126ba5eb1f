"""What is written can be read, and nothing that anybody sends makes reading fail."""

import contextlib
import unicodedata
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from messaging.cloudevents import Headers
from messaging.dead_letter import REASONS, read_dead_letter, write_dead_letter
from messaging.errors import MessageError
from messaging.frame import Frame, frame_id, read_frame, write_frame
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Outcome,
    Skipped,
    Timed,
    read_outcome,
    write_outcome,
)
from messaging.status import read_status
from messaging.timestamps import format_us, parse_us
from messaging.trace_context import is_traceparent, new_traceparent, span_context
from streamer.terminal import harmless
from tests.fakes.records import record, record_of

# Text that can be sent: all of Unicode but halves of surrogate pairs.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
#: The longest that is read back; a camera's settings allow no longer one.
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200)
SEQUENCES = st.integers(min_value=0, max_value=10**18 - 1)
TIMES_US = st.integers(min_value=-62_135_596_800_000_000, max_value=253_402_300_799_999_999)
TRACE_IDS = st.integers(min_value=1, max_value=2**128 - 1)
SPAN_IDS = st.integers(min_value=1, max_value=2**64 - 1)
FINITE = st.floats(allow_nan=False, allow_infinity=False)

OURS = [
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_subject",
    "ce_time",
    "ce_sequence",
    "ce_truth",
    "ce_replayfor",
    "ce_replay",
    "content-type",
    "traceparent",
    "tracestate",
    "group",
    "reason",
    "error",
    "original-topic",
    "original-partition",
    "original-offset",
]
PLAUSIBLE = st.sampled_from(
    [
        b"",
        b"0",
        b"-1",
        b"9" * 18,
        b"9" * 19,
        b"9" * 5000,
        b"line-1/s/0",
        b"2026-11-21T08:00:00Z",
        b"0001-01-01T00:00:00+14:00",
        b"9999-12-31T23:59:59-14:00",
        b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "٣".encode(),
        b"\xff",
    ]
)
HEADERS = st.lists(
    st.tuples(st.one_of(st.sampled_from(OURS), TEXTS), st.one_of(st.none(), PLAUSIBLE, st.binary())), max_size=20
)
KEYS = st.one_of(st.none(), st.binary())
TIMESTAMPS = st.one_of(st.none(), st.integers(min_value=-(2**63), max_value=2**63 - 1))


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    camera, session, sequence = draw(NAMES), draw(NAMES), draw(SEQUENCES)
    return Frame(
        camera=camera,
        session=session,
        sequence=sequence,
        frame_id=frame_id(camera, session, sequence),
        captured_at_us=draw(TIMES_US),
        data=draw(st.binary()),
        content_type=draw(st.sampled_from(["image/jpeg", "image/png", "image/webp", "image/bmp"])),
        traceparent=f"00-{draw(TRACE_IDS):032x}-{draw(SPAN_IDS):016x}-{draw(st.sampled_from(['00', '01']))}",
        tracestate=draw(st.none() | NAMES),
        truth=draw(st.none() | NAMES),
    )


@given(frame=frames())
def test_a_cameras_frame_comes_back(frame: Frame) -> None:
    again = read_frame(record_of(write_frame(frame), topic="t", partition=5, offset=9))
    for name in ("camera", "session", "sequence", "frame_id", "captured_at_us", "data", "content_type"):
        assert getattr(again, name) == getattr(frame, name), name
    for name in ("traceparent", "tracestate", "truth"):
        assert getattr(again, name) == getattr(frame, name), name
    assert (again.topic, again.partition, again.offset, again.has_remote_context) == ("t", 5, 9, True)


@given(headers=HEADERS, key=KEYS, timestamp=TIMESTAMPS, value=st.none() | st.binary())
@example(headers=[("ce_time", b"9999-12-31T23:59:59-14:00")], key=None, timestamp=2**62, value=None)
def test_any_record_is_a_frame_that_every_outcome_can_be_said_of(
    headers: list[tuple[str, bytes | None]], key: bytes | None, timestamp: int | None, value: bytes | None
) -> None:
    frame = read_frame(record(headers, key=key, timestamp=timestamp, value=value))
    assert frame.camera
    assert frame.frame_id
    assert 0 <= frame.sequence < 10**18
    assert 0 <= frame.replay < 10**9
    assert frame.replay_for != ""
    assert is_traceparent(frame.traceparent)
    assert span_context(frame.traceparent, frame.tracestate).is_valid
    assert parse_us(format_us(frame.captured_at_us)) == frame.captured_at_us

    # What a consumer does with it: a result or a dead letter, both with headers that kafka-python takes.
    letter = write_dead_letter(frame, "g", "unsupported", "why", max_message_bytes=100_000)
    assert_can_be_sent(letter.key, letter.headers)
    assert read_dead_letter(record_of(letter)).original_offset == frame.offset
    skipped = Skipped(
        camera=frame.camera,
        sequence=frame.sequence,
        captured_at=format_us(frame.captured_at_us),
        reason="too-old",
        group="g",
        source=FrameLocation(frame.topic, frame.partition, frame.offset),
    )
    result = write_outcome(skipped, frame.frame_id, b"/groups/g", frame.captured_at_us, frame.traceparent)
    assert_can_be_sent(result.key, result.headers)
    assert read_outcome(result.value) == skipped


def assert_can_be_sent(key: bytes, headers: Headers) -> None:
    assert isinstance(key, bytes)
    assert all(type(name) is str and type(value) is bytes for name, value in headers)
    names = [name for name, _ in headers]
    for name in ("ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "traceparent"):
        assert names.count(name) >= 1
    assert names.count("ce_type") == 1


@given(headers=HEADERS, key=KEYS, error=st.text(), reason=st.sampled_from(REASONS), data=st.binary(max_size=20))
def test_a_dead_letter_says_what_it_was(
    headers: list[tuple[str, bytes | None]], key: bytes | None, error: str, reason: str, data: bytes
) -> None:
    frame = read_frame(record(headers, key=key, value=data))
    letter = read_dead_letter(record_of(write_dead_letter(frame, "g", reason, error, max_message_bytes=100_000)))
    assert (letter.camera, letter.frame_id, letter.group, letter.reason) == (frame.camera, frame.frame_id, "g", reason)
    assert (letter.original_topic, letter.original_partition) == (frame.topic, frame.partition)
    assert letter.original_offset == frame.offset
    assert letter.data == data
    assert len(letter.error.splitlines()) <= 1


@given(headers=HEADERS, key=KEYS, value=st.none() | st.binary())
def test_any_record_can_be_read_as_a_dead_letter(
    headers: list[tuple[str, bytes | None]], key: bytes | None, value: bytes | None
) -> None:
    letter = read_dead_letter(record(headers, key=key, value=value))
    assert letter.original_partition >= -1
    assert letter.original_offset >= -1


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    location = FrameLocation(draw(TEXTS), draw(st.integers(0, 2**31 - 1)), draw(st.integers(0, 2**63 - 1)))
    moment: dict[str, Any] = {
        "camera": draw(TEXTS),
        "sequence": draw(SEQUENCES),
        "captured_at": format_us(draw(TIMES_US)),
    }
    if draw(st.booleans()):
        by_consumer = draw(st.booleans())
        return Skipped(
            **moment,
            reason="too-old",
            group=draw(NAMES) if by_consumer else None,
            source=location if by_consumer else None,
        )
    moment |= {
        "group": draw(TEXTS),
        "model": draw(TEXTS),
        "model_digest": draw(TEXTS),
        "device": draw(TEXTS),
        "backend": draw(TEXTS),
        "simulated": draw(st.booleans()),
        "batch": BatchShape(draw(st.integers(1, 1024)), draw(st.integers(1, 1024))),
        "latency_ms": LatencyParts(*(draw(FINITE) for _ in range(7))),
        "source": location,
        "truth": draw(st.none() | TEXTS),
        "degraded": draw(st.booleans()),
    }
    if draw(st.booleans()):
        return Timed(**moment)
    classes = tuple(ClassScore(draw(TEXTS), draw(FINITE)) for _ in range(draw(st.integers(0, 3))))
    return Classified(**moment, label=draw(TEXTS), score=draw(FINITE), classes=classes)


@given(outcome=outcomes())
def test_an_outcome_comes_back(outcome: Outcome) -> None:
    message = write_outcome(outcome, "id", b"/groups/g", 0, new_traceparent())
    assert read_outcome(message.value) == outcome
    assert message.key.decode() == outcome.camera


@given(value=st.binary() | st.from_regex(rb'\{"(status|kind)":"(skipped|camera)".{0,40}', fullmatch=True))
def test_what_is_no_message_of_ours_is_one_kind_of_error(value: bytes) -> None:
    for read in (read_outcome, read_status):
        with contextlib.suppress(MessageError):
            read(value)


@given(text=st.text(), max_chars=st.integers(min_value=0, max_value=200))
@example(text="\u2028", max_chars=1)
def test_nothing_harmful_is_left(text: str, max_chars: int) -> None:
    shown = harmless(text, max_chars)
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert len(shown.splitlines()) <= 1
    shown.encode()


@given(text=st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=120))
def test_nothing_harmless_is_changed(text: str) -> None:
    assert harmless(text) == text
