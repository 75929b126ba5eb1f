"""Batches that close just in time for a latency budget beside batches with a fixed time-out, at equal p99.

Frames come by Poisson arrivals and in bursts, each up to `--lag-ms` late (what a broker's lag, a slow link or a fetch
that waits makes of them). First in virtual time, with the real micro-batcher and deadlines and the simulator's card;
then, with `--real`, through a real broker and `streamer consume` with a simulated card that computes nothing. Of the
fixed time-outs the table shows the longest that keeps the p99 that the budget gave. Run it by
`python -m benchmarks.deadline`.
"""

import argparse
import random
import uuid
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import NamedTuple

from benchmarks.consumer_cpu import consume, pictures
from benchmarks.delivery import send_paced
from consumers.batch_deadline import BatchDeadline
from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics
from tests.fakes.virtual_stream import Arrival, VirtualConsumer, bursts, percentile, poisson

_SEED = 7
_CAMERAS = 16
_JOIN_S = 4.0
#: 1.9 ms for a batch of up to 8, on seven instances.
_ROW = "resnet50/best-throughput"

Arrivals = Callable[[random.Random, float, int, tuple[float, float]], Iterator[Arrival]]
KINDS: dict[str, Arrivals] = {"Poisson": poisson, "bursts": bursts}


class Figures(NamedTuple):
    """What a run gave: p99 from capture to result, and the mean of the batches' sizes."""

    p99_ms: float
    batch_size: float


def virtual(kind: str, rate_hz: float, lag_ms: float, deadline: BatchDeadline) -> Figures:
    """Run 20,000 frames in virtual time."""
    arrivals = KINDS[kind](random.Random(_SEED), rate_hz, 20_000, (0.0, lag_ms / 1e3))
    answers = VirtualConsumer().run(arrivals, deadline)
    batches = sum(1 / answer.batch_size for answer in answers)
    return Figures(percentile((answer.latency_s * 1e3 for answer in answers), 99), len(answers) / batches)


def longest_fixed(
    run: Callable[[float], Figures], p99_ms: float, longest_ms: float, steps: int
) -> tuple[float, Figures]:
    """Find the longest fixed time-out in ms that keeps a p99, by bisection."""
    low_ms, high_ms = 0.0, longest_ms
    best = run(low_ms)
    for _ in range(steps):
        middle_ms = (low_ms + high_ms) / 2
        figures = run(middle_ms)
        if figures.p99_ms <= p99_ms:
            low_ms, best = middle_ms, figures
        else:
            high_ms = middle_ms
    return low_ms, best


class RealStream:
    """A broker, and consumers that are given the same arrivals one after the other."""

    def __init__(self, cluster: Kafka, kind: str, rate_hz: float, lag_ms: float, seconds: float) -> None:
        """Remember what comes."""
        self._cluster = cluster
        frames = int(rate_hz * (seconds + _JOIN_S))
        arrivals = KINDS[kind](random.Random(_SEED), rate_hz, frames, (0.0, lag_ms / 1e3))
        self._arrivals = sorted(arrivals, key=lambda arrival: arrival.polled_at_s)
        self._jpegs = pictures(16)

    def run(self, flags: list[str]) -> Figures:
        """Consume them; what came before the consumer joined is left out."""
        mark = uuid.uuid4().hex[:8]
        topics = TopicNames(frames=f"frames-{mark}", results=f"results-{mark}")
        create_topics(self._cluster, TopicPlan(topics))
        until = Event()
        arguments = (self._cluster, topics.frames, self._jpegs, self._arrivals, _CAMERAS, until)
        feeder = Thread(target=send_paced, args=arguments, name="feeder")
        feeder.start()
        card = ["--backend", "simulator", "--row", _ROW, "--compute", "none"]
        try:
            _, _, figures = consume(self._cluster, topics, None, [*card, "--from", "latest", *flags])
        finally:
            until.set()
            feeder.join()
        latency, batch = figures["latency_ms"], figures["batch"]
        assert isinstance(latency, dict)
        assert isinstance(batch, dict)
        return Figures(latency["p99"], batch["mean_size"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget-ms", type=float, default=400.0)
    parser.add_argument("--lag-ms", type=float, default=300.0, help="the longest")
    parser.add_argument("--rate", type=float, default=60.0, help="frames per second, all cameras together")
    parser.add_argument("--real", action="store_true", help="through a real broker, too (7 runs of each kind)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of a real run")
    given = parser.parse_args()
    print(f"{'arrivals':24} {'budget':>8} {'p99':>8} {'mean batch':>11}", end="   ")
    print(f"{'time-out':>8} {'p99':>8} {'mean batch':>11} {'ratio':>6}")
    for kind in KINDS:
        for lag_ms in (0.0, given.lag_ms):
            budgeted = virtual(kind, given.rate, lag_ms, BatchDeadline(0.0, given.budget_ms / 1e3))

            def fixed(timeout_ms: float, kind: str = kind, lag_ms: float = lag_ms) -> Figures:
                return virtual(kind, given.rate, lag_ms, BatchDeadline(timeout_ms / 1e3))

            _print(f"{kind}, lag 0-{lag_ms:.0f} ms", given, budgeted, longest_fixed(fixed, budgeted.p99_ms, 500, 12))
    if given.real:
        with EmbeddedBroker(BrokerOptions()) as broker:
            for kind in KINDS:
                stream = RealStream(Kafka(broker.bootstrap_servers), kind, given.rate, given.lag_ms, given.seconds)
                budgeted = stream.run(["--latency-budget", f"{given.budget_ms:.0f}ms"])

                def timed(timeout_ms: float, stream: RealStream = stream) -> Figures:
                    return stream.run(["--batch-timeout", f"{timeout_ms:.0f}ms"])

                found = longest_fixed(timed, budgeted.p99_ms, given.budget_ms, 5)
                _print(f"{kind}, real, lag 0-{given.lag_ms:.0f} ms", given, budgeted, found)


def _print(name: str, given: argparse.Namespace, budgeted: Figures, found: tuple[float, Figures]) -> None:
    timeout_ms, fixed = found
    print(
        f"{name:24} {given.budget_ms:5.0f} ms {budgeted.p99_ms:5.0f} ms {budgeted.batch_size:11.2f}   "
        f"{timeout_ms:5.0f} ms {fixed.p99_ms:5.0f} ms {fixed.batch_size:11.2f} "
        f"{budgeted.batch_size / fixed.batch_size:6.2f}"
    )


if __name__ == "__main__":
    main()
