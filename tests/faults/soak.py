"""Soak: cameras, a broker and two workers for minutes, and nothing of theirs may grow. `make soak`.

Memory (RSS), file descriptors and threads of every process are read from /proc every few seconds. After a warm-up
each has to be flat: the Theil-Sen slope (the median of the slopes of all pairs of samples, which a few outliers do
not move) over the time that is left may add up to no more than the tolerance. The broker's Java is shown, not judged:
its heap grows until it is collected.
"""

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Event

import numpy as np
from numpy.typing import NDArray

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicNames
from streamer.audit import audit
from tests.faults.worker import Program
from tests.integration.stage import Stage

_CAMERAS = 3
_FPS = 25
_SAMPLE_S = 2.0
#: Caches fill, pools grow to their size, and allocators settle.
_WARM_UP_SHARE = 0.3
#: What the slope may add up to: the larger of so many MiB and this share of the memory that a process has.
_MEMORY_MB = 8.0
_MEMORY_SHARE = 0.05
#: Of descriptors and threads: less than one more.
_COUNT = 0.9


@dataclass(frozen=True)
class Trend:
    """How one figure of one process went.

    Attributes:
        growth: What the slope adds up to after the warm-up.
        tolerance: What it may add up to; None where it is not judged.
    """

    process: str
    figure: str
    first: float
    last: float
    growth: float
    tolerance: float | None

    @property
    def is_flat(self) -> bool:
        return self.tolerance is None or self.growth <= self.tolerance


def theil_sen(seconds: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the median slope of all pairs, per second."""
    first, second = np.triu_indices(len(seconds), k=1)
    slopes = (values[second] - values[first]) / (seconds[second] - seconds[first])
    return float(np.median(slopes))


def _figures(pid: int) -> dict[str, float] | None:
    """Return a process's figures; None where it has ended."""
    folder = Path(f"/proc/{pid}")
    try:
        pages = int((folder / "statm").read_text("utf-8").split()[1])
        return {
            "memory MiB": pages * 4096 / 2**20,
            "descriptors": len(list((folder / "fd").iterdir())),
            "threads": len(list((folder / "task").iterdir())),
        }
    except (OSError, IndexError):
        return None


def _children(pid: int) -> list[int]:
    """Return the processes that a process started, and what these started."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text("utf-8").split()]
    except OSError:
        return []
    return children + [deeper for child in children for deeper in _children(child)]


class Soak:
    """Samples processes, and says how each figure went."""

    def __init__(self) -> None:
        self._samples: dict[tuple[str, int, str], list[tuple[float, float]]] = defaultdict(list)

    def sample(self, processes: dict[str, int]) -> None:
        """Read the figures of processes, and of those that they started."""
        now_s = time.monotonic()
        for name, root in processes.items():
            for place, pid in enumerate([root, *_children(root)]):
                label = name if place == 0 else f"{name} child"
                for figure, value in (_figures(pid) or {}).items():
                    self._samples[label, pid, figure].append((now_s, value))

    def trends(self, began_s: float, ended_s: float) -> list[Trend]:
        """Judge what came after the warm-up; a process that was not there all the time is a finding of its own."""
        from_s = began_s + (ended_s - began_s) * _WARM_UP_SHARE
        found = []
        for (name, pid, figure), samples in self._samples.items():
            late = np.array([sample for sample in samples if sample[0] >= from_s])
            process = f"{name} ({pid})"
            if len(late) < 2 or late[-1, 0] < ended_s - 3 * _SAMPLE_S or samples[0][0] > from_s:
                found.append(Trend(process, f"{figure} (not there all the time)", 0, 0, np.inf, 0))
                continue
            seconds, values = late[:, 0], late[:, 1]
            growth = theil_sen(seconds, values) * (seconds[-1] - seconds[0])
            tolerance = max(_MEMORY_MB, float(np.median(values)) * _MEMORY_SHARE) if "memory" in figure else _COUNT
            found.append(Trend(process, figure, values[0], values[-1], growth, None if name == "broker" else tolerance))
        return found


def _print_table(trends: list[Trend]) -> None:
    print(f"{'process':28} {'figure':14} {'first':>10} {'last':>10} {'growth':>10} {'tolerance':>10}")
    for trend in trends:
        tolerance = "-" if trend.tolerance is None else f"{trend.tolerance:.1f}"
        print(
            f"{trend.process:28} {trend.figure:14} {trend.first:10.1f} {trend.last:10.1f} {trend.growth:10.2f} "
            f"{tolerance:>10} {'' if trend.is_flat else 'GROWS'}"
        )


def main() -> int:
    """Run, print the table, and end with 1 where something grows or a frame is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--delivery", default="at-least-once")
    given = parser.parse_args()
    soak = Soak()
    with tempfile.TemporaryDirectory() as folder_name, ExitStack() as stack:
        folder = Path(folder_name)
        broker = stack.enter_context(EmbeddedBroker(BrokerOptions()))
        stage = Stage(Kafka(broker.bootstrap_servers), TopicNames())
        consume = [
            "consume", "--workers", "2", "--delivery", given.delivery, "--state-directory", str(folder / "state"),
            *stage.flags(),
        ]  # fmt: skip
        programs = [Program("workers", "streamer", consume, folder / "workers.log")]
        for number in range(_CAMERAS):
            camera = ["--camera", f"line-{number}", "--source", "synthetic:workpiece", "--fps", str(_FPS)]
            programs.append(
                Program(f"camera {number}", "streamer", ["produce", *camera, *stage.flags()], folder / f"{number}.log")
            )
        for program in programs:
            stack.enter_context(program)
        processes = {program.name: program.pid for program in programs} | {"broker": broker.pids[1]}
        began_s = time.monotonic()
        while time.monotonic() < began_s + given.minutes * 60:
            Event().wait(_SAMPLE_S)
            soak.sample(processes)
            for program in programs:
                assert program.is_running, f"{program.name} ended: {program.lines[-5:]}"
        trends = soak.trends(began_s, time.monotonic())
        for program in reversed(programs):  # the cameras first
            program.stop(60.0)
        report = audit(stage.cluster, stage.topics)
        missing = sum(group.missing for group in report.groups)
        published = sum(group.published for group in report.groups)
    _print_table(trends)
    print(f"{published} frames, {missing} without an outcome")
    print(json.dumps({"published": published, "missing": missing, "trends": [asdict(trend) for trend in trends]}))
    return 0 if published and not missing and all(trend.is_flat for trend in trends) else 1


if __name__ == "__main__":
    sys.exit(main())
