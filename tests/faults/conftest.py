"""Fixtures of the fault tests, and the table of what became of each."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from tests.faults.harness import Delivery, Scene, new_stage

#: `new_scene(delivery, broker)`.
SceneFactory = Callable[..., Scene]


@pytest.fixture(scope="session")
def hurt_broker(kafka_tools: None) -> Iterator[EmbeddedBroker]:
    """A broker that tests may kill and freeze, as long as they leave it running."""
    with EmbeddedBroker(BrokerOptions(is_for_tests=True)) as running:
        yield running


@pytest.fixture(scope="session")
def three_nodes(kafka_tools: None) -> Iterator[EmbeddedBroker]:
    """A cluster that tests may kill nodes of, as long as they leave all of them running."""
    with EmbeddedBroker(BrokerOptions(is_for_tests=True, nodes=3, heap_mb=256)) as running:
        yield running


@pytest.fixture
def new_scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SceneFactory]:
    """Make a test's scene, on the broker that all tests share unless another one is given."""
    with ExitStack() as stack:

        def make(delivery: Delivery, broker: EmbeddedBroker | None = None) -> Scene:
            broker = broker or request.getfixturevalue("broker")
            return Scene(new_stage(Kafka(broker.bootstrap_servers)), delivery, tmp_path, stack)

        yield make


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Note each fault's number in its report."""
    for item in items:
        if (marker := item.get_closest_marker("faults")) is not None:
            item.user_properties.append(("fault", marker.args[0] if marker.args else "-"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what became of each fault, where the faults are what was asked for."""
    if terminalreporter.config.getoption("markexpr") != "faults":
        return
    rows = []
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            fault = dict(report.user_properties).get("fault")
            if fault is not None and (report.when == "call" or outcome in ("error", "skipped")):
                test = report.nodeid.rpartition("::")[2].removeprefix("test_")
                rows.append((str(fault), test, outcome, f"{report.duration:.1f} s"))
    terminalreporter.write_sep("=", "faults")
    for fault, test, outcome, took in sorted(rows, key=lambda row: (row[0].zfill(2), row[1])):
        terminalreporter.write_line(f"{fault:>3}  {outcome:8}  {took:>8}  {test}")
