"""A transaction that its worker left open, and what ends it."""

import time
from contextlib import closing

import pytest
from kafka import TopicPartition

from messaging.reader import TopicReader
from tests.fakes.waiting import wait_until
from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import PARTITIONS, Scene
from tests.faults.worker import Program

pytestmark = pytest.mark.broker

#: Long enough for a worker to be caught in a transaction.
_RARE_COMMITS = ("--commit-interval", "1s")
#: The broker looks for transactions that are over once a second.
_CLEAN_UP_S = 1.0
_SLACK_S = 4.0


def _stable_offsets(scene: Scene) -> dict[int, int]:
    with TopicReader(scene.stage.cluster, scene.stage.topics.results, from_beginning=True) as reader:
        return reader.end_offsets()


def _end_offsets(scene: Scene) -> dict[int, int]:
    partitions = [TopicPartition(scene.stage.topics.results, number) for number in range(PARTITIONS)]
    with closing(scene.stage.cluster.consumer(isolation_level="read_uncommitted")) as consumer:
        ends = consumer.end_offsets(partitions)
    return {partition.partition: offset for partition, offset in ends.items()}


def _killed_in_a_transaction(scene: Scene, timeout_s: float) -> tuple[Program, dict[int, int]]:
    """Return a worker that was killed with outcomes in an open transaction, and where the results end with them."""
    worker = scene.worker(*_RARE_COMMITS, "--transaction-timeout", f"{timeout_s:.0f}s")
    worker.wait_for("committed")
    worker.freeze_when("produced", lambda progress: progress.has_uncommitted, "in a transaction")

    # What it handed over just before may still be on its way through the kernel; the broker has it in a moment.
    wait_until(lambda: _stable_offsets(scene) != _end_offsets(scene), "outcomes of an open transaction", 5.0)
    worker.kill()
    ends = _end_offsets(scene)
    assert _stable_offsets(scene) != ends
    return worker, ends


def _seconds_until_stable(scene: Scene, ends: dict[int, int], deadline_s: float) -> float:
    began_s = time.monotonic()

    def has_moved() -> bool:
        stable = _stable_offsets(scene)
        return all(stable[partition] >= end for partition, end in ends.items())

    wait_until(has_moved, f"the stable offsets reach {ends}", deadline_s)
    return time.monotonic() - began_s


@pytest.mark.faults(16)
@pytest.mark.faults_short
def test_a_restart_with_the_same_id_ends_the_transaction_at_once(new_scene: SceneFactory) -> None:
    scene = new_scene("exactly-once")
    feeder = scene.feed(FeedPlan(frames=3000, fps=200))
    _, ends = _killed_in_a_transaction(scene, timeout_s=60.0)
    began_s = time.monotonic()
    scene.worker("--transaction-timeout", "60s")
    _seconds_until_stable(scene, ends, 20.0)
    assert time.monotonic() - began_s < 20.0, "well before the time-out"
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)


@pytest.mark.faults(16)
@pytest.mark.faults_short
def test_without_that_id_the_transaction_ends_with_its_timeout(new_scene: SceneFactory) -> None:
    scene = new_scene("exactly-once")
    feeder = scene.feed(FeedPlan(frames=3000, fps=200))
    timeout_s = 6.0
    _, ends = _killed_in_a_transaction(scene, timeout_s)
    # Another device on another machine's disk: nothing there knows of the first one's id.
    scene.worker("--device", "1", state_directory=scene.state_directory.with_name("another"))
    waited_s = _seconds_until_stable(scene, ends, timeout_s + _CLEAN_UP_S + _SLACK_S)
    assert waited_s > 0.5, "it was not ended by the newcomer"
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)
