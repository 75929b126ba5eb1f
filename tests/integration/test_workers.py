"""`streamer consume --workers` as a user runs it, and workers that come and go under a cooperative assignor."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumers.consumer import Consumer
from streamer.compose import classifier_of
from tests.fakes.event_hook import hooked
from tests.fakes.waiting import wait_until
from tests.faults.worker import Program, WorkerEvent
from tests.integration.stage import Stage, camera_frames, running
from tests.integration.test_groups import Feeder

pytestmark = pytest.mark.broker

PARTITIONS = {0, 1, 2, 3}


def group_of(stage: Stage) -> str:
    """A group of the test's own: static members stay in theirs."""
    return f"group-of-{stage.topics.frames}"


@contextmanager
def workers(stage: Stage, folder: Path, *flags: str) -> Iterator[Program]:
    """`streamer consume --workers 2`, when each has its half of the partitions."""
    command = ["consume", "--workers", "2", "--json", "--events", "--group", group_of(stage)]
    state = ["--state-directory", str(folder / "state")]
    with Program("workers", "streamer", [*command, *state, *stage.flags(), *flags], folder / "log") as program:
        wait_until(lambda: halves(program), "each worker has its half")
        yield program


def held_by(program: Program) -> dict[int, set[int]]:
    """The partitions of each worker, by its process."""
    held: dict[int, set[int]] = {}
    for event in program.events:
        if event.kind == "assigned":
            held.setdefault(event.pid, set()).update(event.partitions)
        elif event.kind in ("revoked", "lost"):
            held.setdefault(event.pid, set()).difference_update(event.partitions)
    return held


def halves(program: Program, without: int = 0) -> bool:
    held = [partitions for pid, partitions in held_by(program).items() if pid != without and partitions]
    return len(held) == 2 and all(len(partitions) == 2 for partitions in held) and set.union(*held) == PARTITIONS


def feed(stage: Stage, first: int, end: int) -> None:
    """Frames of eight cameras, which all partitions get some of."""
    stage.feed([frame for number in range(8) for frame in camera_frames(f"camera-{number}", end)[first:]])


def wait_until_done(stage: Stage, frames: int) -> None:
    wait_until(lambda: sum(stage.committed(group_of(stage)).values()) == frames, f"{frames} frames are committed")


def counted(stage: Stage) -> Counter[tuple[str, int]]:
    return Counter((result.camera, result.sequence) for result in stage.results())


def ended(program: Program) -> dict[str, Any]:
    """Tell them to end, and return the one line that they leave."""
    program.terminate()
    assert program.wait_exit() == 0, program.lines
    return program.summary()


def test_workers_share_the_partitions_and_drain_together(stage: Stage, tmp_path: Path) -> None:
    with workers(stage, tmp_path) as program:
        feed(stage, 0, 25)
        wait_until_done(stage, 200)
        summary = ended(program)
        committed = {event.pid for event in program.events if event.kind == "committed"}
    assert committed == held_by(program).keys(), "each did its part"
    assert len(committed) == 2
    assert program.pid not in committed, "the supervisor does nothing itself"
    assert (summary["workers"], summary["restarts"]) == (2, 0)
    assert (summary["classified"], summary["dead_lettered"], summary["skipped"]) == (200, 0, 0)
    assert (summary["group"], summary["device"]) == (group_of(stage), "0")
    assert counted(stage) == {(f"camera-{number}", sequence): 1 for number in range(8) for sequence in range(25)}
    assert any(f"2 workers share group {group_of(stage)}" in line for line in program.lines)


def test_a_worker_that_is_killed_is_started_again_and_nothing_is_lost_or_said_twice(
    stage: Stage, tmp_path: Path
) -> None:
    with workers(stage, tmp_path, "--delivery", "exactly-once", "--session-timeout", "3s") as program:
        # Caught with outcomes that it has sent and not committed, as far as it can be seen from here.
        feed(stage, 0, 50)
        victim = program.wait_for("produced").pid
        os.kill(victim, signal.SIGKILL)
        feed(stage, 50, 60)
        wait_until_done(stage, 480)
        wait_until(lambda: halves(program, without=victim), "another one has taken its place")
        summary = ended(program)
    assert (summary["workers"], summary["restarts"]) == (2, 1)
    assert counted(stage) == {(f"camera-{number}", sequence): 1 for number in range(8) for sequence in range(60)}
    assert any("was killed by SIGKILL; it is started again" in line for line in program.lines)


def test_a_static_member_that_is_back_in_time_disturbs_nobody(stage: Stage, tmp_path: Path) -> None:
    with workers(stage, tmp_path, "--static-membership", "--session-timeout", "30s") as program:
        feed(stage, 0, 10)
        wait_until_done(stage, 80)
        held = held_by(program)
        victim, other = held
        mark = program.mark()
        os.kill(victim, signal.SIGKILL)

        def is_back(event: WorkerEvent) -> bool:
            return event.pid not in held and event.partitions == held[victim]

        program.wait_for("assigned", is_back, after=mark)
        feed(stage, 10, 20)
        wait_until_done(stage, 160)
        disturbed = [event for event in program.events[mark:] if event.pid == other]
        assert {event.kind for event in disturbed}.isdisjoint({"assigned", "revoked", "lost"})
        assert ended(program)["restarts"] == 1
    assert counted(stage).keys() == {(f"camera-{number}", sequence) for number in range(8) for sequence in range(20)}


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_under_a_cooperative_assignor_only_what_moves_stops(stage: Stage, tmp_path: Path, delivery: str) -> None:
    by_camera = [camera_frames(f"camera-{number}", 250) for number in range(8)]
    frames = [camera[sequence] for sequence in range(250) for camera in by_camera]
    settings = stage.settings(
        group=group_of(stage),
        session_timeout="10s",  # nobody dies here, and a busy machine stands still for seconds
        assignor="cooperative-sticky",
        delivery=delivery,
        state_directory=tmp_path,
        commit_interval="50ms",
    )
    classifier = classifier_of(settings)
    moved: list[tuple[str, set[int]]] = []

    def note(event: str, facts: dict[str, Any]) -> None:
        if event in ("assigned", "revoked", "lost"):
            moved.append((event, set(facts["partitions"])))

    def started(stack: ExitStack, **changes: Any) -> Consumer:
        consumer = hooked(settings.model_copy(update=changes), classifier, note)
        stack.enter_context(running(consumer))
        return consumer

    with ExitStack() as first_stack:
        with Feeder(stage, frames) as feeder:
            first = started(first_stack)
            wait_until(lambda: first.counts.total > 100, "the first consumer works")
            assert moved == [("assigned", PARTITIONS)]
            with ExitStack() as second_stack:
                second = started(second_stack)
                wait_until(lambda: second.counts.total > 100, "the second consumer takes its share")
                before = first.counts.total
                wait_until(lambda: first.counts.total > before + 50, "the first goes on beside it")
                gave_up = [partitions for event, partitions in moved if event == "revoked" and partitions]
                assert len(gave_up) == 1, "nobody gave up anything but what moved"
                assert len(gave_up[0]) == 2
            before = first.counts.total
            wait_until(lambda: first.counts.total > before + 100, "the first takes over again")
        sent = feeder.sent
        wait_until(lambda: first.counts.total + second.counts.total >= sent, "all that was sent")
    classifier.backend.close()

    assert "lost" not in {event for event, _ in moved}
    results = stage.results()
    assert counted(stage) == {(frame.camera, frame.sequence): 1 for frame in frames[:sent]}
    for number in range(8):
        sequences = [result.sequence for result in results if result.camera == f"camera-{number}"]
        assert sequences == sorted(sequences)
    assert sum(stage.committed(group_of(stage)).values()) == sent
