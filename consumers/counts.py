"""What a consumer has done: the figures of its last line and of its status."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from consumers.agreement import Agreement, merge_agreements
from consumers.batch import Batch, Kind
from engine.spread import Spread
from messaging.timestamps import format_us, now_us, parse_us


@dataclass(slots=True)
class Counts:
    """Running totals, for several threads.

    Attributes:
        outcomes: Outcomes that the broker has, by kind and reason ("" without one).
        latency_ms: Capture to acknowledged result, of classified and timed frames.
        lost_to_retention: Frames that were deleted before they were read; they have no outcome.
        answers: Results that the broker has, by the digest of the model that gave them.
        model_changes: How often another version of the model was taken.
        model_failures: How often one could not be.
        shadow: What the shadow model did; None without one.
    """

    outcomes: Counter[tuple[Kind, str]] = field(default_factory=Counter)
    batches: int = 0
    batched_frames: int = 0
    is_simulated: bool = False
    lost_to_retention: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    model_changes: int = 0
    model_failures: int = 0
    shadow: Agreement | None = None
    first_s: float | None = None
    last_s: float | None = None
    _latency_ms: Spread = field(default_factory=Spread)
    _lock: Lock = field(default_factory=Lock)

    def began(self) -> None:
        """Note that frames were polled; the first time is where the rate is counted from."""
        with self._lock:
            self.first_s = self.first_s or time.monotonic()

    def finished(self, kind: Kind, reason: str, latency_ms: float, digest: str = "") -> None:
        """Count an outcome that the broker has acknowledged; `digest` is that of the model that gave it."""
        now_s = time.monotonic()
        with self._lock:
            self.outcomes[kind, reason] += 1
            if digest:
                self.answers[digest] += 1
            if kind in ("classified", "timed") and latency_ms >= 0:
                self._latency_ms.add(latency_ms)
            self.last_s = now_s

    def lost(self, count: int) -> None:
        """Count frames that were deleted before they were read."""
        with self._lock:
            self.lost_to_retention += count

    def batch(self, batch: Batch) -> None:
        """Count a batch that came from the device."""
        with self._lock:
            self.batches += 1
            self.batched_frames += len(batch.frames)
            if batch.inference is not None:
                self.is_simulated = batch.inference.simulated

    def model_changed(self) -> None:
        """Count a model that was taken."""
        with self._lock:
            self.model_changes += 1

    def model_failed(self) -> None:
        """Count one that could not be."""
        with self._lock:
            self.model_failures += 1

    def model_changes_now(self) -> dict[str, int]:
        """Return how often a model was changed, by what came of it."""
        with self._lock:
            return {"taken": self.model_changes, "failed": self.model_failures}

    def shadowed_now(self) -> dict[str, int]:
        """Return the frames of the shadow model, by what came of them; empty without one."""
        return self.shadow.counts() if self.shadow is not None else {}

    def outcomes_now(self) -> dict[tuple[Kind, str], int]:
        """Return the outcomes so far, for another thread."""
        with self._lock:
            return dict(self.outcomes)

    @property
    def frames(self) -> Counter[Kind]:
        """Outcomes by kind."""
        totals: Counter[Kind] = Counter()
        for (kind, _), count in self.outcomes_now().items():
            totals[kind] += count
        return totals

    @property
    def reasons(self) -> Counter[str]:
        """Outcomes with a reason, by it."""
        totals: Counter[str] = Counter()
        for (_, reason), count in self.outcomes_now().items():
            if reason:
                totals[reason] += count
        return totals

    @property
    def total(self) -> int:
        """All outcomes."""
        return sum(self.outcomes_now().values())

    @property
    def mean_batch_size(self) -> float:
        """Frames in a batch, on average; 0 without any."""
        return self.batched_frames / self.batches if self.batches else 0.0

    @property
    def fps(self) -> float:
        """Outcomes per second from the first poll that gave frames to the last outcome."""
        if self.first_s is None or self.last_s is None or self.last_s <= self.first_s:
            return 0.0
        return self.total / (self.last_s - self.first_s)

    def latency_ms(self, quantile: float) -> float | None:
        """Return a quantile (0–1) of the latency; None before the first frame."""
        with self._lock:
            return self._latency_ms.percentile(quantile) if self._latency_ms.count else None

    def summary(self) -> dict[str, Any]:
        """Return the figures as the command prints them."""
        latency = {name: self.latency_ms(quantile) for name, quantile in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))}
        frames = self.frames
        return {
            "classified": frames["classified"],
            "timed": frames["timed"],
            "skipped": frames["skipped"],
            "dead_lettered": frames["dead-lettered"],
            "reasons": dict(self.reasons),
            "lost_to_retention": self.lost_to_retention,
            "answers": dict(self.answers),
            "model_changes": self.model_changes,
            "model_failures": self.model_failures,
            "shadow": self.shadow.summary() if self.shadow is not None else None,
            "began_at": _as_time(self.first_s),
            "ended_at": _as_time(self.last_s),
            "fps": round(self.fps, 2),
            "latency_ms": {name: round(value, 3) if value is not None else None for name, value in latency.items()},
            "batch": {"mean_size": round(self.mean_batch_size, 3), "count": self.batches},
        }


def _as_time(moment_s: float | None) -> str | None:
    """Return a moment of the monotonic clock as a time (RFC 3339)."""
    return format_us(now_us() - round((time.monotonic() - moment_s) * 1e6)) if moment_s is not None else None


def merge_summaries(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one summary of several workers: sums, the mean of their batches, and the slowest worker's latencies."""
    merged = Counts().summary()
    batches = sum(summary["batch"]["count"] for summary in summaries)
    framed = sum(summary["batch"]["mean_size"] * summary["batch"]["count"] for summary in summaries)
    for name, empty in merged.items():
        values = [summary[name] for summary in summaries if name in summary]
        if isinstance(empty, (int, float)):
            merged[name] = round(sum(values), 2)
    for name in ("reasons", "answers"):
        totals: Counter[str] = Counter()
        for summary in summaries:
            totals.update(summary[name])
        merged[name] = dict(totals)
    merged["shadow"] = merge_agreements([summary["shadow"] for summary in summaries if summary["shadow"]])
    latencies = [summary["latency_ms"] for summary in summaries]
    merged["latency_ms"] = {
        name: max((each[name] for each in latencies if each[name] is not None), default=None)
        for name in ("p50", "p95", "p99")
    }
    began = [summary["began_at"] for summary in summaries if summary["began_at"]]
    ended = [summary["ended_at"] for summary in summaries if summary["ended_at"]]
    merged["began_at"], merged["ended_at"] = min(began, default=None), max(ended, default=None)
    span_us = parse_us(max(ended)) - parse_us(min(began)) if began and ended else 0
    outcomes = sum(merged[name] for name in ("classified", "timed", "skipped", "dead_lettered"))
    merged["fps"] = round(outcomes / span_us * 1e6, 2) if span_us > 0 else 0.0
    merged["batch"] = {"mean_size": round(framed / batches, 3) if batches else 0.0, "count": batches}
    return merged
