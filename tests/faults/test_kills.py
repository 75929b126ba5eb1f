"""Workers that are killed, and workers that are asked to end."""

import time

import pytest

from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import PARTITIONS, SESSION_S, Delivery, Scene
from tests.faults.worker import Program, Progress

pytestmark = pytest.mark.broker

_ALL = set(range(PARTITIONS))
_DRAIN_S = 10.0
#: A batch is with the device for long enough to be caught there.
_SLOW = ("--sleep", "0.05")

#: Where a worker is killed: the event, and what has to be true of it.
_POINTS = (
    ("inference_started", lambda progress: progress.is_computing, "computing"),
    ("inference_done", lambda progress: progress.has_unpublished, "with an answer and no outcome"),
    ("produced", lambda progress: progress.has_uncommitted, "with an outcome that is not committed"),
)


def _kill_and_restart(scene: Scene, pair: list[Program], number: int) -> None:
    """Kill one of a pair at one of the points; see the other take over, and put a new one beside it."""
    kind, is_true, what = _POINTS[number % len(_POINTS)]
    victim, other = pair[number % 2], pair[(number + 1) % 2]
    victim.freeze_when(kind, is_true, what)
    victim.kill()
    killed_at = time.time()

    def holds_all(progress: Progress) -> bool:
        return progress.held == _ALL

    other.wait_until(holds_all, "assignment of every partition", SESSION_S + 5.0)
    taken_over = [event for event in other.events if event.kind == "assigned"][-1]
    assert taken_over.at - killed_at <= SESSION_S + 5.0
    pair[number % 2] = scene.worker(faults=_SLOW)
    pair[number % 2].wait_until(lambda progress: bool(progress.held), "assignment of a share")


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(1, marks=[pytest.mark.faults(1), pytest.mark.faults_short]),
        pytest.param(9, marks=pytest.mark.faults(1)),
    ],
)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
@pytest.mark.timeout(240)
def test_a_worker_killed_in_the_middle_of_a_batch_loses_nothing(
    new_scene: SceneFactory, delivery: Delivery, kills: int
) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=2_500 * kills, fps=100))
    pair = [scene.worker(faults=_SLOW) for _ in range(2)]
    for worker in pair:
        worker.wait_until(lambda progress: len(progress.held) == PARTITIONS // 2, "its half of the partitions")
    for number in range(kills):
        _kill_and_restart(scene, pair, number)
    feeder.stop()
    scene.finish(feeder.ledger, crashes=kills)


@pytest.mark.faults(2)
@pytest.mark.faults_short
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_sigterm_finishes_what_is_in_flight(new_scene: SceneFactory, delivery: Delivery) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=400))
    first = scene.worker("--drain-timeout", f"{_DRAIN_S:.0f}s", faults=("--sleep", "0.15"))
    first.wait_for("inference_started")
    second = scene.worker()
    first.terminate()
    began_s = time.monotonic()
    assert first.wait_exit(_DRAIN_S + 5.0) == 0
    assert time.monotonic() - began_s < _DRAIN_S + 2.0
    summary = first.summary()
    feeder.finish()
    scene.finish(feeder.ledger)
    assert 0 < summary["classified"] < len(feeder.ledger)
    assert summary["classified"] + second.summary()["classified"] == len(feeder.ledger)
