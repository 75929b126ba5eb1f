import re
from pathlib import Path

import pytest

from messaging.broker.errors import BrokerBusyError, BrokerSettingError
from messaging.broker.java import java_major_version
from messaging.broker.launcher import KafkaLauncher
from messaging.broker.node import quote_log
from messaging.broker.options import BrokerOptions
from messaging.broker.ports import choose_addresses
from messaging.broker.properties import TEST_PROPERTIES, NodeAddress, render_properties, server_properties
from messaging.broker.storage import new_cluster_id

ONE = (NodeAddress(1, 9092, 9093),)
THREE = tuple(NodeAddress(node, 9091 + node, 9191 + node) for node in (1, 2, 3))
STORAGE = Path("/data/node-1/data")


def test_one_node_keeps_everything_once_and_listens_on_this_machine_only() -> None:
    properties = server_properties(ONE[0], ONE, STORAGE, BrokerOptions())

    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9093"
    assert properties["listeners"] == "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"
    assert properties["auto.create.topics.enable"] == "false"
    assert properties["group.initial.rebalance.delay.ms"] == "0"
    assert {value for key, value in properties.items() if re.search("replication.factor|min.isr|insync", key)} == {"1"}
    assert not TEST_PROPERTIES.items() <= properties.items()


def test_three_nodes_keep_three_copies_and_need_two() -> None:
    properties = server_properties(THREE[1], THREE, STORAGE, BrokerOptions(nodes=3))

    assert properties["node.id"] == "2"
    assert properties["controller.quorum.voters"] == "1@127.0.0.1:9192,2@127.0.0.1:9193,3@127.0.0.1:9194"
    assert {value for key, value in properties.items() if key.endswith("replication.factor")} == {"3"}
    assert {value for key, value in properties.items() if re.search("min.isr|insync", key)} == {"2"}


def test_properties_asked_for_win_over_those_for_tests() -> None:
    options = BrokerOptions(is_for_tests=True, properties={"offsets.topic.num.partitions": "7"})

    properties = server_properties(ONE[0], ONE, STORAGE, options)

    assert properties["offsets.topic.num.partitions"] == "7"
    assert properties["group.min.session.timeout.ms"] == "1000"


def test_properties_that_the_broker_sets_itself_are_refused() -> None:
    with pytest.raises(BrokerSettingError, match=r"log\.dirs, node\.id: set by the embedded broker"):
        server_properties(
            ONE[0], ONE, STORAGE, BrokerOptions(properties={"node.id": "2", "log.dirs": "/x", "num.io.threads": "2"})
        )


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "key=plain\n"),
        ("", "key=\n"),
        (" leading", "key=\\ leading\n"),
        ("back\\slash", "key=back\\\\slash\n"),
        ("two\nlines", "key=two\\nlines\n"),
        ('x required username="a=b";', 'key=x required username="a=b";\n'),
        ("/home/Jörg", "key=/home/J\\u00f6rg\n"),
        ("😀", "key=\\ud83d\\ude00\n"),
    ],
)
def test_values_are_written_as_java_reads_them(value: str, written: str) -> None:
    assert render_properties({"key": value}) == written


def test_keys_are_escaped() -> None:
    assert render_properties({"a:b=c d": "1"}) == "a\\:b\\=c\\ d=1\n"


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "25.0.2" 2026-01-20 LTS', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "17" 2021-09-14', 17),
        ('java version "1.8.0_402"', 8),
        ('openjdk version "21-ea" 2023-09-19', 21),
        ("The operation couldn't be completed.", None),
    ],
)
def test_java_version_is_read(said: str, version: int | None) -> None:
    assert java_major_version(said) == version


def test_log_is_quoted_by_its_last_two_errors() -> None:
    log = (
        "[main] ERROR kafka.Kafka$ - Exiting Kafka due to fatal exception during startup.\n"
        "java.lang.RuntimeException: Unable to start acceptor\n"
        "\tat kafka.Kafka.main(Kafka.scala)\n"
        "Caused by: org.apache.kafka.common.KafkaException: failed to bind to 127.0.0.1:9092\n"
        "Caused by: java.net.BindException: Address already in use\n"
        "\t... 18 more\n"
        "[kafka-shutdown-hook] WARN closed already\n"
    )
    assert quote_log(log) == (
        "org.apache.kafka.common.KafkaException: failed to bind to 127.0.0.1:9092"
        " / java.net.BindException: Address already in use"
    )


def test_log_without_errors_is_quoted_by_its_last_lines() -> None:
    assert quote_log("one\n\ntwo\nthree\nfour\n") == "two / three / four"
    assert quote_log("") == "it wrote nothing"
    assert len(quote_log("x" * 10_000)) == 600


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 2}, "2 nodes is not offered; use 1 or 3"),
        ({"port": -1}, "port -1 is out of range"),
        ({"nodes": 3, "port": 65_534}, "port 65534 is out of range; use 1 to 65533"),
        ({"controller_port": 65_536}, "controller port 65536 is out of range"),
        ({"heap_mb": 64}, "heap of 64 MiB is too small"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(BrokerSettingError, match=message):
        BrokerOptions(**options)  # type: ignore[arg-type]


def test_overlapping_ports_are_refused() -> None:
    with pytest.raises(BrokerBusyError, match="port 20002 is asked for twice"):
        choose_addresses(BrokerOptions(nodes=3, port=20_000, controller_port=20_002))


def test_flags_of_the_caller_come_last_and_win() -> None:
    launcher = KafkaLauncher(Path("/jdk/bin/java"), (Path("/a.jar"), Path("/b.jar")))

    command = launcher.node_command(BrokerOptions(heap_mb=300, java_flags=("-Xmx999m",)), Path("/s.properties"))

    assert command[0] == "/jdk/bin/java"
    assert command.index("-Xmx300m") < command.index("-Xmx999m") < command.index("-cp")
    assert command[-4:] == ["-cp", "/a.jar:/b.jar", "kafka.Kafka", "/s.properties"]


def test_cluster_ids_are_kafka_uuids() -> None:
    ids = {new_cluster_id() for _ in range(500)}

    assert len(ids) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{21}", each) for each in ids)
