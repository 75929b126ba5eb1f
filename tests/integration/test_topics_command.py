"""`streamer topics` and the creation of topics, against a real broker."""

import json
import logging
import threading
import uuid
from collections.abc import Iterator

import pytest
from kafka import KafkaAdminClient

from messaging.broker import EmbeddedBroker
from messaging.cloudevents import Message
from messaging.errors import TopicError
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import MAX_MESSAGE_BYTES, Kafka
from messaging.reader import TopicReader
from messaging.topics import TopicNames, TopicPlan, create_topics, describe_topics
from streamer.cli.main import main
from tests.fakes.records import TRACEPARENT

pytestmark = pytest.mark.broker
MIB = 1024 * 1024


@pytest.fixture
def names() -> TopicNames:
    mark = uuid.uuid4().hex[:8]
    return TopicNames(f"frames-{mark}", f"results-{mark}", f"dead-{mark}", f"status-{mark}")


@pytest.fixture
def cluster(broker: EmbeddedBroker) -> Kafka:
    return Kafka(broker.bootstrap_servers)


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    """The command sets up logs for the whole process."""
    root = logging.getLogger()
    handlers, levels = root.handlers[:], {name: logging.getLogger(name).level for name in ("", "streamer", "kafka")}
    yield
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def flags(cluster: Kafka, names: TopicNames) -> list[str]:
    topics = ("--frames-topic", "--results-topic", "--dead-letter-topic", "--status-topic")
    chosen = [word for flag, name in zip(topics, names.all(), strict=True) for word in (flag, name)]
    return ["--bootstrap-servers", cluster.bootstrap_servers, *chosen]


def test_create_and_describe(cluster: Kafka, names: TopicNames, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "describe", *flags(cluster, names)]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if "missing" in line] == [
        f"{name}: missing (`streamer topics create`)" for name in sorted(names.all())
    ]

    create = ["topics", "create", "--partitions", "3", "--frames-retention", "1m", *flags(cluster, names)]
    assert main(create) == 0
    assert capsys.readouterr().out == "".join(f"{name}: created\n" for name in names.all())
    assert main(create) == 0
    assert capsys.readouterr().out == "".join(f"{name}: was there\n" for name in names.all())

    assert main(["topics", "describe", "--json", *flags(cluster, names)]) == 0
    topics = json.loads(capsys.readouterr().out)
    assert {name: topics[name]["partitions"] for name in names.all()} == dict(
        zip(names.all(), (3, 3, 1, 1), strict=True)
    )
    frames = topics[names.frames]["settings"]
    assert frames["retention.ms"] == "60000"
    assert frames["segment.ms"] == "10000"
    assert frames["segment.bytes"] == str(2048 * MIB // 6)
    assert frames["max.message.bytes"] == str(8 * MIB)
    assert frames["message.timestamp.after.max.ms"] == str(2**63 - 1)
    assert topics[names.status]["settings"]["cleanup.policy"] == "compact"
    assert topics[names.status]["replication"] == 1

    assert main(["topics", "describe", *flags(cluster, names)]) == 0
    out = capsys.readouterr().out
    (row,) = (line for line in out.splitlines() if names.frames in line)
    assert "message.timestamp.after.max.ms=9223372036854775807" in row  # nothing is cut
    assert "segment.bytes=" in row


def test_json_says_what_was_created(cluster: Kafka, names: TopicNames, capsys: pytest.CaptureFixture[str]) -> None:
    for created in (list(names.all()), []):
        assert main(["topics", "create", "--json", *flags(cluster, names)]) == 0
        assert json.loads(capsys.readouterr().out) == {"created": created}


def test_every_setting_is_taken_by_the_broker_as_planned(cluster: Kafka, names: TopicNames) -> None:
    # Retention in bytes as large as somebody with a large disk would have it.
    plan = TopicPlan(names, partitions=1, frames_retention_bytes=1024 * 1024 * MIB)
    create_topics(cluster, plan)
    described = {topic.name: topic.settings for topic in describe_topics(cluster, names)}
    for name, settings in plan.settings().items():
        assert {key: described[name].get(key) for key in settings} == settings


def test_only_what_is_missing_is_created_and_the_rest_stays_as_it_is(cluster: Kafka, names: TopicNames) -> None:
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers) as admin:
        admin.create_topics({names.results: {"num_partitions": 5, "replication_factor": 1}}, wait_for_metadata=True)
    assert create_topics(cluster, TopicPlan(names, partitions=2)) == [names.frames, names.dead_letters, names.status]
    partitions = {topic.name: topic.partitions for topic in describe_topics(cluster, names)}
    assert partitions == dict(zip(names.all(), (2, 5, 1, 1), strict=True))


def test_many_may_create_at_once_and_each_topic_is_made_by_one(cluster: Kafka, names: TopicNames) -> None:
    count = 6
    start = threading.Barrier(count)
    created: list[list[str]] = []
    errors: list[BaseException] = []

    def create() -> None:
        try:
            start.wait(30)
            created.append(create_topics(cluster, TopicPlan(names)))
        except BaseException as exc:  # noqa: BLE001 - told by the test
            errors.append(exc)

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert len(created) == count
    assert sorted(name for names_created in created for name in names_created) == sorted(names.all())


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ({"replication": 3}, "replication factor"),
        ({"partitions": 100_000_000}, "partition"),
    ],
)
def test_a_refused_topic_is_one_line_with_the_reason(
    cluster: Kafka, names: TopicNames, plan: dict[str, int], why: str
) -> None:
    with pytest.raises(TopicError, match=f"topic {names.frames} is missing and cannot be created") as caught:
        create_topics(cluster, TopicPlan(names, **plan))  # type: ignore[arg-type]
    assert why in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_name_that_kafka_does_not_allow(
    cluster: Kafka, names: TopicNames, capsys: pytest.CaptureFixture[str]
) -> None:
    with_dots = TopicNames("..", names.results, names.dead_letters, names.status)
    assert main(["topics", "create", *flags(cluster, with_dots)]) == 1
    err = capsys.readouterr().err
    assert err.startswith("streamer: topic .. is missing and cannot be created")
    assert err.count("\n") == 1


def test_without_a_broker_it_says_so(names: TopicNames, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = Kafka("127.0.0.1:9")  # nobody is there
    assert main(["topics", "describe", *flags(cluster, names)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "streamer: no Kafka broker answers at 127.0.0.1:9: start one with `streamer broker`, "
        "or name yours with --bootstrap-servers\n"
    )


def publish(cluster: Kafka, topic: str, *messages: Message) -> None:
    producer = cluster.producer(linger_ms=0, delivery_timeout_ms=30_000)
    try:
        for key, value, headers, timestamp_ms in messages:
            producer.send(topic, value, key, headers, timestamp_ms=timestamp_ms).get(timeout=30)
    finally:
        producer.close()


def frame(captured_at_us: int, data: bytes) -> Message:
    identity = frame_id("line-1", "s", 0)
    return write_frame(Frame("line-1", "s", 0, identity, captured_at_us, data, "image/jpeg", TRACEPARENT))


def test_the_topics_take_clocks_that_are_ahead_and_large_frames(cluster: Kafka, names: TopicNames) -> None:
    create_topics(cluster, TopicPlan(names, partitions=1))
    year_2100_us = 4_102_444_800_000_000
    large = b"x" * (MAX_MESSAGE_BYTES - 1024)
    publish(cluster, names.frames, frame(year_2100_us, b"early"), frame(0, large))
    with TopicReader(cluster, names.frames, from_beginning=True) as reader:
        records = list(reader.read_to_end(30))
    assert [record.timestamp for record in records] == [year_2100_us // 1000, 0]
    assert [len(record.value) for record in records] == [5, len(large)]
