"""What can be said about the Kafka clients without a broker."""

import logging
from collections.abc import Iterator

import pytest

from messaging.errors import BrokerAddressError, BrokerUnavailableError
from messaging.kafka import CameraPartitioner, Kafka, addresses, partition_of, quiet_kafka_logs

MURMUR2 = {
    # Source: org.apache.kafka.common.utils.UtilsTest.testMurmur2.
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "hashed"), MURMUR2.items())
@pytest.mark.parametrize("partitions", [1, 3, 8, 1000, 2**31 - 1])
def test_partitions_are_those_of_javas_default_partitioner(key: bytes, hashed: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (hashed & 0x7FFFFFFF) % partitions


class Metadata:
    """What the partitioner asks kafka-python's cluster metadata."""

    def __init__(self, partitions: set[int] | None) -> None:
        self._partitions = partitions

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        assert topic == "frames"
        return self._partitions


def test_the_partitioner_counts_the_topics_partitions() -> None:
    partitioner = CameraPartitioner()
    chosen = partitioner.partition("frames", "ignored", b"foobar", None, None, Metadata({0, 1, 2}))
    assert chosen == partition_of(b"foobar", 3)
    assert partitioner.partition("frames", None, None, None, None, Metadata({0, 1, 2})) == partition_of(b"", 3)


@pytest.mark.parametrize("partitions", [None, set()])
def test_the_partitioner_needs_the_topics_metadata(partitions: set[int] | None) -> None:
    with pytest.raises(ValueError, match="frames"):
        CameraPartitioner().partition("frames", None, b"k", None, None, Metadata(partitions))


@pytest.mark.parametrize(
    "servers",
    [
        "127.0.0.1:9092",
        "kafka",
        "kafka-1.site_a.local:9092,kafka-2:9093",
        "[::1]:9092",
        "[fe80::1%eth0]:1",
        "größe:65535",
    ],
)
def test_addresses(servers: str) -> None:
    assert addresses(servers) == servers.split(",")


def test_spaces_after_commas_are_no_part_of_an_address() -> None:
    assert addresses(" a:1, b:2 ") == ["a:1", "b:2"]


@pytest.mark.parametrize(
    "servers",
    [
        "",
        ",",
        "a:1,",
        "localhost:99999",
        "localhost:0",
        "localhost:-1",
        "localhost:port",
        "localhost:",
        ":9092",
        "host with spaces:9092",
        "[::1",
        "http://127.0.0.1:9092",
        "user:password@host:9092",
        "a:1\nb:2",
    ],
)
@pytest.mark.parametrize("make", [Kafka.consumer, Kafka.admin, lambda cluster: cluster.producer(linger_ms=0)])
def test_what_is_no_address_is_an_error_at_once(servers: str, make: object) -> None:
    # kafka-python would look for it for five seconds and say that no broker answers.
    with pytest.raises(BrokerAddressError, match="give host:port") as caught:
        make(Kafka(servers))  # type: ignore[operator]
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_broker_that_is_not_there_is_one_line_with_the_way_out() -> None:
    error = BrokerUnavailableError.at("127.0.0.1:9")
    assert (error.exit_code, error.retriable) == (1, True)
    assert str(error).startswith("no Kafka broker answers at 127.0.0.1:9: start one with `streamer broker`")


@pytest.fixture
def kafka_loggers() -> Iterator[dict[str, logging.Logger]]:
    """Loggers of kafka-python without a level of their own, and the root logger; put back afterwards."""
    names = ("kafka", "kafka.consumer", "kafka.producer.kafka", "kafka.producer.sender", "kafka.net.connection")
    loggers = {name: logging.getLogger(name) for name in names} | {"root": logging.getLogger()}
    before = {name: logger.level for name, logger in loggers.items()}
    for name in names:
        loggers[name].setLevel(logging.NOTSET)
    yield loggers
    for name, logger in loggers.items():
        logger.setLevel(before[name])


@pytest.mark.parametrize("root_level", [logging.DEBUG, logging.INFO, logging.WARNING])
def test_kafkas_logs_are_no_chattier_than_warnings_unasked(
    kafka_loggers: dict[str, logging.Logger], root_level: int
) -> None:
    kafka_loggers["root"].setLevel(root_level)
    quiet_kafka_logs()
    kafka_loggers["root"].setLevel(logging.DEBUG)  # as somebody might who looks for something else
    levels = {logger.getEffectiveLevel() for name, logger in kafka_loggers.items() if name != "root"}
    assert levels == {logging.WARNING}


@pytest.mark.parametrize("chatty", ["kafka", "kafka.consumer", "kafka.producer.sender"])
def test_kafkas_logs_never_show_passwords_or_frames(kafka_loggers: dict[str, logging.Logger], chatty: str) -> None:
    kafka_loggers[chatty].setLevel(logging.DEBUG)
    quiet_kafka_logs()
    assert not any(
        logger.isEnabledFor(logging.DEBUG) for name, logger in kafka_loggers.items() if name.startswith("kafka")
    )


@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING, logging.CRITICAL])
def test_a_level_that_somebody_chose_stays(kafka_loggers: dict[str, logging.Logger], level: int) -> None:
    # The command asks for CRITICAL: a lost connection is said once, by us.
    kafka_loggers["kafka"].setLevel(level)
    quiet_kafka_logs()
    levels = {logger.getEffectiveLevel() for name, logger in kafka_loggers.items() if name != "root"}
    assert levels == {level}
