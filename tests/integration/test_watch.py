"""Following a site on a real broker: what is there, what comes, and what happens to the broker meanwhile."""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import pytest

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.cloudevents import Message
from messaging.dead_letter import write_dead_letter
from messaging.frame import Frame, write_frame
from messaging.kafka import Kafka
from messaging.outcome import FrameLocation, group_source, write_outcome
from messaging.status import write_status
from messaging.timestamps import format_us, now_us
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.watch.follower import Follower, Following
from streamer.watch.options import SiteOptions
from streamer.watch.site import Site
from streamer.watch.views import PictureView, SecondView
from tests.conftest import TopicFactory
from tests.fakes.records import TRACEPARENT
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.fakes.watched import camera_status, classified, worker_status
from tests.integration.stage import Stage, camera_frames

pytestmark = pytest.mark.broker


def publish(cluster: Kafka, messages: Iterable[tuple[str, Message]]) -> list[Any]:
    """Send messages; return where each stands."""
    producer = cluster.producer(linger_ms=5)
    try:
        sent = [
            producer.send(topic, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms)
            for topic, message in messages
        ]
        return [future.get(timeout=DEADLINE_S) for future in sent]
    finally:
        producer.close()


def publish_frames(stage: Stage, frames: list[Frame]) -> None:
    """Send frames, and note in each where it stands."""
    places = publish(stage.cluster, [(stage.topics.frames, write_frame(frame)) for frame in frames])
    for frame, place in zip(frames, places, strict=True):
        frame.topic, frame.partition, frame.offset = place.topic, place.partition, place.offset


def result_of(frame: Frame, label: str) -> Message:
    outcome = classified(
        frame.camera,
        frame.sequence,
        captured_at=format_us(frame.captured_at_us),
        label=label,
        source=FrameLocation(frame.topic, frame.partition, frame.offset),
    )
    return write_outcome(outcome, frame.frame_id, group_source("g"), now_us(), TRACEPARENT)


def groups_of(cluster: Kafka) -> set[str]:
    with closing(cluster.admin()) as admin:
        return {group["group_id"] for group in admin.list_groups()}


def outcomes_of(seconds: Iterable[SecondView]) -> int:
    return sum(sum(second.outcomes.values()) for second in seconds)


def picture_of(site: Site, camera: str) -> PictureView | None:
    return site.pictures({camera: 0}, 0).get(camera)


def test_a_site_is_shown_as_kafka_knows_it(stage: Stage) -> None:
    topics = stage.topics
    groups = groups_of(stage.cluster)
    frames = camera_frames("line-1", 3) + camera_frames("line-2", 3)
    publish_frames(stage, frames)
    publish(
        stage.cluster,
        [
            *((topics.results, result_of(frame, f"label-{frame.sequence}")) for frame in frames[:-1]),
            (topics.dead_letters, write_dead_letter(frames[-1], "g", "truncated", "x", max_message_bytes=10**6)),
            (topics.status, write_status(camera_status(), 1, now_us())),
            (topics.status, write_status(worker_status(), 1, now_us())),
        ],
    )
    with Site(stage.cluster, topics) as site, site.watching():
        wait_until(lambda: site.totals.outcomes == {"classified": 5, "dead-lettered": 1}, "the outcomes")
        wait_until(lambda: len(site.pictures({"line-1": 0, "line-2": 0}, 10**6)) == 2, "the pictures")
        wait_until(lambda: len(site.workers()) == 1, "the worker")
        wait_until(lambda: outcomes_of(site.seconds("g")) == 6, "that the seconds are over")
        cameras = {camera.name: camera for camera in site.cameras()}
        picture = picture_of(site, "line-1")
        assert picture is not None
        assert picture.outcome is not None
        assert (picture.frame_id, picture.data, picture.outcome.label) == (
            frames[2].frame_id,
            frames[2].data,
            "label-2",
        )
        assert picture.number == cameras["line-1"].picture_number
        assert cameras["line-1"].status == camera_status()
        assert cameras["line-2"].status is None
        assert cameras["line-2"].ledgers["g"].dead_lettered == {"truncated": 1}
        assert [letter.frame_id for letter in site.dead_letters(10)] == [frames[-1].frame_id]
        assert site.groups() == ["g"]
        assert site.state.is_connected
        assert site.state.problem == ""
        # What comes later comes, too, and only what is new is asked for.
        numbers, after = {"line-1": picture.number}, site.outcomes(1)[0].number
        later = camera_frames("line-1", 4)[3:]
        publish_frames(stage, later)
        publish(stage.cluster, [(topics.results, result_of(later[0], "later"))])
        wait_until(lambda: [outcome.label for outcome in site.outcomes(10, after)] == ["later"], "the later outcome")
        wait_until(lambda: bool(site.pictures(numbers, 10**6)), "the later picture")
        newest = site.pictures(numbers, 10**6)["line-1"]
        assert newest.outcome is not None
        assert (newest.frame_id, newest.outcome.label) == (later[0].frame_id, "later")
        assert groups_of(stage.cluster) == groups


def test_frames_are_read_only_while_somebody_looks(stage: Stage) -> None:
    frames = camera_frames("line-1", 2)
    publish_frames(stage, frames)
    publish(stage.cluster, [(stage.topics.results, result_of(frames[0], "bolt"))])
    with Site(stage.cluster, stage.topics, SiteOptions(linger_s=0.5)) as site:
        wait_until(lambda: bool(site.outcomes(1)), "the outcome")
        assert picture_of(site, "line-1") is None
        assert not site._reading._sources[0].follower.is_open
        with site.watching():
            wait_until(lambda: picture_of(site, "line-1") is not None, "the picture")
            first = picture_of(site, "line-1")
        wait_until(lambda: picture_of(site, "line-1") is None, "the end of the look")
        wait_until(lambda: not site._reading._sources[0].follower.is_open, "the end of reading")
        with site.watching():
            publish_frames(stage, camera_frames("line-1", 3)[2:])
            wait_until(lambda: picture_of(site, "line-1") is not None, "the next picture")
            again = picture_of(site, "line-1")
        assert first is not None
        assert again is not None
        assert again.number > first.number


def test_topics_that_are_not_there_yet_are_waited_for(broker: EmbeddedBroker) -> None:
    cluster = Kafka(broker.bootstrap_servers)
    topics = TopicNames(*(f"awaited-{name}" for name in ("frames", "results", "dead-letters", "status")))
    with Site(cluster, topics) as site, site.watching():
        wait_until(lambda: "there is no topic" in site.state.problem, "what is wrong")
        assert site.state.is_connected
        assert "\n" not in site.state.problem
        create_topics(cluster, TopicPlan(topics))
        stage = Stage(cluster, topics)
        wait_until(lambda: site.state.problem == "", "the topics")
        frames = camera_frames("line-1", 1)
        publish_frames(stage, frames)
        publish(cluster, [(topics.results, result_of(frames[0], "bolt"))])
        wait_until(lambda: bool(site.outcomes(1)), "the outcome")
        wait_until(lambda: picture_of(site, "line-1") is not None, "the picture")


def test_without_a_broker_pages_are_told_and_closing_is_quick() -> None:
    site = Site(Kafka("127.0.0.1:9"), TopicNames())
    assert "connecting to 127.0.0.1:9" in site.state.problem
    with site:
        wait_until(lambda: "no Kafka broker answers at 127.0.0.1:9" in site.state.problem, "what is wrong")
        assert not site.state.is_connected
        assert site.cameras() == []
    site.close()
    assert not site._thread.is_alive()


@pytest.mark.slow
def test_a_broker_that_goes_away_is_said_and_come_back_it_is_read_on(kafka_tools: None) -> None:
    with EmbeddedBroker(BrokerOptions(is_for_tests=True)) as mine:
        cluster = Kafka(mine.bootstrap_servers)
        create_topics(cluster, TopicPlan(partitions=2))
        topics = TopicNames()
        stage = Stage(cluster, topics)
        frames = camera_frames("line-1", 2)
        publish_frames(stage, frames)
        publish(cluster, [(topics.results, result_of(frames[0], "before"))])
        with Site(cluster, topics) as site, site.watching():
            wait_until(lambda: picture_of(site, "line-1") is not None and bool(site.outcomes(1)), "the first outcome")
            mine.kill_node(1)
            wait_until(lambda: not site.state.is_connected, "that the broker is away")
            assert "no Kafka broker answers" in site.state.problem
            assert len(site.cameras()) == 1
            mine.start_node(1)
            publish(cluster, [(topics.results, result_of(frames[1], "after"))])
            wait_until(lambda: site.state.is_connected and not site.state.problem, "that it is back")
            wait_until(lambda: len(site.outcomes(10)) > 1, "the second outcome")
            assert [outcome.label for outcome in site.outcomes(10)] == ["after", "before"]


def messages(topic: str, count: int) -> list[tuple[str, Message]]:
    return [(topic, Message(b"key", b"%d" % number, [])) for number in range(count)]


def read_all(follower: Follower, now_s: float = 0.0) -> list[bytes]:
    """Read until nothing comes any more."""
    values = []
    while seen := follower.poll(1.0, now_s):
        values += [record.value for record, _ in seen]
    return values


def test_a_topic_that_is_opened_again_is_read_on(broker: EmbeddedBroker, new_topic: TopicFactory) -> None:
    cluster, topic = Kafka(broker.bootstrap_servers), new_topic(partitions=2)
    publish(cluster, messages(topic, 10))
    follower = Follower(cluster, topic, Following(records=3, gather_ms=0))
    with closing(follower):
        assert follower.open(0.0) is True
        assert follower.is_behind
        assert read_all(follower) == [b"7", b"8", b"9"]
        assert not follower.is_behind
        follower.close()
        publish(cluster, messages(topic, 2))
        assert follower.open(0.0) is True
        assert read_all(follower) == [b"0", b"1"]
        assert follower.passed_over == 0


def test_records_that_were_there_before_have_their_own_time(broker: EmbeddedBroker, new_topic: TopicFactory) -> None:
    cluster, topic = Kafka(broker.bootstrap_servers), new_topic()
    publish(cluster, [(topic, Message(b"key", b"old", [], 50_000))])
    with closing(Follower(cluster, topic, Following(gather_ms=0))) as follower:
        follower.open(100.0)
        publish(cluster, [(topic, Message(b"key", b"new", [], 50_000))])
        seen: dict[bytes, float] = {}
        wait_until(lambda: bool(seen.update((r.value, at) for r, at in follower.poll(0.1, 100.0))) or len(seen) == 2)
        assert seen == {b"old": 50.0, b"new": 100.0}


def test_what_comes_faster_than_it_is_read_is_passed_over(broker: EmbeddedBroker, new_topic: TopicFactory) -> None:
    cluster, topic = Kafka(broker.bootstrap_servers), new_topic()
    with closing(Follower(cluster, topic, Following(records=100, behind_s=5.0, gather_ms=0))) as follower:
        follower.open(0.0)
        publish(cluster, messages(topic, 2000))
        assert len(follower.poll(5.0, 0.0)) == 500
        assert len(follower.poll(5.0, 4.0)) == 500
        assert follower.passed_over == 0
        assert follower.is_behind
        assert len(follower.poll(5.0, 6.0)) == 500  # up to 1500, and 2000 were there six seconds ago
        assert follower.passed_over == 400
        assert read_all(follower, 6.0) == [b"%d" % number for number in range(1900, 2000)]
        assert not follower.is_behind
