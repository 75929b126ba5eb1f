"""Fixtures of more than one kind of test: a real Apache Kafka, started once per run and only where asked for."""

import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import pytest

from messaging.broker import BrokerDownloadError, BrokerMissingError, BrokerOptions, EmbeddedBroker
from messaging.broker.jars import find_jars
from messaging.broker.java import find_java
from streamer.logs import OUR_LOGGERS

#: Set in CI: a test that misses its tool then fails, where it would be skipped at a desk.
REQUIRE_TOOLS = "STREAMER_TESTS_REQUIRE_TOOLS"

# Before torch is imported: threads of its own that wait for work would keep the other tests' processes from theirs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

#: `new_topic(partitions, configs)` creates a topic and gives its name.
TopicFactory = Callable[..., str]


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """A command sets up logs for its process; the next test's are as they were."""
    with _kept_logs():
        yield


@pytest.fixture(autouse=True, scope="module")
def _logs_as_before_this_module() -> Iterator[None]:
    """So does a command that a module's fixture runs."""
    with _kept_logs():
        yield


@contextmanager
def _kept_logs() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "kafka", *OUR_LOGGERS)]
    levels = [logger.level for logger in loggers]
    handlers = logging.getLogger().handlers[:]
    yield
    logging.getLogger().handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(autouse=True, scope="session")
def _state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the workers of tests, and of the commands that they start, out of the user's slots."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def kafka_tools() -> None:
    """Java and Kafka, or a skip with the reason."""
    try:
        find_java()
        find_jars()
    except (BrokerMissingError, BrokerDownloadError) as exc:
        if os.environ.get(REQUIRE_TOOLS):
            raise
        pytest.skip(str(exc))


@pytest.fixture(scope="session")
def broker(kafka_tools: None) -> Iterator[EmbeddedBroker]:
    """A broker for the whole run, with the properties for tests; tests take topics of their own from it."""
    with EmbeddedBroker(BrokerOptions(is_for_tests=True)) as running:
        yield running


@pytest.fixture
def new_topic(broker: EmbeddedBroker, request: pytest.FixtureRequest) -> TopicFactory:
    """Create topics that no other test uses."""
    from kafka import KafkaAdminClient

    def create(partitions: int = 1, configs: Mapping[str, str] | None = None) -> str:
        test = re.sub(r"[^A-Za-z0-9_-]+", "-", request.node.name)[:80]
        name = f"{test}-{uuid.uuid4().hex[:8]}"
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": dict(configs or {})}
        with KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers) as admin:
            admin.create_topics({name: wanted}, wait_for_metadata=True)
        return name

    return create
