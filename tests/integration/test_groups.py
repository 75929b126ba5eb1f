"""Several consumers: sharing a group through rebalances, and two groups on one stream."""

from collections import Counter
from contextlib import ExitStack, closing
from threading import Event, Thread
from typing import Self

from consumers.consumer import Consumer
from messaging.frame import Frame, write_frame
from streamer.compose import classifier_of, consumer_of
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, consume_all, running


class Feeder:
    """Publishes frames one after the other until told to stop."""

    def __init__(self, stage: Stage, frames: list[Frame]) -> None:
        self._stage = stage
        self._frames = frames
        self.sent = 0
        self._stop = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(DEADLINE_S)

    def _run(self) -> None:
        producer = self._stage.cluster.producer(linger_ms=0)
        for frame in self._frames:
            key, value, headers, timestamp_ms = write_frame(frame)
            producer.send(self._stage.topics.frames, value, key, headers, timestamp_ms=timestamp_ms)
            self.sent += 1
            if self._stop.wait(0.003):
                break
        producer.flush(DEADLINE_S)
        producer.close()


def test_a_group_that_grows_and_shrinks_loses_nothing_and_keeps_each_cameras_order(stage: Stage) -> None:
    by_camera = [camera_frames(f"camera-{number}", 250) for number in range(8)]
    frames = [camera[sequence] for sequence in range(250) for camera in by_camera]
    settings = stage.settings(group="shared", session_timeout="3s")
    classifier = classifier_of(settings)

    def started(stack: ExitStack) -> Consumer:
        consumer = consumer_of(settings, classifier)
        stack.enter_context(running(consumer))
        return consumer

    with Feeder(stage, frames) as feeder, ExitStack() as first_stack:
        first = started(first_stack)
        wait_until(lambda: first.counts.total > 100, "the first consumer works")
        with ExitStack() as second_stack:
            second = started(second_stack)
            wait_until(lambda: second.counts.total > 100, "the second consumer takes its share")
            before = first.counts.total
            wait_until(lambda: first.counts.total > before + 50, "the first goes on beside it")
        before = first.counts.total
        wait_until(lambda: first.counts.total > before + 100, "the first takes over again")
        feeder._stop.set()
        feeder._thread.join(DEADLINE_S)
    sent = feeder.sent
    consume_all(settings)

    results = stage.results()
    counted = Counter((result.camera, result.sequence) for result in results)
    assert set(counted) == {(frame.camera, frame.sequence) for frame in frames[:sent]}
    assert max(counted.values()) == 1, "a rebalance without a crash repeats nothing"
    for number in range(8):
        sequences = [result.sequence for result in results if result.camera == f"camera-{number}"]
        assert sequences == sorted(sequences)
    assert sum(stage.committed("shared").values()) == sent


def test_two_groups_each_see_every_frame(stage: Stage) -> None:
    stage.feed(camera_frames("a", 30))
    for group in ("one", "two"):
        consume_all(stage.settings(group=group))
    counted = Counter((result.group, result.sequence) for result in stage.results())
    assert counted == {(group, sequence): 1 for group in ("one", "two") for sequence in range(30)}


def test_partitions_that_are_added_to_a_live_topic_are_read(stage: Stage) -> None:
    settings = stage.settings()
    classifier = classifier_of(settings)
    members = [consumer_of(settings, classifier) for _ in range(2)]

    def held() -> list[int]:
        return [len(member._in_flight._ledgers) for member in members]

    with running(members[0]), running(members[1]):
        wait_until(lambda: held() == [2, 2], "both have their share")
        with closing(stage.cluster.admin()) as admin:
            admin.create_partitions({stage.topics.frames: 6})

            def is_told() -> bool:
                return len(admin.describe_topics([stage.topics.frames])[0]["partitions"]) == 6

            wait_until(is_told, "the broker tells of them")  # it answers before its own metadata has them
        for member in members:  # now, and not when kafka-python looks by itself: every five minutes
            member._parts.frames._consumer._cluster.request_update()
        # The leader joins anew, and waits for the other one for longer than a poll.
        wait_until(lambda: held() == [3, 3], "the new partitions")
