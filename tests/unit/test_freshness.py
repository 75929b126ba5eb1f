from collections import Counter

from consumers.batch import PolledFrame
from consumers.dispatcher import camera_of
from consumers.freshness import Freshness
from consumers.ledger import PartitionLedger
from engine.batching import MicroBatcher
from engine.images.header import ImageHeader
from messaging.frame import Frame


def polled(camera: str, sequence: int, *, captured_at_us: int = 0, replay: int = 0) -> PolledFrame:
    frame = Frame(
        camera=camera,
        session="s",
        sequence=sequence,
        frame_id=f"{camera}/s/{sequence}",
        captured_at_us=captured_at_us,
        data=b"",
        content_type="",
        traceparent="",
        replay=replay,
    )
    entry = PartitionLedger[object](0).admit(sequence, 0)
    return PolledFrame(entry, frame, ImageHeader("jpeg", 1, 1, needs_pillow=False), 0, 0.0)  # type: ignore[arg-type]


def test_every_frame_keeps_a_backlog() -> None:
    waiting = [polled("a", number) for number in range(10)]
    assert Freshness("every-frame").superseded(waiting, places=0) == []


def test_freshest_keeps_each_cameras_newest_in_a_backlog() -> None:
    waiting = [polled("a", 0), polled("b", 0), polled("a", 1), polled("a", 2)]
    assert Freshness("freshest").superseded(waiting, places=2) == [waiting[0], waiting[2]]


def test_freshest_without_a_backlog_keeps_all() -> None:
    waiting = [polled("a", 0), polled("a", 1)]
    assert Freshness("freshest").superseded(waiting, places=2) == []


def test_a_replayed_frame_is_neither_superseded_nor_too_old() -> None:
    waiting = [polled("a", 0, replay=1), polled("a", 1)]
    freshness = Freshness("freshest", max_age_us=10)
    assert freshness.superseded(waiting, places=0) == []
    assert not freshness.is_too_old(waiting[0].frame, now_us=10**9)


def test_the_age_limit_counts_from_capture() -> None:
    freshness = Freshness(max_age_us=500)
    assert not freshness.is_too_old(polled("a", 0, captured_at_us=1000).frame, now_us=1500)
    assert freshness.is_too_old(polled("a", 0, captured_at_us=1000).frame, now_us=1501)


def test_cameras_whose_frames_are_superseded_again_and_again_have_their_turns_all_the_same() -> None:
    freshness = Freshness("freshest")
    batcher: MicroBatcher[PolledFrame] = MicroBatcher(3, 1 << 30, camera_of)
    served: Counter[str] = Counter()
    for number in range(70):
        for camera in "abcdefg":  # always in the same order, and so the first ones' newest frames are the oldest
            batcher.add(polled(camera, number), 1, 0.0)
        superseded = {id(frame) for frame in freshness.superseded(batcher.waiting(), places=0)}
        batcher.discard(lambda frame, gone=superseded: id(frame) in gone)  # type: ignore[misc]
        served.update(frame.frame.camera for frame in batcher.take(0.0))
    assert served == dict.fromkeys("abcdefg", 30)
