"""Whatever a frame's producer sent, its replay is the same frame, for one group alone."""

from hypothesis import example, given, settings
from hypothesis import strategies as st

from messaging.dead_letter import read_dead_letter, write_dead_letter, write_replay
from messaging.frame import read_frame
from tests.fakes.records import record, record_of

NAMES = [
    "ce_id",
    "ce_subject",
    "ce_time",
    "ce_sequence",
    "ce_truth",
    "ce_replayfor",
    "ce_replay",
    "group",
    "reason",
    "x",
]
VALUES = st.one_of(
    st.none(),
    st.binary(max_size=20),
    st.text(max_size=20).map(lambda text: text.encode(errors="replace")),
    st.sampled_from([b"0", b"7", b"a/s/7", b"9" * 18, b"9" * 19, b"2026-11-21T08:00:00Z", b"x" * 1001, b"y" * 60_000]),
)
HEADERS = st.lists(st.tuples(st.sampled_from(NAMES), VALUES), max_size=12)
KEYS = st.none() | st.binary(max_size=210)
TOPICS = st.sampled_from(["frames", "t" * 249])
PLACES = st.tuples(st.integers(0, 99), st.integers(0, 10**18 - 1))


@settings(deadline=None)
@given(
    headers=HEADERS,
    key=KEYS,
    names=st.tuples(st.text(max_size=200), st.text(max_size=1000), st.text(max_size=200), st.text(max_size=900)),
    size_bytes=st.integers(0, 100_000),
    limit_bytes=st.integers(12_288, 200_000),
)
@example(
    headers=[],
    key=None,
    names=("🏭" * 200, "🏭" * 1000, "🏭" * 200, "\udcff" * 900),
    size_bytes=2_000,
    limit_bytes=12_288,
)
def test_a_dead_letter_fits_into_its_topic(
    headers: list[tuple[str, bytes | None]],
    key: bytes | None,
    names: tuple[str, str, str, str],
    size_bytes: int,
    limit_bytes: int,
) -> None:
    camera, frame_id, group, error = names
    said = [("ce_subject", camera), ("ce_id", frame_id), ("ce_truth", camera)]
    more = [(name, text.encode(errors="replace")) for name, text in said]
    frame = read_frame(record([*headers, *more], key=key, value=bytes(size_bytes)))
    group = group.encode(errors="replace").decode()
    letter = write_dead_letter(frame, group, "truncated", error, max_message_bytes=limit_bytes)
    taken = sum(len(name.encode()) + len(value) for name, value in letter.headers)
    assert len(letter.key) + len(letter.value) + taken <= limit_bytes


@settings(deadline=None)
@given(
    headers=HEADERS,
    key=KEYS,
    timestamp=st.integers(-1, 2**62),
    topic=TOPICS,
    place=PLACES,
    again_at=st.integers(0, 10**18 - 1),
    max_message_bytes=st.sampled_from([0, 12_288, 20_000, 50_000, 500_000]),
)
@example(
    headers=[("ce_truth", b"old"), ("ce_truth", None)],
    key=None,
    timestamp=0,
    topic="frames",
    place=(0, 0),
    again_at=1,
    max_message_bytes=0,
)
def test_a_replay_is_the_same_frame_for_one_group(
    headers: list[tuple[str, bytes | None]],
    key: bytes | None,
    timestamp: int,
    topic: str,
    place: tuple[int, int],
    again_at: int,
    max_message_bytes: int,
) -> None:
    original = record(headers, key=key, timestamp=timestamp, topic=topic, partition=place[0], offset=place[1])
    frame = read_frame(original)
    message = write_dead_letter(frame, "g", "truncated", "it ends", max_message_bytes=max_message_bytes)
    letter = record_of(message, topic="dead", partition=0, offset=1)
    assert read_dead_letter(letter).is_whole
    replay = write_replay(letter, 3, None if read_dead_letter(letter).has_bytes else original)
    again = read_frame(record_of(replay, topic=topic, partition=place[0], offset=again_at))
    for name in ("camera", "sequence", "frame_id", "data", "truth"):
        assert getattr(again, name) == getattr(frame, name), name
    assert again.captured_at_us == frame.captured_at_us
    assert (again.replay_for, again.replay) == ("g", 3)
    assert all(isinstance(value, bytes) for _, value in replay.headers)
