"""Reading a topic to its end, whatever stands there: transactions that were aborted, markers, gaps."""

import threading
import time
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.errors import BrokerUnavailableError, TopicError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from tests.conftest import TopicFactory
from tests.fakes.waiting import wait_until

pytestmark = pytest.mark.broker
DEADLINE_S = 30.0


@pytest.fixture
def cluster(broker: EmbeddedBroker) -> Kafka:
    return Kafka(broker.bootstrap_servers)


def publish(cluster: Kafka, topic: str, values: list[bytes], partition: int = 0) -> None:
    producer = cluster.producer(linger_ms=0, delivery_timeout_ms=30_000)
    try:
        futures = [producer.send(topic, value, partition=partition) for value in values]
        for future in futures:
            future.get(timeout=DEADLINE_S)
    finally:
        producer.close()


class Transactions:
    """A transactional producer of another program (librdkafka), since ours has none yet."""

    def __init__(self, cluster: Kafka, name: str) -> None:
        from confluent_kafka import Producer

        self._producer = Producer(
            {"bootstrap.servers": cluster.bootstrap_servers, "transactional.id": name, "linger.ms": 0}
        )
        self._producer.init_transactions(DEADLINE_S)

    def write(self, topic: str, values: list[bytes]) -> None:
        self._producer.begin_transaction()
        for value in values:
            self._producer.produce(topic, value, partition=0)
        assert self._producer.flush(DEADLINE_S) == 0

    def commit(self) -> None:
        self._producer.commit_transaction(DEADLINE_S)

    def abort(self) -> None:
        self._producer.abort_transaction(DEADLINE_S)


def values_to_end(reader: TopicReader, timeout_s: float = DEADLINE_S) -> list[bytes]:
    return [record.value for record in reader.read_to_end(timeout_s)]


def test_from_the_beginning_every_record_once_and_in_order(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=3)
    for partition in range(3):
        publish(cluster, topic, [b"%d-%d" % (partition, number) for number in range(700)], partition)
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        records = list(reader.read_to_end(DEADLINE_S))
        assert reader.start_offsets() == {0: 0, 1: 0, 2: 0}
        assert reader.end_offsets() == {0: 700, 1: 700, 2: 700}
        assert values_to_end(reader) == []  # there is nothing new
    for partition in range(3):
        values = [record.value for record in records if record.partition == partition]
        assert values == [b"%d-%d" % (partition, number) for number in range(700)]


def test_from_now_only_what_comes_after_open(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=2)
    publish(cluster, topic, [b"old"])
    with TopicReader(cluster, topic, from_beginning=False) as reader:
        # Published before the first poll: now is when it was opened.
        publish(cluster, topic, [b"new"])
        publish(cluster, topic, [b"other"], partition=1)
        assert sorted(values_to_end(reader)) == [b"new", b"other"]


def test_an_empty_topic_ends_at_once(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=4)
    for from_beginning in (True, False):
        with TopicReader(cluster, topic, from_beginning=from_beginning) as reader:
            assert values_to_end(reader) == []


def test_the_last_record_may_come_by_itself(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic()
    publish(cluster, topic, [b"%d" % number for number in range(501)])  # 500 come at a time
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        assert values_to_end(reader) == [b"%d" % number for number in range(501)]


def test_what_arrives_while_reading_is_left_for_the_next_time(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=2)
    many = [b"%d" % number for number in range(5000)]
    publish(cluster, topic, [b"first"], partition=0)
    publish(cluster, topic, many, partition=1)
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        records = reader.read_to_end(DEADLINE_S)
        values = [next(records).value]
        # Fetched while the other partition is read to its end, ten polls later.
        publish(cluster, topic, [b"late"], partition=0)
        values += [record.value for record in records]
        assert sorted(values) == sorted([b"first", *many])
        assert values_to_end(reader) == [b"late"]


def test_seek(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic()
    publish(cluster, topic, [b"0", b"1", b"2"])
    with TopicReader(cluster, topic, from_beginning=False) as reader:
        reader.seek(0, 1)
        assert values_to_end(reader) == [b"1", b"2"]


def test_a_piece_of_some_partitions_while_the_others_wait(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=3)
    for partition in range(3):
        publish(cluster, topic, [b"%d-%d" % (partition, number) for number in range(900)], partition)
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        # Twice, the second time from further back: what was fetched beyond the end is not taken for it.
        for first, last in ((700, 800), (100, 700)):
            records = list(reader.read_between({0: first, 2: 5}, {0: last, 2: 7}))
            found = {partition: [r.offset for r in records if r.partition == partition] for partition in range(3)}
            assert found == {0: list(range(first, last)), 1: [], 2: [5, 6]}
        assert list(reader.read_between({}, {})) == []
        # The one that waited has lost nothing, and the others go on where the piece ended.
        rest = list(reader.read_to_end(DEADLINE_S))
        assert [record.offset for record in rest if record.partition == 1] == list(range(900))
        assert [record.offset for record in rest if record.partition == 0] == list(range(700, 900))


def test_a_piece_that_is_gone_in_part(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic()
    publish(cluster, topic, [b"%d" % number for number in range(10)])
    with TopicReader(cluster, topic, from_beginning=False) as reader:
        with KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers) as admin:
            admin.delete_records({TopicPartition(topic, 0): 6})
        assert [record.offset for record in reader.read_between({0: 3}, {0: 8})] == [6, 7]
        assert list(reader.read_between({0: 0}, {0: 5})) == []


def test_a_record_by_its_place(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=2)
    publish(cluster, topic, [b"%d" % number for number in range(5)], partition=1)
    transactions = Transactions(cluster, f"test-{topic}")
    transactions.write(topic, [b"aborted"])
    transactions.abort()
    publish(cluster, topic, [b"after"])
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers) as admin:
        admin.delete_records({TopicPartition(topic, 1): 2})
    with TopicReader(cluster, topic, from_beginning=False) as reader:
        for place, value in (((1, 4), b"4"), ((1, 2), b"2"), ((1, 3), b"3"), ((0, 2), b"after")):
            record = reader.record_at(*place)
            assert record is not None
            assert record.value == value
        # Removed, past the end, before the start, in no partition, aborted, and a marker.
        places = ((1, 1), (1, 5), (1, -1), (2, 0), (0, 0), (0, 1))
        assert [reader.record_at(*place) for place in places] == [None] * len(places)


def test_offsets_by_time(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic(partitions=2)
    producer = cluster.producer(linger_ms=0)
    try:
        for second in (100, 200, 300):
            producer.send(topic, b"x", partition=0, timestamp_ms=second * 1000).get(timeout=DEADLINE_S)
    finally:
        producer.close()
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        assert reader.offsets_at(200_000_000) == {0: 1, 1: 0}
        assert reader.offsets_at(301_000_000) == {0: 3, 1: 0}
        assert reader.offsets_at(-5) == {0: 0, 1: 0}
        assert len(values_to_end(reader)) == 3  # it was only asked


@pytest.mark.parametrize("end", ["marker of a commit", "aborted records", "only aborted records"])
def test_the_end_may_be_beyond_the_last_record(cluster: Kafka, new_topic: TopicFactory, end: str) -> None:
    topic = new_topic()
    transactions = Transactions(cluster, f"test-{topic}")
    expected = []
    if end != "only aborted records":
        transactions.write(topic, [b"committed"])
        transactions.commit()
        expected = [b"committed"]
    if end != "marker of a commit":
        transactions.write(topic, [b"aborted"] * 3)
        transactions.abort()
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        assert reader.end_offsets()[0] > len(expected)
        began_s = time.monotonic()
        assert values_to_end(reader) == expected
        assert time.monotonic() - began_s < DEADLINE_S
        assert values_to_end(reader) == []


def test_an_open_transaction_is_not_read(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic()
    publish(cluster, topic, [b"before"])
    transactions = Transactions(cluster, f"test-{topic}")
    transactions.write(topic, [b"open"])
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        assert reader.end_offsets() == {0: 1}
        assert values_to_end(reader) == [b"before"]
        transactions.commit()
        # The broker answers before the marker stands in the log.
        wait_until(lambda: reader.end_offsets() == {0: 3}, "the marker")
        assert values_to_end(reader) == [b"open"]


def test_records_that_were_deleted_are_no_obstacle(cluster: Kafka, new_topic: TopicFactory) -> None:
    topic = new_topic()
    publish(cluster, topic, [b"0", b"1", b"2"])
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        with KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers) as admin:
            admin.delete_records({TopicPartition(topic, 0): 2})
        assert values_to_end(reader) == [b"2"]
        assert reader.start_offsets() == {0: 2}
    with KafkaAdminClient(bootstrap_servers=cluster.bootstrap_servers) as admin:
        admin.delete_records({TopicPartition(topic, 0): 3})
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        assert values_to_end(reader) == []


def test_a_missing_topic_is_one_line_and_is_not_created(cluster: Kafka) -> None:
    for _ in range(2):
        with pytest.raises(TopicError, match="there is no topic nowhere: run `streamer topics create`") as caught:
            TopicReader(cluster, "nowhere", from_beginning=True).open()
        assert "\n" not in str(caught.value)


def test_a_name_that_kafka_does_not_allow(cluster: Kafka) -> None:
    with pytest.raises(TopicError, match="a b"):
        TopicReader(cluster, "a b", from_beginning=True).open()


def test_without_a_broker_there_is_no_reader() -> None:
    reader = TopicReader(Kafka("127.0.0.1:9"), "frames", from_beginning=True)  # nobody is there
    with pytest.raises(BrokerUnavailableError, match=r"127\.0\.0\.1:9"):
        reader.open()
    reader.close()


def test_closing_twice_is_harmless(cluster: Kafka, new_topic: TopicFactory) -> None:
    reader = TopicReader(cluster, new_topic(), from_beginning=True)
    reader.close()
    reader.open()
    reader.close()
    reader.close()


def within(limit_s: float, attempt: Any) -> Any:
    """What an attempt gives or raises, in time."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(attempt())
        except BaseException as exc:  # noqa: BLE001 - told by the test
            outcome.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit_s)
    assert outcome, f"no answer within {limit_s} s"
    return outcome[0]


@pytest.mark.slow
def test_a_broker_that_goes_away_is_an_error_in_time(kafka_tools: None) -> None:
    with EmbeddedBroker(BrokerOptions(is_for_tests=True)) as mine:
        cluster = Kafka(mine.bootstrap_servers)
        with KafkaAdminClient(bootstrap_servers=mine.bootstrap_servers) as admin:
            topics = {name: {"num_partitions": 1, "replication_factor": 1} for name in ("read", "fresh")}
            admin.create_topics(topics, wait_for_metadata=True)
        publish(cluster, "read", [b"1", b"2"])
        reader = TopicReader(cluster, "read", from_beginning=True)
        fresh = TopicReader(cluster, "fresh", from_beginning=True)
        reader.open()
        fresh.open()
        assert values_to_end(reader) == [b"1", b"2"]
        reader.seek(0, 0)
    # Polling goes on, for a broker that is restarted.
    wait_until(lambda: within(10, lambda: reader.poll(0.1)) == [], "nothing to read")
    for attempt in (
        lambda: values_to_end(reader, 2.0),
        reader.end_offsets,
        lambda: values_to_end(fresh, 2.0),
    ):
        assert isinstance(within(25, attempt), BrokerUnavailableError)
    for one in (reader, fresh):
        assert within(25, one.close) is None
