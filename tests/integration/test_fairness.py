"""One hot camera beside 200 others: how evenly the others are served, judged by what is in the results topic."""

import time
import uuid
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.models.classifier import open_classifier
from engine.backends.base import BackendOptions
from messaging.broker import EmbeddedBroker
from messaging.frame import Frame
from messaging.kafka import Kafka, partition_of
from messaging.outcome import Classified, Outcome, Skipped
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.compose import consumer_of
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, sums_of_channels
from tests.fakes.waiting import wait_until
from tests.integration.stage import Stage, camera_frames, jpeg, running

pytestmark = pytest.mark.broker

_HOT = "hot"
_COLD = 200
_PICTURE = jpeg(1)


def slow_sums(images: NDArray[np.generic], number: int) -> NDArray[np.generic]:
    """Answer after 4 ms: slower than frames can be polled, so that there is a backlog."""
    time.sleep(0.004)
    return sums_of_channels(images, number)


def jain(counts: Iterable[float]) -> float:
    """Jain's index of fairness: 1 where all have the same, 1 / n where one of n has everything."""
    values = list(counts)
    squares = sum(value * value for value in values)
    return sum(values) ** 2 / (len(values) * squares) if squares else 0.0


def test_jains_index() -> None:
    assert jain([3, 3, 3]) == 1
    assert jain([5, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 0


@pytest.fixture
def make_stage(broker: EmbeddedBroker):  # type: ignore[no-untyped-def]
    """Make topics; the results' has one partition, so that results have one order."""

    def make(partitions: int) -> Stage:
        mark = uuid.uuid4().hex[:8]
        topics = TopicNames(*(f"{name}-{mark}" for name in ("frames", "results", "dead-letters", "status")))
        cluster = Kafka(broker.bootstrap_servers)
        with_one = TopicNames(f"unused-{mark}", topics.results, topics.dead_letters, topics.status)
        create_topics(cluster, TopicPlan(with_one, partitions=1))
        create_topics(cluster, TopicPlan(topics, partitions=partitions))
        return Stage(cluster, topics)

    return make


def rounds(cameras: list[str], count: int, hot_frames: int) -> list[Frame]:
    """Frames as they come from cameras of the same pace, one of each at a time, among ever so many of a hot one."""
    hot = iter(camera_frames(_HOT, count * hot_frames, data=_PICTURE))
    by_camera = [camera_frames(camera, count, data=_PICTURE) for camera in cameras]
    return [
        frame
        for number in range(count)
        for frame in [*(next(hot) for _ in range(hot_frames)), *(frames[number] for frames in by_camera)]
    ]


def consumed(stage: Stage, tmp_path: Path, total: int, **changes: object) -> list[Outcome]:
    """Consume all frames with a slow device; return the outcomes in the order in which they were published.

    The device begins when as many frames as may be in flight are: the backlog is there from the first batch on.
    """
    gate = Event()
    backend = ScriptedBackend(Script(answer=slow_sums, gates=dict.fromkeys(range(10), gate)))
    gate.set()
    classifier = open_classifier(str(save_scripted_model(tmp_path / "scripted")), backend, BackendOptions())
    gate.clear()
    settings = stage.settings(decode_threads=1, **changes)
    consumer = consumer_of(settings, classifier)
    try:
        with running(consumer):
            crowd = min(total, settings.max_in_flight)
            wait_until(lambda: len(consumer._in_flight) >= crowd, "a backlog")
            gate.set()
            wait_until(lambda: consumer.counts.total == total, "every frame has its outcome", 60.0)
    finally:
        gate.set()
        backend.close()
    return stage.results()


def index_among(results: list[Outcome], cameras: list[str]) -> float:
    """Return how evenly the cameras had been served when half of their frames had their results."""
    mine = [result.camera for result in results if result.camera != _HOT]
    served = Counter(mine[: len(mine) // 2])
    for k in range(1,20):
        sv=Counter(mine[: len(mine) *k// 20]); print(k, round(jain(sv[c] for c in cameras),3), sum(r.camera==_HOT for r in results[:len(results)*k//20]))
    return jain(served[camera] for camera in cameras)


def test_every_frame_with_the_hot_camera_in_a_partition_of_its_own(make_stage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    stage = make_stage(4)
    own = partition_of(_HOT.encode(), 4)
    names = (f"camera-{number}" for number in range(10_000))
    cold = [name for name in names if partition_of(name.encode(), 4) != own][:_COLD]
    stage.feed(rounds(cold, 6, 200))
    results = consumed(stage, tmp_path, 6 * (_COLD + 200))
    assert index_among(results, cold) >= 0.95
    assert Counter(result.camera for result in results) == dict.fromkeys(cold, 6) | {_HOT: 1200}


def test_every_frame_with_room_for_the_whole_backlog(make_stage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    stage = make_stage(32)
    cold = [f"camera-{number}" for number in range(_COLD)]
    frames = camera_frames(_HOT, 1200, data=_PICTURE) + rounds(cold, 6, 0)
    stage.feed(frames)
    results = consumed(stage, tmp_path, len(frames), max_in_flight=4000)
    assert index_among(results, cold) >= 0.95
    last = max(number for number, result in enumerate(results) if result.camera != _HOT)
    assert Counter(result.camera for result in results) == dict.fromkeys(cold, 6) | {_HOT: 1200}
