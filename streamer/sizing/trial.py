"""What came out of one trial. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, Final, NamedTuple, Self

from messaging.cloudevents import read_headers
from messaging.frame import frame_id
from messaging.outcome import Timed, read_outcome
from messaging.timestamps import parse_us
from streamer.sizing.load import LoadReport
from streamer.sizing.quantiles import TAIL

#: Nothing counts before: processes start, caches fill, a queue grows to its length.
WARM_S: Final = 2.0
#: Cameras that are later than this were not what they pretended to be.
_LATE_MS: Final = 100.0


class Answer(NamedTuple):
    """One frame's result.

    Attributes:
        captured_at_us: µs since 1970.
        latency_ms: From capture to hand-over.
        batch: Frames in its batch.
    """

    captured_at_us: int
    latency_ms: float
    batch: int

    @classmethod
    def of(cls, outcome: Timed) -> Self:
        """Take what matters of a result."""
        return cls(parse_us(outcome.captured_at), outcome.latency_ms.total, outcome.batch.size)


def answers_of(records: Iterable[Any], session: str) -> list[Answer]:
    """Return what the results of a session's frames say; frames that were skipped have no latency.

    Args:
        records: Of the results topic (kafka-python's `ConsumerRecord`); those of other sessions do not count.
        session: Of the cameras.
    """
    answers = []
    for record in records:
        outcome = read_outcome(record.value)
        if isinstance(outcome, Timed) and read_headers(record.headers).get("ce_id") == frame_id(
            outcome.camera, session, outcome.sequence
        ):
            answers.append(Answer.of(outcome))
    return answers


@dataclass(frozen=True, slots=True)
class LoadTrial:
    """Cameras, one worker, some seconds.

    Attributes:
        fps: Of each camera; None for as fast as results came back.
        has_caught_up: Whether every frame had a result soon after the end.
        worker_cpu_s: CPU time of the worker.
    """

    cameras: int
    fps: float | None
    load: LoadReport
    answers: Sequence[Answer]
    has_caught_up: bool
    worker_cpu_s: float

    @property
    def cpu_us(self) -> float:
        """CPU of the worker, for each frame."""
        return self.worker_cpu_s / max(self.load.sent, 1) * 1e6

    @property
    def is_played(self) -> bool:
        """Whether the cameras kept their pace: where not, the trial says nothing of the worker."""
        return self.load.late_p99_ms <= _LATE_MS

    @property
    def drop_rate(self) -> float:
        """The share of captured frames without a result."""
        return 1 - len(self.answers) / self.load.captured if self.load.captured else 0.0

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of a second's frames: that of the middle second, so that one hiccup does not count.

        Infinite where there is none.
        """
        warm = self._warm()
        if not warm:
            return math.inf
        seconds: dict[int, list[float]] = {}
        for answer in warm:
            seconds.setdefault((answer.captured_at_us - warm[0].captured_at_us) // 1_000_000, []).append(
                answer.latency_ms
            )
        return median(_p99(latencies) for latencies in seconds.values())

    @property
    def p99_of_all_ms(self) -> float:
        """The 99th percentile of all frames; infinite where there is none."""
        warm = self._warm()
        return _p99([answer.latency_ms for answer in warm]) if warm else math.inf

    @property
    def mean_batch(self) -> float:
        """Frames in a batch, on average over the batches."""
        return len(self.answers) / sum(1 / answer.batch for answer in self.answers) if self.answers else 0.0

    def passes(self, budget_s: float, drop_rate: float) -> bool:
        """Tell whether what was asked for was kept."""
        is_in_time = self.p99_ms <= budget_s * 1e3 and self.drop_rate <= drop_rate
        return self.is_played and self.has_caught_up and is_in_time

    def _warm(self) -> list[Answer]:
        if not self.answers:
            return []
        answers = sorted(self.answers)
        from_us = answers[0].captured_at_us + WARM_S * 1e6
        return [answer for answer in answers if answer.captured_at_us >= from_us]


def _p99(latencies_ms: Sequence[float]) -> float:
    """Return the 99th percentile, by nearest rank."""
    return sorted(latencies_ms)[math.ceil((1 - TAIL) * len(latencies_ms)) - 1]
