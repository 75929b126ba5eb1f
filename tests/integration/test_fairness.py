"""One hot camera beside 200 others: how evenly the others are served, judged by what is in the results topic."""

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.consumer import Consumer
from engine.backends.base import BackendOptions
from engine.models.classifier import open_classifier
from messaging.broker import EmbeddedBroker
from messaging.frame import Frame
from messaging.kafka import Kafka, partition_of
from messaging.outcome import Classified, Outcome, Skipped
from messaging.status import WorkerStatus, read_status
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.compose import consumer_of
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, sums_of_channels
from tests.fakes.waiting import wait_until
from tests.integration.stage import Stage, camera_frames, jpeg, running

pytestmark = pytest.mark.broker

_HOT = "hot"
_COLD = 200


def weighing(picture: bytes, size_bytes: int) -> bytes:
    """Return a JPEG that is so many bytes longer, by a comment in it."""
    return picture[:2] + b"\xff\xfe" + (size_bytes + 2).to_bytes(2, "big") + bytes(size_bytes) + picture[2:]


#: A thumbnail, so that one fetch (1 MiB a partition) brings 500 frames: seven of each camera in it.
_PICTURE = weighing(jpeg(1, side_px=8), 1500)
_DEADLINE_S = 90.0

MakeStage = Callable[[int], Stage]


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
def make_stage(broker: EmbeddedBroker) -> MakeStage:
    """Make topics with so many partitions of frames; results have one, and so one order."""

    def make(partitions: int) -> Stage:
        mark = uuid.uuid4().hex[:8]
        topics = TopicNames(*(f"{name}-{mark}" for name in ("frames", "results", "dead-letters", "status")))
        cluster = Kafka(broker.bootstrap_servers)
        aside = TopicNames(f"unused-{mark}", topics.results, topics.dead_letters, topics.status)
        create_topics(cluster, TopicPlan(aside, partitions=1))
        create_topics(cluster, TopicPlan(topics, partitions=partitions))
        return Stage(cluster, topics)

    return make


def cameras(count: int, wanted: Sequence[int], partitions: int) -> list[str]:
    """Names of cameras that lie in the wanted partitions, evenly and in turn."""
    by_partition: dict[int, list[str]] = {number: [] for number in wanted}
    for number in range(100_000):
        name = f"camera-{number}"
        by_partition.get(partition_of(name.encode(), partitions), []).append(name)
    return list(islice(chain.from_iterable(zip(*by_partition.values(), strict=False)), count))


def rounds(cold: list[str], count: int, hot_frames: int) -> list[Frame]:
    """Frames as they come from cameras of one pace, one of each at a time, each time after many of the hot one."""
    hot = iter(camera_frames(_HOT, count * hot_frames, data=_PICTURE))
    by_camera = [camera_frames(camera, count, data=_PICTURE) for camera in cold]
    return [
        frame
        for number in range(count)
        for frame in [*islice(hot, hot_frames), *(frames[number] for frames in by_camera)]
    ]


class Device:
    """A device that takes up a batch only when it may: slow by what the consumer has done, not by the clock.

    Args:
        may_begin: Told the consumer and the batch's number.
    """

    def __init__(self, may_begin: Callable[[Consumer, int], bool]) -> None:
        self._may_begin = may_begin
        self._consumer: Consumer | None = None
        self.begun = 0

    def answer(self, rows: NDArray[np.generic], number: int) -> NDArray[np.generic]:
        if (consumer := self._consumer) is not None:
            wait_until(lambda: self._may_begin(consumer, self.begun), "the device may go on", _DEADLINE_S)
            self.begun += 1
        return sums_of_channels(rows, number)

    @contextmanager
    def at_work(self, stage: Stage, tmp_path: Path, **changes: object) -> Iterator[Consumer]:
        """Run a consumer on it, with one batch at the device and one on its way to it."""
        backend = ScriptedBackend(Script(answer=self.answer))
        classifier = open_classifier(str(save_scripted_model(tmp_path / "scripted")), backend, BackendOptions())
        self._consumer = consumer = consumer_of(stage.settings(decode_threads=1, **changes), classifier)
        try:
            with running(consumer):
                yield consumer
        finally:
            backend.close()


def index_among(results: list[Outcome], cold: list[str], when: int) -> float:
    """Return how evenly the cold cameras had been served when they had so many results each, on average."""
    mine = [result.camera for result in results if result.camera != _HOT]
    served = Counter(mine[: when * len(cold)])
    return jain(served[camera] for camera in cold)


def test_every_frame_with_the_hot_camera_in_a_partition_of_its_own(make_stage: MakeStage, tmp_path: Path) -> None:
    stage = make_stage(4)
    own = partition_of(_HOT.encode(), 4)
    cold = cameras(_COLD, sorted({*range(4)} - {own}), 4)
    stage.feed(rounds(cold, 16, 200))
    # Slower than the poll loop: there is a backlog for as long as it is judged.
    device = Device(lambda consumer, number: number >= 400 or len(consumer._in_flight) >= 224)
    with device.at_work(stage, tmp_path) as consumer:
        wait_until(lambda: consumer.counts.total == 32 * _COLD, "every frame has its outcome", _DEADLINE_S)
    results = stage.results()
    assert index_among(results, cold, 10) >= 0.95
    assert Counter(result.camera for result in results) == dict.fromkeys(cold, 16) | {_HOT: 16 * _COLD}


def test_every_frame_with_room_for_the_whole_backlog(make_stage: MakeStage, tmp_path: Path) -> None:
    """Results leave in each partition's order, so the cameras behind the hot one in its partition wait for it."""
    partitions, sharing = 32, _COLD // 32
    stage = make_stage(partitions)
    own = partition_of(_HOT.encode(), partitions)
    others = sorted({*range(partitions)} - {own})
    cold = cameras(sharing, [own], partitions) + cameras(_COLD - sharing, others, partitions)
    frames = camera_frames(_HOT, 1200, data=_PICTURE) + rounds(cold, 6, 0)
    stage.feed(frames)
    device = Device(lambda consumer, number: number > 0 or len(consumer._in_flight) == len(frames))
    with device.at_work(stage, tmp_path, max_in_flight=6000) as consumer:
        wait_until(lambda: consumer.counts.total == len(frames), "every frame has its outcome", _DEADLINE_S)
    results = stage.results()
    assert index_among(results, cold, 4) >= 0.95
    assert Counter(result.camera for result in results) == dict.fromkeys(cold, 6) | {_HOT: 1200}


def test_freshest(make_stage: MakeStage, tmp_path: Path) -> None:
    """Every camera has a newer frame before the device is through with a part of them, always in the same order."""
    stage = make_stage(1)
    cold = [f"camera-{number}" for number in range(_COLD)]
    by_round = [rounds(cold, 1, 20) for _ in range(6)]
    total = sum(map(len, by_round))
    fed = 0
    allowed = Counter[str]()
    device = Device(lambda _, number: number < allowed["batches"])
    with device.at_work(stage, tmp_path, policy="freshest", batch_size=32, max_in_flight=6000) as consumer:
        for frames in by_round:
            stage.feed(frames)
            fed += len(frames)
            wait_until(partial(has_polled, stage, fed), "the round is polled")
            allowed["batches"] += 4
            wait_until(lambda: device.begun == allowed["batches"], "the device is through with its batches")
        allowed["batches"] += total
        wait_until(lambda: consumer.counts.total == total, "every frame has its outcome", _DEADLINE_S)
    results = stage.results()
    served = Counter(result.camera for result in results if isinstance(result, Classified))
    assert jain(served[camera] for camera in cold) >= 0.95
    assert Counter(result.camera for result in results) == dict.fromkeys(cold, 6) | {_HOT: 120}
    skipped = [result for result in results if isinstance(result, Skipped)]
    assert {result.reason for result in skipped} == {"superseded"}
    assert consumer.counts.frames == {"classified": served.total(), "skipped": len(skipped)}
    assert served.total() + len(skipped) == total


def has_polled(stage: Stage, count: int) -> bool:
    """Tell whether the worker has polled so many frames, as it says itself."""
    reports = [read_status(record.value) for record in stage.records(stage.topics.status)]
    positions = [each.partitions for each in reports if isinstance(each, WorkerStatus)]
    return bool(positions) and sum(partition.position or 0 for partition in positions[-1]) == count
