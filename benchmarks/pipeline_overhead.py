"""What a pipeline costs by itself: µs per item and step with steps that do nothing, each on a thread of its own.

Beside it stand a bare loop over the same functions, and a chain of ThreadPoolExecutors with one thread each and as many
items on their way. All of them run in turns, and the best turn of each counts, since the machine may do other things.
"""

import argparse
import json
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step

_STEPS = 3
_IN_FLIGHT = 16
#: What the pipeline may cost, µs per item and step.
_BUDGET_US = 30.0


def nothing(item: Any) -> Any:
    """Give the item back."""
    return item


def bare_loop(items: int) -> None:
    """Call the functions, and nothing else."""
    functions = [nothing] * _STEPS
    for item in range(items):
        value = item
        for function in functions:
            value = function(value)


def executors(items: int) -> None:
    """Let each step's executor hand its result to the next one's."""
    pools = [ThreadPoolExecutor(1) for _ in range(_STEPS)]

    def step(index: int, item: Any, done: Future[Any]) -> None:
        value = nothing(item)
        if index + 1 == _STEPS:
            done.set_result(value)
        else:
            pools[index + 1].submit(step, index + 1, value, done)

    window: deque[Future[Any]] = deque()
    for item in range(items):
        if len(window) == _IN_FLIGHT:
            window.popleft().result()
        window.append(Future())
        pools[0].submit(step, 0, item, window[-1])
    for future in window:
        future.result()
    for pool in pools:
        pool.shutdown()


def pipeline_run(items: int) -> None:
    """Take the items through by `run`."""
    with Pipeline([Step(f"step {number}", nothing) for number in range(_STEPS)], max_in_flight=_IN_FLIGHT) as pipeline:
        for outcome in pipeline.run(range(items)):
            outcome.unwrap()


def pipeline_submit(items: int) -> None:
    """Take the items through by `submit`, futures and all."""
    with Pipeline([Step(f"step {number}", nothing) for number in range(_STEPS)], max_in_flight=_IN_FLIGHT) as pipeline:
        window: deque[Future[Any]] = deque()
        for item in range(items):
            if len(window) == _IN_FLIGHT:
                window.popleft().result()
            window.append(pipeline.submit(item))
        for future in window:
            future.result()


def pipeline_inline(items: int) -> None:
    """The same without threads, as the consumer labels its batches."""
    steps = [Step(f"step {number}", nothing, parallel_steps=0) for number in range(_STEPS)]
    with Pipeline(steps) as pipeline:
        for outcome in pipeline.run(range(items)):
            outcome.unwrap()


def measure(work: Callable[[int], None], items: int) -> tuple[float, float]:
    """Return wall and CPU time, µs per item and step."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    work(items)
    wall_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return wall_s / items / _STEPS * 1e6, cpu_s / items / _STEPS * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=30_000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ways: dict[str, Callable[[int], None]] = {
        "bare loop": bare_loop,
        "executors": executors,
        "pipeline, run": pipeline_run,
        "pipeline, submit": pipeline_submit,
        "pipeline, no threads": pipeline_inline,
    }
    turns = [{name: measure(way, arguments.items) for name, way in ways.items()} for _ in range(arguments.turns)]
    best = {name: (min(turn[name][0] for turn in turns), min(turn[name][1] for turn in turns)) for name in ways}
    worst_us = {name: max(turn[name][0] for turn in turns) for name in ways}
    if arguments.json:
        print(json.dumps({name: {"wall_us": wall_us, "cpu_us": cpu_us} for name, (wall_us, cpu_us) in best.items()}))
        return
    of_executors_us = best["executors"][0]
    print(f"{'per item and step':22}  {'wall µs':>8}  {'worst':>8}  {'CPU µs':>8}  {'of executors':>12}")
    for name, (wall_us, cpu_us) in best.items():
        ratio = wall_us / of_executors_us
        print(f"{name:22}  {wall_us:>8.2f}  {worst_us[name]:>8.2f}  {cpu_us:>8.2f}  {ratio:>12.2f}")
    print(f"budget {_BUDGET_US:g} µs: {best['pipeline, run'][0] / _BUDGET_US:.0%} used")


if __name__ == "__main__":
    main()
