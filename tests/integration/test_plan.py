"""`streamer plan --verify`, cut short: the real worker, broker and cameras, and every frame accounted for."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from engine.backends.simulator.figures import read_figures
from messaging.broker import StartProgress
from streamer.sizing.bench import Bench
from streamer.sizing.errors import TrialError
from streamer.sizing.lane import Lane
from streamer.sizing.measure import REFERENCE, Length
from streamer.sizing.pictures import pictures
from streamer.sizing.plan import make_plan
from streamer.sizing.report import verification_as_json
from streamer.sizing.verify import Effort, verify
from streamer.sizing.wish import Wish


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_verification_accounts_for_every_frame_and_leaves_no_process(kafka_tools: None) -> None:
    seen = pictures(4, 64)
    plan = make_plan([read_figures().find("resnet50")], Wish(300, 5.0, 1.0, len(seen[0]), headroom=0.8), REFERENCE)
    told: list[str] = []
    before = children()
    with Bench(seen, ignore) as bench:
        found = verify(plan, bench, told.append, Effort(3.0, 1, 1, Length(1.0, 1.5, 2.5)))
        assert children() > before
    assert children() == before
    at_plan, first = found.trials
    before_fps, after_fps = found.saturated_fps
    assert found.drift == after_fps / before_fps - 1
    assert (found.predicted_cameras - first.cameras) * found.drift >= 0  # the faster, the more
    assert at_plan.cameras == found.planned_cameras <= first.cameras * 0.2
    for trial in found.trials:
        assert trial.load.sent == trial.load.captured == pytest.approx(trial.cameras * 15, abs=trial.cameras)
    assert len(at_plan.answers) == at_plan.load.captured, "a fifth of what it can do is done to the last frame"
    assert {answer.batch for answer in at_plan.answers} <= set(range(1, 15))
    assert len(told) >= 4
    shown = verification_as_json(found)
    assert shown["found_cameras"] in (0, first.cameras)
    assert [trial["results"] for trial in shown["trials"]] == [len(trial.answers) for trial in found.trials]
    assert shown["found_p99_ms"] > 0


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_trial_waits_for_the_frames_of_the_one_before_and_says_where_they_take_too_long(kafka_tools: None) -> None:
    slow = Lane(read_figures().find("efficientnet_b7/best-latency"), 1, REFERENCE, 1.0)
    with Bench(pictures(4, 64), ignore, catch_up_timeout_s=0.2) as bench:
        bench.start_worker(slow)
        late = bench.run(20, slow.device_fps * 3 / 20, 3.0)
        assert not late.has_caught_up
        assert len(late.answers) < late.load.captured
        calm = bench.run(1, 2.0, 3.0)
        assert len(calm.answers) == calm.load.captured == 6
        assert calm.p99_ms < 1000
    with Bench(pictures(4, 64), ignore, catch_up_timeout_s=0.2, backlog_timeout_s=0.0) as bench:
        bench.start_worker(slow)
        assert not bench.run(20, slow.device_fps * 3 / 20, 3.0).has_caught_up
        with pytest.raises(TrialError, match="still behind"):
            bench.run(1, 2.0, 3.0)
        with pytest.raises(TrialError, match=r"`streamer consume` ended with 2: .*activations"):
            bench.start_worker(replace(slow, activations=0))


def ignore(_: StartProgress) -> None:
    pass


def children() -> set[int]:
    """Return the processes that this one has started, and those that they have."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    parents = {
        int(pid): int(parent)
        for pid, parent, comm in (line.split(maxsplit=2) for line in listed.splitlines())
        if comm != "ps"
    }
    own = {int(Path("/proc/self").readlink().name)}
    while more := {pid for pid, parent in parents.items() if parent in own} - own:
        own |= more
    return own
