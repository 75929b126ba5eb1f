"""Frames that nobody can classify: some among many, nothing else any more, too large ones, and no topic for them."""

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import confluent_kafka
import numpy as np
import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from PIL import Image

from config.settings import Settings
from consumers.dead_letter_limits import MIN_FRAMES
from consumers.errors import DeadLetterLimitError, PublishError
from messaging.broker import EmbeddedBroker
from messaging.frame import Frame, write_frame
from messaging.kafka import MAX_MESSAGE_BYTES, Kafka, partition_of
from messaging.outcome import Classified
from messaging.topics import TopicPlan, create_topics
from streamer.audit import audit
from streamer.cli.main import main
from streamer.compose import classifier_of, consumer_of
from tests.fakes.pictures import encoded, png
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.faults.colours import pictures, save_colour_model
from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import Delivery, new_stage
from tests.integration.stage import Stage, camera_frames, consume_all, running

pytestmark = pytest.mark.broker

BOTH = pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
#: A worker starts, reads, and ends by itself; the machine may be busy.
_EXIT_DEADLINE_S = 60.0
PICTURE = next(iter(pictures().values()))


@pytest.fixture
def stage(broker: EmbeddedBroker) -> Stage:
    return new_stage(Kafka(broker.bootstrap_servers))


@pytest.fixture
def settings_of(stage: Stage, tmp_path: Path) -> Callable[..., Settings]:
    model = save_colour_model(tmp_path / "colours.onnx")

    def make(delivery: Delivery, **changes: Any) -> Settings:
        return stage.settings(delivery=delivery, model=str(model), state_directory=tmp_path / "state", **changes)

    return make


def send(stage: Stage, *frames: tuple[Frame, bytes | None]) -> None:
    """Send frames with other bytes than theirs; None is a tombstone."""
    with closing(stage.cluster.producer(linger_ms=5)) as producer:
        for frame, data in frames:
            key, _, headers, timestamp_ms = write_frame(frame)
            producer.send(stage.topics.frames, data, key, headers, timestamp_ms=timestamp_ms)
        producer.flush(DEADLINE_S)


def limit_messages(stage: Stage, topic: str, size_bytes: int) -> None:
    with closing(stage.cluster.admin()) as admin:
        limit = {"max.message.bytes": str(size_bytes)}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=limit)])


# -- 10: poison ------------------------------------------------------------------------------------

POISON: dict[str, tuple[bytes | None, str]] = {
    "empty": (b"", "empty"),
    "tombstone": (None, "empty"),
    "text": (b"this is no picture at all", "not-an-image"),
    "cut": (PICTURE[:-40], "truncated"),
    "bomb": (png(20_000, 20_000, 8, 2), "too-many-pixels"),
    "deep": (encoded(Image.fromarray(np.zeros((16, 16), np.uint16)), "PNG"), "unsupported"),
}
GREY = encoded(Image.new("L", (64, 64), 90), "JPEG")


@pytest.mark.faults(10)
@pytest.mark.faults_short
@BOTH
def test_poison_harms_nobody_and_is_told_once(
    stage: Stage, settings_of: Callable[..., Settings], delivery: Delivery
) -> None:
    plan = FeedPlan(frames=840)
    frames = [plan.frame(number)[0] for number in range(plan.frames)]
    poison = [*POISON, "grey"] * 6  # 5 %, here and there in every camera
    places = {(number * 20) + number % 7: kind for number, kind in enumerate(poison)}
    data = {kind: bad for kind, (bad, _) in POISON.items()} | {"grey": GREY}
    send(
        stage,
        *((frame, data[places[number]] if number in places else frame.data) for number, frame in enumerate(frames)),
    )
    settings = settings_of(delivery)
    consumer = consume_all(settings)

    kinds = {frames[number].frame_id: kind for number, kind in places.items()}
    expected = {frame_id: POISON[kind][1] for frame_id, kind in kinds.items() if kind in POISON}
    letters = stage.dead_letters()
    assert {letter.frame_id: letter.reason for letter in letters} == expected
    assert len(letters) == len(expected)
    for letter in letters:
        assert letter.data == (data[kinds[letter.frame_id]] or b"")
        assert letter.error
    truths = {frame.frame_id: frame.truth for frame in frames if frame.frame_id not in expected}
    seen = Counter(dict(record.headers)["ce_id"].decode() for record in stage.records(stage.topics.results))
    assert seen == dict.fromkeys(truths, 1)
    for result in stage.results():
        assert isinstance(result, Classified)
        if kinds.get(f"{result.camera}/{plan.session}/{result.sequence}") != "grey":
            assert result.label == truths[f"{result.camera}/{plan.session}/{result.sequence}"]
    assert consumer.counts.frames == {"classified": 840 - len(expected), "dead-lettered": len(expected)}
    (report,) = audit(stage.cluster, stage.topics, [settings.group or ""]).groups
    assert (report.missing, report.duplicates, report.in_flight) == (0, 0, 0)


# -- 11: a storm -----------------------------------------------------------------------------------


@pytest.mark.faults(11)
@pytest.mark.faults_short
@BOTH
def test_a_storm_ends_at_its_limit_and_goes_on_from_there(new_scene: SceneFactory, delivery: Delivery) -> None:
    scene = new_scene(delivery)
    stage = scene.stage
    frames = [frame for camera in "abcdefgh" for frame in camera_frames(camera, 50, data=b"no picture")]
    stage.feed(frames)
    for run in (1, 2):
        worker = scene.worker("--dead-letter-run", "100")
        assert worker.wait_exit(_EXIT_DEADLINE_S) == 1
        (line,) = [line for line in worker.lines if "frames in a row were dead letters" in line]
        assert "100 frames in a row were dead letters, most of them not-an-image" in line
        assert "streamer dlq list" in line
        # Exactly those that made it so are written and committed, and nothing is lost in between.
        letters = stage.dead_letters()
        assert len(letters) == run * 100
        assert len({letter.frame_id for letter in letters}) == run * 100
        assert sum(stage.committed(scene.group).values()) == run * 100
    rest = scene.worker("--dead-letter-run", "0", "--dead-letter-share", "0", "--until-idle", "1s")
    assert rest.wait_exit(_EXIT_DEADLINE_S) == 0
    assert sorted(letter.frame_id for letter in stage.dead_letters()) == sorted(frame.frame_id for frame in frames)


@pytest.mark.faults(11)
@pytest.mark.faults_short
@BOTH
def test_a_storm_with_good_frames_among_it_ends_at_the_share(
    stage: Stage, settings_of: Callable[..., Settings], delivery: Delivery
) -> None:
    plan = FeedPlan(frames=600, cameras=1)
    frames = [plan.frame(number)[0] for number in range(plan.frames)]
    send(stage, *((frame, b"no picture" if number % 5 < 3 else frame.data) for number, frame in enumerate(frames)))
    settings = settings_of(delivery)
    with pytest.raises(DeadLetterLimitError, match=r"120 of the last 200 frames were dead letters") as raised:
        consume_all(settings)
    assert (raised.value.exit_code, raised.value.retriable) == (1, False)
    assert len(stage.dead_letters()) == MIN_FRAMES * 3 // 5
    assert len(stage.results()) == MIN_FRAMES * 2 // 5
    assert stage.committed(settings.group or "")[partition_of(b"camera-0", 4)] == MIN_FRAMES


@pytest.mark.faults(11)
@BOTH
def test_nothing_is_committed_while_the_dead_letter_topic_is_gone(
    stage: Stage, settings_of: Callable[..., Settings], delivery: Delivery, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(delivery)
    group = settings.group or ""
    before, after = camera_frames("a", 30, data=PICTURE)[:10], camera_frames("a", 30, data=PICTURE)[10:]
    after[0].data = b"no picture"
    partition = partition_of(b"a", 4)
    classifier = classifier_of(settings)
    try:
        with ExitStack() as stack:
            if delivery == "at-least-once":  # it ends with the refusal; exactly-once tries its transaction again
                stack.enter_context(pytest.raises(PublishError, match="frame a/test/10 "))
            thread = stack.enter_context(running(consumer_of(settings, classifier)))
            stage.feed(before)
            wait_until(lambda: len(stage.results()) == 10, "the first results")
            wait_until(lambda: stage.committed(group).get(partition) == 10, "their commit")
            with closing(stage.cluster.admin()) as admin:
                admin.delete_topics([stage.topics.dead_letters])
                wait_until(lambda: stage.topics.dead_letters not in admin.list_topics(), "the topic is gone")
            stage.feed(after)
            wait_until(lambda: not thread.is_alive() or caplog.text.count("was aborted") >= 2, "sends fail")
            assert stage.committed(group)[partition] == 10
            assert len(stage.results()) == 10
            create_topics(stage.cluster, TopicPlan(stage.topics, partitions=4))
            wait_until(lambda: not thread.is_alive() or stage.committed(group)[partition] == 30, "it goes on")
    finally:
        classifier.backend.close()
    if delivery == "at-least-once":
        consume_all(settings)
    assert [letter.frame_id for letter in stage.dead_letters()] == ["a/test/10"]
    assert sorted(result.sequence for result in stage.results()) == [*range(10), *range(11, 30)]
    assert stage.committed(group)[partition] == 30


# -- 12: too large ---------------------------------------------------------------------------------


@pytest.mark.faults(12)
@pytest.mark.faults_short
def test_a_frame_over_every_limit_of_ours_is_pointed_at_and_the_stream_goes_on(
    stage: Stage, settings_of: Callable[..., Settings], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another producer's frame: larger than our clients send, than one fetch, and than a dead letter can be."""
    limit_messages(stage, stage.topics.frames, 3 * MAX_MESSAGE_BYTES)
    huge = PICTURE + bytes(12_000_000)
    producer = confluent_kafka.Producer(
        {
            "bootstrap.servers": stage.cluster.bootstrap_servers,
            "enable.idempotence": True,
            "message.max.bytes": 3 * MAX_MESSAGE_BYTES,
        }
    )
    for value in (PICTURE, huge, PICTURE):
        producer.produce(stage.topics.frames, key=b"theirs", value=value)
    assert producer.flush(DEADLINE_S) == 0
    settings = settings_of("at-least-once")
    consumer = consume_all(settings)
    assert consumer.counts.frames == {"classified": 2, "dead-lettered": 1}
    (letter,) = stage.dead_letters()
    assert (letter.camera, letter.reason, letter.data) == ("theirs", "too-large", b"")
    assert (letter.original_topic, letter.original_offset) == (stage.topics.frames, 1)
    picture = tmp_path / "huge.jpg"
    assert main(["dlq", "show", *stage.flags(), "0:0", "-o", str(picture)]) == 0
    assert picture.read_bytes() == huge
    # It can be looked at, and not be sent by us.
    assert main(["dlq", "replay", *stage.flags(), "--all", "--yes"]) == 1
    assert f"topic {stage.topics.frames} {MAX_MESSAGE_BYTES}" in capsys.readouterr().err


@pytest.mark.faults(12)
@pytest.mark.faults_short
@BOTH
def test_a_dead_letter_that_its_topic_cannot_take_leaves_behind_what_is_too_much(
    stage: Stage, settings_of: Callable[..., Settings], delivery: Delivery
) -> None:
    limit_messages(stage, stage.topics.dead_letters, 20_000)
    frames = camera_frames("a", 4, data=PICTURE)
    headers = [write_frame(frame).headers for frame in frames]
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for number, value in enumerate((bytes(30_000), b"small", b"small", PICTURE)):
            pad = [("pad", bytes(30_000))] if number == 1 else []
            producer.send(stage.topics.frames, value, b"a", [*headers[number], *pad])
        producer.flush(DEADLINE_S)
    consumer = consume_all(settings_of(delivery))
    assert consumer.counts.frames == {"classified": 1, "dead-lettered": 3}
    letters = stage.records(stage.topics.dead_letters)
    assert [record.value for record in letters] == [b"", b"small", b"small"]
    assert [dict(record.headers)["ce_id"] for record in letters] == [b"a/test/0", b"a/test/1", b"a/test/2"]
    assert all("pad" not in dict(record.headers) for record in letters)
