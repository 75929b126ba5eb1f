"""Devices that raise and devices that hang, in a worker that has another one to fall back on."""

import pytest

from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import Delivery

pytestmark = pytest.mark.broker

_FATAL = frozenset({100, 108})


@pytest.mark.faults(14)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_frames_that_a_model_chokes_on_are_found_and_their_neighbours_classified(
    new_scene: SceneFactory, delivery: Delivery
) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=400, fatal=_FATAL))
    feeder.finish()
    scene.worker(faults=["--choke"])
    scene.finish(feeder.ledger)
    fatal = {frame.frame_id for frame in feeder.ledger.frames.values() if frame.truth is None}
    dead = {seen.frame_id: seen.reason for seen in scene.verifier.outcomes if seen.reason is not None}
    assert dead == dict.fromkeys(fatal, "inference-failed")
    assert len(dead) == len(_FATAL)


@pytest.mark.faults(14)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_device_that_hangs_is_given_up_and_its_frames_are_redone_elsewhere(
    new_scene: SceneFactory, delivery: Delivery
) -> None:
    scene = new_scene(delivery)
    feeder = scene.feed(FeedPlan(frames=1200, fps=100))
    worker = scene.worker("--data-path-timeout", "2s", "--standby", "cpu", faults=["--hang-at", "5", "6"])
    hung = worker.wait_for_line(r"back end faulty.*silent|gave .* up|given up")
    assert "faulty" in hung
    worker.wait_for("committed", after=worker.mark())
    feeder.finish()
    # Its threads cannot be ended but with the process, which may say so with its exit code.
    scene.finish(feeder.ledger)
