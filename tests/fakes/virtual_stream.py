"""A consumer in virtual time: real micro-batcher, real deadlines, the simulator's card, and no clock or thread."""

import heapq
import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import NamedTuple

from consumers.batch import PolledFrame
from consumers.batch_deadline import BatchDeadline
from engine.backends.simulator.card import Card
from engine.batching import MicroBatcher
from tests.fakes.polled_frames import polled_frames
from tests.fakes.records import TIME_US


class Arrival(NamedTuple):
    """A frame: when it was captured, and when the consumer has it, seconds from the start."""

    captured_at_s: float
    polled_at_s: float


class Answer(NamedTuple):
    """A frame's result: how old the frame was then, and how many were in its batch."""

    latency_s: float
    batch_size: int


@dataclass(frozen=True)
class VirtualConsumer:
    """A consumer of one device.

    Attributes:
        size: Frames in a batch at the most.
        places: Batches on their way at a time.
        instances: Batches that the card computes at a time, each for `service_s`.
        decode_s: Host time for each frame of a batch, before the card has it.
    """

    size: int = 8
    places: int = 6
    instances: int = 2
    service_s: float = 0.02
    decode_s: float = 0.0003

    def run(self, arrivals: Iterable[Arrival], deadline: BatchDeadline) -> list[Answer]:
        """Give every frame its result; in the order in which they are ready."""
        (pattern,) = polled_frames([1])
        card = Card(self.instances, self.service_s, self.places)
        batcher: MicroBatcher[PolledFrame] = MicroBatcher(self.size, 1 << 40)
        answers: list[Answer] = []
        numbers = count()
        events: list[tuple[float, int, Arrival | tuple[float, list[PolledFrame]] | None]] = [
            (arrival.polled_at_s, next(numbers), arrival) for arrival in arrivals
        ]
        heapq.heapify(events)
        on_their_way = 0
        while events:
            now_s, _, event = heapq.heappop(events)
            if isinstance(event, Arrival):
                captured_at_us = TIME_US + round(event.captured_at_s * 1e6)
                polled = replace(
                    pattern,
                    frame=replace(pattern.frame, captured_at_us=captured_at_us),
                    polled_at_us=TIME_US + round(now_s * 1e6),
                    polled_at_s=now_s,
                )
                batcher.add(polled, 1, deadline.due_at_s(polled))
            elif event is not None:
                sent_at_s, frames = event
                on_their_way -= 1
                deadline.note(now_s - sent_at_s)
                answers += (
                    Answer(now_s - (polled.frame.captured_at_us - TIME_US) / 1e6, len(frames)) for polled in frames
                )
            while on_their_way < self.places and (frames := batcher.take(now_s + deadline.lead_s)):
                on_their_way += 1
                done_at_s = card.begin(now_s + self.decode_s * len(frames)).finished_at_s
                heapq.heappush(events, (done_at_s, next(numbers), (now_s, frames)))
            due_at_s = batcher.due_at_s()
            if on_their_way < self.places and due_at_s is not None:
                heapq.heappush(events, (max(due_at_s - deadline.lead_s, now_s + 1e-6), next(numbers), None))
        return answers


def poisson(rng: random.Random, rate_hz: float, frames: int, lag_s: tuple[float, float]) -> Iterator[Arrival]:
    """Give frames of many independent cameras, each some time late."""
    now_s = 0.0
    for _ in range(frames):
        now_s += rng.expovariate(rate_hz)
        yield Arrival(now_s, now_s + rng.uniform(*lag_s))


def bursts(rng: random.Random, rate_hz: float, frames: int, lag_s: tuple[float, float]) -> Iterator[Arrival]:
    """Give the same rate in bursts of 1 to 12 frames at once, as one fetch of many cameras brings them."""
    now_s, left = 0.0, frames
    while left > 0:
        size = min(rng.randint(1, 12), left)
        now_s += rng.expovariate(rate_hz / 6.5)
        late_s = rng.uniform(*lag_s)
        yield from (Arrival(now_s, now_s + late_s) for _ in range(size))
        left -= size


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that `percent` of them do not exceed."""
    ordered = sorted(values)
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]
