"""Groups that change while batches are in flight, members that are taken for dead, and members that are slow."""

import pytest

from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import PARTITIONS, SESSION_S, Delivery

pytestmark = pytest.mark.broker

_ALL = set(range(PARTITIONS))
_TRANSACTION_TIMEOUT = ("--transaction-timeout", "10s")
#: Outcomes wait so long for their commit that a worker can be caught between the two.
_RARE_COMMITS = ("--commit-interval", "1s")


@pytest.mark.parametrize(
    ("delivery", "assignor"),
    [
        pytest.param("at-least-once", "range", marks=[pytest.mark.faults(3), pytest.mark.faults_short]),
        pytest.param("at-least-once", "cooperative-sticky", marks=pytest.mark.faults(3)),
        pytest.param("exactly-once", "range", marks=pytest.mark.faults(3)),
        pytest.param("exactly-once", "cooperative-sticky", marks=pytest.mark.faults(3)),
    ],
)
def test_a_rebalance_with_batches_in_flight_loses_and_repeats_nothing(
    new_scene: SceneFactory, delivery: Delivery, assignor: str
) -> None:
    scene = new_scene(delivery)
    flags = ("--assignor", assignor, "--batch-size", "16")
    sleeps = ("--sleep", "1")
    feeder = scene.feed(FeedPlan(frames=480))
    first = scene.worker(*flags, faults=sleeps)
    first.wait_for("inference_started")
    second = scene.worker(*flags, faults=sleeps)
    second.wait_for("inference_started")
    third = scene.worker(*flags, faults=sleeps)
    third.wait_for("assigned", lambda event: bool(event.partitions))
    second.stop()
    feeder.finish()
    scene.finish(feeder.ledger)
    assert not any(event.kind == "lost" for worker in scene.workers for event in worker.events)


@pytest.mark.faults(4)
@pytest.mark.faults_short
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_worker_that_comes_back_from_the_dead_does_no_harm(new_scene: SceneFactory, delivery: Delivery) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=4000, fps=200))
    zombie, heir = (scene.worker(*_RARE_COMMITS, *_TRANSACTION_TIMEOUT) for _ in range(2))
    for worker in (zombie, heir):
        worker.wait_until(lambda progress: len(progress.held) == PARTITIONS // 2, "its half of the partitions")
    zombie.freeze_when("produced", lambda progress: progress.has_uncommitted, "with an outcome that is not committed")
    heir.wait_until(lambda progress: progress.held == _ALL, "assignment of every partition", SESSION_S + 5.0)
    heir.wait_for("inference_done", after=heir.mark())
    mark = zombie.mark()
    zombie.thaw()
    if scene.is_exactly_once:
        assert zombie.wait_exit() == 1
        assert [line for line in zombie.lines if line.startswith("streamer: ")] == [zombie.lines[-1]]
        # It may hear only now of a commit that the broker had before it froze: the heir began behind that one.
        began = {
            number: first
            for event in reversed(heir.events)
            if event.kind == "polled"
            for number, (first, _) in event.offsets.items()
        }
        heard = [event.offsets for event in zombie.events[mark:] if event.kind == "committed"]
        assert all(began[number] >= offset for offsets in heard for number, offset in offsets.items())
    else:
        zombie.wait_for("lost", after=mark)
        zombie.wait_for("assigned", lambda event: bool(event.partitions), after=mark)
        zombie.wait_for("committed", after=zombie.mark())
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)


@pytest.mark.faults(5)
def test_of_two_workers_with_one_transactional_id_the_newer_goes_on(new_scene: SceneFactory) -> None:
    scene = new_scene("exactly-once")
    feeder = scene.feed(FeedPlan(frames=3000, fps=200))
    older = scene.worker(*_TRANSACTION_TIMEOUT)
    older.wait_for("committed")
    # Each takes the first slot of its own state directory, and so the same id.
    newer = scene.worker(*_TRANSACTION_TIMEOUT, state_directory=scene.state_directory.with_name("another"))
    assert older.wait_exit() == 1
    assert [line for line in older.lines if line.startswith("streamer: ")] == [older.lines[-1]]
    newer.wait_until(lambda progress: progress.held == _ALL, "assignment of every partition")
    newer.wait_for("committed", after=newer.mark())
    feeder.stop()
    scene.finish(feeder.ledger, crashes=1)


@pytest.mark.faults(6)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_inference_slower_than_the_longest_poll_interval_costs_no_rebalance(
    new_scene: SceneFactory, delivery: Delivery
) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=48))
    # Room for two batches, each with the device for longer than the interval.
    flags = ("--max-poll-interval", "3s", "--max-in-flight", "16", "--activations", "1", "--transaction-timeout", "60s")
    worker = scene.worker(*flags, faults=("--sleep", "4"))
    feeder.finish()
    scene.finish(feeder.ledger)
    assigned = [event for event in worker.events if event.kind == "assigned"]
    assert [event.partitions for event in assigned] == [_ALL]
    assert not any(event.kind == "lost" for event in worker.events)
