"""Brokers that die, freeze, and come back."""

import time
from contextlib import closing
from typing import Any

import pytest
from kafka.admin import ConfigResource, ConfigResourceType

from messaging.broker import EmbeddedBroker
from messaging.kafka import Kafka
from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import Delivery

pytestmark = pytest.mark.broker

_NODE = 1
_WARNING = r"WARNING .*Kafka"
_DEAF_S = 10.0
_FROZEN_S = 15.0
#: What a worker may grow by while there is no broker: its frames in flight, their outcomes, and Kafka's buffers.
_GROWTH_MB = 64.0


@pytest.mark.parametrize(
    ("delivery", "away_s"),
    [
        pytest.param("at-least-once", 10.0, marks=pytest.mark.faults(7)),
        pytest.param("exactly-once", 10.0, marks=pytest.mark.faults(7)),
    ],
)
def test_a_broker_that_is_killed_and_comes_back_costs_nothing(
    new_scene: SceneFactory, hurt_broker: EmbeddedBroker, delivery: Delivery, away_s: float
) -> None:
    scene = new_scene(delivery, hurt_broker)
    feeder = scene.feed(FeedPlan(frames=6000, fps=200))
    worker = scene.worker()
    worker.wait_for("committed")
    before_mb, lines, mark = worker.memory_mb(), len(worker.lines), worker.mark()
    worker.wait_for("produced", after=mark)
    hurt_broker.kill_node(_NODE)
    killed_s = time.monotonic()
    try:
        worker.wait_for_line(_WARNING, after=lines, deadline_s=_DEAF_S)
        _rest(killed_s + away_s)
    finally:
        hurt_broker.start_node(_NODE)
    mark = worker.mark()
    worker.wait_for("committed", after=mark)
    assert worker.memory_mb("VmHWM") - before_mb < _GROWTH_MB
    feeder.stop()
    # A session may have run out meanwhile, which is no more than a crash of the one worker.
    scene.finish(feeder.ledger, crashes=1)


@pytest.mark.faults(8)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_broker_that_freezes_in_a_commit_is_noticed_and_work_goes_on_after_it(
    new_scene: SceneFactory, hurt_broker: EmbeddedBroker, delivery: Delivery
) -> None:
    scene = new_scene(delivery, hurt_broker)
    feeder = scene.feed(FeedPlan(frames=6000, fps=200))
    worker = scene.worker()
    worker.wait_for("committed")
    lines = len(worker.lines)
    worker.wait_for("produced", after=worker.mark())
    hurt_broker.pause_node(_NODE)
    frozen_s = time.monotonic()
    try:
        worker.wait_for_line(_WARNING, after=lines, deadline_s=_DEAF_S)
        _rest(frozen_s + _FROZEN_S)
    finally:
        hurt_broker.resume_node(_NODE)
    worker.wait_for("committed", after=worker.mark())
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)


@pytest.mark.faults(9)
@pytest.mark.timeout(240)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_of_three_nodes_the_leader_and_then_the_coordinator_may_die(
    new_scene: SceneFactory, three_nodes: EmbeddedBroker, delivery: Delivery
) -> None:
    scene = new_scene(delivery, three_nodes)
    feeder = scene.feed(FeedPlan(frames=20_000, fps=150))
    pair = [scene.worker() for _ in range(2)]
    for worker in pair:
        worker.wait_for("committed")
    with closing(scene.stage.cluster.admin()) as admin:
        leader = _leader(admin, scene.stage.topics.frames)
    _lose(three_nodes, leader)
    for worker in pair:
        worker.wait_for("committed", after=worker.mark())
    with closing(scene.stage.cluster.admin()) as admin:
        coordinator = _coordinator(admin, scene.group)
    _lose(three_nodes, coordinator)
    for worker in pair:
        worker.wait_for("committed", after=worker.mark())
    feeder.stop()
    scene.finish(feeder.ledger, crashes=4)


@pytest.mark.faults(12)
@pytest.mark.parametrize(
    "delivery", [pytest.param("at-least-once", marks=pytest.mark.faults_short), pytest.param("exactly-once")]
)
def test_a_result_that_the_broker_refuses_for_good_ends_the_worker_and_is_not_passed_over(
    new_scene: SceneFactory, delivery: Delivery
) -> None:
    scene = new_scene(delivery)
    results = scene.stage.topics.results
    feeder = scene.feed(FeedPlan(frames=800, fps=200))
    worker = scene.worker()
    worker.wait_for("committed")
    _limit(scene.stage.cluster, results, "100")
    assert worker.wait_exit() == 1
    (said,) = [line for line in worker.lines if line.startswith("streamer: ")]
    assert results in said
    _limit(scene.stage.cluster, results, "8388608")
    scene.worker()
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)


def _limit(cluster: Kafka, topic: str, size_bytes: str) -> None:
    """Say how large a message of a topic may be."""
    with closing(cluster.admin()) as admin:
        limit = {"max.message.bytes": size_bytes, "message.timestamp.type": "LogAppendTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=limit)])


def _lose(cluster: EmbeddedBroker, node: int) -> None:
    """Kill a node for long enough that the others take its place, and start it again."""
    cluster.kill_node(node)
    killed_s = time.monotonic()
    try:
        _rest(killed_s + 5.0)
    finally:
        cluster.start_node(node)


def _leader(admin: Any, topic: str) -> int:
    (described,) = admin.describe_topics([topic])
    return int(described["partitions"][0]["leader_id"])


def _coordinator(admin: Any, group: str) -> int:
    """Return the node that leads the offsets partition of a group; Java's `String.hashCode` says which it is."""
    hashed = 0
    for letter in group:
        hashed = (31 * hashed + ord(letter)) & 0xFFFFFFFF
    (described,) = admin.describe_topics(["__consumer_offsets"])
    partitions = {partition["partition_index"]: partition["leader_id"] for partition in described["partitions"]}
    return int(partitions[(hashed & 0x7FFFFFFF) % len(partitions)])


def _rest(until_s: float) -> None:
    """Let time pass: it is the fault itself that takes so long."""
    time.sleep(max(until_s - time.monotonic(), 0.0))
