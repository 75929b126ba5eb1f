"""Measured beside listed: throughput and latency of simulated cards at saturation, nothing computed.

python benchmarks/simulator_rows.py [--row resnet50/best-throughput] [--all] [--seconds 3]

Ratios of 1 are what the simulator promises for throughput. Its latency is Little's law; where the listed one is
another, the note says so. `late` is how long after its simulated end a batch was handed back, 95th percentile.
"""

import argparse
import json
import math
import resource
import time
from array import array
from collections import deque
from concurrent.futures import Future
from functools import partial

import numpy as np

from engine.backends.base import BackendOptions, Inference
from engine.backends.simulator.backend import SimulatorBackend, SimulatorOwn
from engine.backends.simulator.figures import CardFigures, read_figures

#: From few large batches to many small ones, and one whose listed latency is not reproduced.
ROWS = (
    "vgg11/best-throughput",
    "resnet50/best-throughput",
    "resnet50/best-latency",
    "squeezenet1_1/best-throughput",
    "mobilenet_v3_large/best-throughput",
    "mnasnet0_75/best-throughput",
)
#: So much work waits that the card is never idle.
AHEAD_S = 0.05


def main() -> None:
    """Run as a command; the last line is JSON."""
    parser = argparse.ArgumentParser(description="Simulated cards beside the figures that they go by.")
    parser.add_argument("--row", action="append", help="one of the published rows; may be repeated")
    parser.add_argument("--all", action="store_true", help="every row")
    parser.add_argument("--seconds", type=float, default=3.0, help="of simulated work for each row")
    arguments = parser.parse_args()
    table = read_figures()
    rows = list(table.rows) if arguments.all else arguments.row or list(ROWS)
    report = {}
    for row in rows:
        figures = table.find(row)
        report[figures.name] = measured = measure(figures, arguments.seconds)
        print(
            f"{figures.name}: {measured['images_per_s']} images/s, {measured['throughput_ratio']} of listed; "
            f"p95 {measured['latency_p95_ms']} ms, {measured['latency_ratio']} of listed; "
            f"late {measured['late_p95_ms']} ms; CPU {measured['cpu_share']} of a core"
        )
    print(json.dumps(report))


def measure(figures: CardFigures, seconds: float) -> dict[str, float | str | None]:
    """Keep a card busy for some seconds, in whole rounds of its instances, and look at what it did.

    Throughput is by the clock of this process, from the first batch handed over to the last one handed back.
    """
    backend = SimulatorBackend()
    program = backend.open(None, BackendOptions(own=SimulatorOwn(row=figures.name, compute="none")))
    inputs = {spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in program.inputs}
    backend.submit(inputs, figures.batch_size).result()  # the first one is slower: telemetry is looked up
    batches = max(1, round(seconds / figures.service_time_s)) * figures.instances
    ahead = backend.slots + math.ceil(AHEAD_S * figures.images_per_s / figures.batch_size)
    # Numbers, not the results themselves: thousands of objects make the garbage collector stop everything.
    latencies_ms, late_ms = array("d"), array("d")
    futures: deque[Future[Inference]] = deque()
    cpu_s, began_s = cpu_time_s(), time.monotonic()
    for number in range(batches):
        if number >= ahead:
            futures.popleft().result()
        future = backend.submit(inputs, figures.batch_size)
        future.add_done_callback(partial(note, latencies_ms, late_ms))
        futures.append(future)
    futures[-1].result()
    took_s, cpu_s = time.monotonic() - began_s, cpu_time_s() - cpu_s
    backend.close()
    rate = batches * figures.batch_size / took_s
    # The first ones find the card empty.
    full = latencies_ms[figures.instances * figures.set_size :]
    latency_ms = p95(full) if full else None
    listed_ms = figures.latency_p95_ms
    return {
        "images_per_s": round(rate, 1),
        "throughput_ratio": round(rate / figures.images_per_s, 4),
        "latency_p95_ms": round(latency_ms, 3) if latency_ms is not None else None,
        "latency_ratio": round(latency_ms / listed_ms, 3) if latency_ms is not None and listed_ms else None,
        "late_p95_ms": round(p95(late_ms), 3),
        "cpu_share": round(cpu_s / took_s, 3),
        "note": backend.simulation.note if backend.simulation is not None else None,
    }


def note(latencies_ms: "array[float]", late_ms: "array[float]", future: Future[Inference]) -> None:
    """Keep how long the card had a batch, and how late it was handed back."""
    seen_s, inference = time.monotonic(), future.result()
    latencies_ms.append((inference.finished_at_s - inference.started_at_s) * 1e3)
    late_ms.append((seen_s - inference.finished_at_s) * 1e3)


def p95(values: "array[float]") -> float:
    """Return the 95th percentile."""
    return float(np.percentile(values, 95))


def cpu_time_s() -> float:
    """Return the CPU time that this process has taken, all of its threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
