"""Chaos: workers, cameras and the broker are killed at random, and no acknowledged frame may be lost. `make chaos`.

Ends with 1 where an acknowledged frame has no outcome, where another invariant is broken, or where there are more
duplicates than the delivery allows: none under exactly-once; under at-least-once as many as were in flight at each
crash. The seed of a run is printed and can be given again; what it decides is what is killed, and when.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Event
from typing import get_args

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from tests.faults.feeder import FeedPlan
from tests.faults.harness import IN_FLIGHT, Delivery, Scene, new_stage
from tests.faults.ledger import read_ledgers
from tests.faults.worker import Program

_NODE = 1
_WORKERS = 2
_FEEDERS = 4
_CAMERAS_EACH = 2
#: How often each of them is chosen, of ten times.
_VICTIMS = ("worker",) * 6 + ("camera",) * 2 + ("broker",) * 2
_BROKER_AWAY_S = (1.0, 4.0)
_ACCOUNT_DEADLINE_S = 150.0


@dataclass
class Verdict:
    """What a run gave."""

    delivery: str
    seed: int
    seconds: float = 0.0
    acknowledged: int = 0
    unknown: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    ended_by_themselves: int = 0
    lost: int = 0
    duplicates: int = 0
    most_duplicates: int = 0
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        return not self.wrong


class _Camera:
    """A feeder process that is started again with what is left of its frames, in a session of its own each time."""

    def __init__(self, scene: Scene, stack: ExitStack, folder: Path, number: int, plan: FeedPlan) -> None:
        self._scene = scene
        self._stack = stack
        self._folder = folder
        self._number = number
        self._plan = plan
        self.ledgers: list[Path] = []
        self._program: Program | None = None

    def start(self) -> None:
        left = self._plan.frames - len(read_ledgers(self.ledgers))
        if left <= 0:
            return
        life = f"camera-{self._number}-{len(self.ledgers)}"
        path = self._folder / f"{life}.jsonl"
        path.touch()
        self.ledgers.append(path)
        arguments = [
            "--bootstrap-servers", self._scene.stage.cluster.bootstrap_servers,
            "--topic", self._scene.stage.topics.frames,
            "--ledger", str(path), "--frames", str(left), "--fps", str(self._plan.fps),
            "--cameras", str(self._plan.cameras), "--first-camera", str(self._plan.first_camera),
        ]  # fmt: skip
        program = Program(life, "tests.faults.feeder", arguments, self._folder / f"{life}.log")
        self._program = self._stack.enter_context(program)

    @property
    def is_running(self) -> bool:
        return self._program is not None and self._program.is_running

    def kill(self) -> None:
        if self._program is not None and self._program.is_running:
            self._program.kill()
        self.start()


class Chaos:
    """One run with one delivery."""

    def __init__(self, delivery: Delivery, seed: int, frames: int, kills: int, feed_s: float) -> None:
        self._delivery = delivery
        self._frames = frames
        self._kills = kills
        self._feed_s = feed_s
        self._random = random.Random(seed)
        self.verdict = Verdict(delivery, seed)
        self._killed: Counter[str] = Counter()
        self._crashes = 0

    def run(self, folder: Path) -> Verdict:
        """Run it, with its files in `folder`."""
        began_s = time.monotonic()
        with ExitStack() as stack:
            broker = stack.enter_context(EmbeddedBroker(BrokerOptions(is_for_tests=True)))
            scene = Scene(new_stage(Kafka(broker.bootstrap_servers)), self._delivery, folder, stack)
            crew = [self._worker(scene) for _ in range(_WORKERS)]
            cameras = [self._camera(scene, stack, folder, number) for number in range(_FEEDERS)]
            for camera in cameras:
                camera.start()
            self._kill_at_random(broker, scene, crew, cameras)
            while any(camera.is_running for camera in cameras):
                self._look_after(scene, crew)
                Event().wait(0.5)
            self._judge(scene, cameras, crew)
        self.verdict.seconds = round(time.monotonic() - began_s, 1)
        return self.verdict

    def _worker(self, scene: Scene) -> Program:
        return scene.worker("--transaction-timeout", "10s")

    def _camera(self, scene: Scene, stack: ExitStack, folder: Path, number: int) -> _Camera:
        plan = FeedPlan(
            frames=self._frames // _FEEDERS,
            fps=self._frames / _FEEDERS / self._feed_s,
            cameras=_CAMERAS_EACH,
            first_camera=number * _CAMERAS_EACH,
        )
        return _Camera(scene, stack, folder, number, plan)

    def _kill_at_random(
        self, broker: EmbeddedBroker, scene: Scene, crew: list[Program], cameras: list[_Camera]
    ) -> None:
        """Kill something again and again, over the time that the cameras take."""
        mean_s = self._feed_s / (self._kills + 1)
        next_s = time.monotonic() + mean_s
        for number in range(self._kills):
            while time.monotonic() < next_s:
                self._look_after(scene, crew)
                Event().wait(0.2)
            next_s += mean_s * self._random.uniform(0.5, 1.5)
            victim = self._random.choice(_VICTIMS)
            print(f"{self._delivery}: kill {number + 1} of {self._kills}: {victim}", file=sys.stderr, flush=True)
            self._killed[victim] += 1
            if victim == "worker":
                place = self._random.randrange(_WORKERS)
                if crew[place].is_running:
                    crew[place].kill()
                self._replace(scene, crew, place)
            elif victim == "camera":
                self._random.choice(cameras).kill()
            else:
                broker.kill_node(_NODE)
                time.sleep(self._random.uniform(*_BROKER_AWAY_S))
                broker.start_node(_NODE)
                self._crashes += _WORKERS  # each may be taken for dead meanwhile

    def _look_after(self, scene: Scene, crew: list[Program]) -> None:
        """Start workers again that ended by themselves, as a supervisor does."""
        for place, worker in enumerate(crew):
            if not worker.is_running:
                self.verdict.ended_by_themselves += 1
                self._replace(scene, crew, place)

    def _replace(self, scene: Scene, crew: list[Program], place: int) -> None:
        self._crashes += 1
        crew[place] = self._worker(scene)

    def _judge(self, scene: Scene, cameras: list[_Camera], crew: list[Program]) -> None:
        ledger = read_ledgers(path for camera in cameras for path in camera.ledgers)
        scene.verifier.wait_until_accounted(ledger, _ACCOUNT_DEADLINE_S)
        for worker in crew:
            if worker.is_running:
                worker.stop()
        allowed = 0 if scene.is_exactly_once else self._crashes * IN_FLIGHT
        events = [event for worker in scene.workers for event in worker.events]
        findings = scene.verifier.check(ledger, events, most_duplicates=allowed)
        verdict = self.verdict
        verdict.kills = dict(self._killed)
        verdict.acknowledged, verdict.unknown = ledger.count("ok"), ledger.count("unknown")
        verdict.lost, verdict.duplicates, verdict.most_duplicates = findings.lost, findings.duplicates, allowed
        verdict.wrong = findings.wrong


def _print_table(verdicts: list[Verdict]) -> None:
    columns = (
        "delivery", "seed", "acknowledged", "unknown", "kills", "lost", "duplicates", "allowed", "seconds", "verdict",
    )  # fmt: skip
    print(" ".join(f"{name:>13}" for name in columns))
    for verdict in verdicts:
        row = (
            verdict.delivery, verdict.seed, verdict.acknowledged, verdict.unknown, sum(verdict.kills.values()),
            verdict.lost, verdict.duplicates, verdict.most_duplicates, verdict.seconds,
            "good" if verdict.is_good else "BAD",
        )  # fmt: skip
        print(" ".join(f"{value!s:>13}" for value in row))
        for name, what in verdict.wrong.items():
            print(f"  {name}: {what}")


def main() -> int:
    """Run both deliveries, or one; print the table, and the verdicts as JSON on the last line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--frames", type=int, default=50_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=240.0, help="over which the frames are sent")
    parser.add_argument("--delivery", choices=get_args(Delivery), action="append")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="streamer-chaos-"))
    verdicts = []
    for delivery in given.delivery or get_args(Delivery):
        place = folder / delivery
        place.mkdir()
        verdicts.append(Chaos(delivery, given.seed, given.frames, given.kills, given.seconds).run(place))
    _print_table(verdicts)
    is_good = all(verdict.is_good for verdict in verdicts)
    if not is_good:
        print(f"what the workers said is in {folder}")
    print(json.dumps([asdict(verdict) for verdict in verdicts]))
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
