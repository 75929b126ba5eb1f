"""What a run has found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.models.zoo.agreement import Agreement
from engine.session import BenchmarkResult
from streamer.classifiers.plan import RunPlan
from streamer.csv_cells import csv_cell

_SHOWN_VALUES = 5
#: With fewer, the 95th percentile is the largest value.
_FEWEST_FOR_P95 = 20


@dataclass(frozen=True, slots=True)
class Timing:
    """How fast it was.

    Attributes:
        images_per_s: Images, not batches: what the vendor's runner calls Inf/Sec.
        batches: How many were completed.
        took_s: From the first to the last.
        latency_p50_ms: Of a batch, from when the device took it up until it was done; p95 and p99 too.
    """

    images_per_s: float
    batches: int
    took_s: float
    latency_p50_ms: float
    latency_p95_ms: float
    latency_p99_ms: float

    @classmethod
    def of(cls, result: BenchmarkResult) -> "Timing":
        """Return what a session's benchmark comes to."""
        percentiles = (result.latency_ms(share) for share in (0.5, 0.95, 0.99))
        return cls(result.images_per_s, result.inf_completed, result.inf_time, *percentiles)

    @property
    def notes(self) -> list[str]:
        """What somebody should know who reads it, a line each."""
        if self.batches >= _FEWEST_FOR_P95:
            return []
        return [f"{self.batches} batches are too few for a p95, which is the longest: a longer --time, or -b 1"]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What a run has found.

    Attributes:
        backend: Which computed; `detail` is its own line about the device.
        weights: `pretrained` or `random`.
        opset: That of the file.
        concurrency: Activations, and batches in flight for each of them.
        answers: float32[batch, classes], logits of random pictures.
        agreement: How they compare with torch's.
        is_judged: Whether it computes as exactly as torch, so that answers that differ are wrong.
        directory: The working directory.
        notes: What somebody should know who reads the figures, a line each.
    """

    plan: RunPlan
    backend: str
    detail: str
    is_simulated: bool
    weights: str
    opset: int
    concurrency: tuple[int, int]
    timing: Timing
    answers: NDArray[np.float32]
    agreement: Agreement
    is_judged: bool
    directory: Path
    notes: tuple[str, ...]

    @property
    def is_wrong(self) -> bool:
        """Whether the answers are others than torch's, on a back end that computes as exactly."""
        return self.is_judged and not self.agreement.agrees

    @property
    def first_values(self) -> list[float]:
        """The first values of the first picture's answer."""
        return [float(value) for value in self.answers[0, :_SHOWN_VALUES]]

    def as_json(self) -> dict[str, object]:
        """Return all of it for programs; `latency_ms` is the 95th percentile."""
        plan, timing, agreement = self.plan, self.timing, self.agreement
        activations, in_flight = self.concurrency
        return {
            "model": plan.model,
            "objective": plan.objective,
            "backend": self.backend,
            "device": self.detail,
            "simulated": self.is_simulated,
            "weights": self.weights,
            "inferences_per_second": timing.images_per_s,
            "latency_ms": timing.latency_p95_ms,
            "latency_p50_ms": timing.latency_p50_ms,
            "latency_p99_ms": timing.latency_p99_ms,
            "max_abs_difference": _finite(agreement.max_abs_difference),
            "relative_difference": _finite(agreement.relative_difference),
            "same_top_class": agreement.same_top_class,
            "agrees": agreement.agrees,
            "output_shape": list(self.answers.shape),
            "output_first_values": [_finite(value) for value in self.first_values],
            "top_class": int(self.answers[0].argmax()),
            "listed_inferences_per_second": plan.listed[0],
            "listed_latency_ms": plan.listed[1],
            "opset": self.opset,
            "batch_size": plan.batch_size,
            "image_size": plan.image_size_px,
            "cores": plan.cores,
            "instances": plan.instances,
            "ols": plan.ols,
            "mos": plan.mos or None,
            "set_size": plan.set_size,
            "extra": plan.extra or None,
            "time_s": plan.time_s,
            "activations": activations,
            "batches_in_flight": activations * in_flight,
            "batches": timing.batches,
            "took_s": timing.took_s,
            "origins": {name.removesuffix("_px"): origin for name, origin in plan.origins.items()},
            "table": str(plan.table),
            "work_directory": str(self.directory),
            "notes": list(self.notes),
        }


#: The columns of `--csv`: what is one value.
CSV_COLUMNS = (
    "model", "objective", "backend", "simulated", "weights", "inferences_per_second", "latency_ms", "latency_p50_ms",
    "latency_p99_ms", "max_abs_difference", "relative_difference", "same_top_class", "agrees",
    "listed_inferences_per_second", "listed_latency_ms", "opset", "batch_size", "image_size", "cores", "instances",
    "ols", "mos", "set_size", "extra", "time_s", "activations", "batches_in_flight", "batches", "took_s", "error",
)  # fmt: skip


def csv_text(rows: Sequence[Mapping[str, object]], *, has_header: bool = True) -> str:
    """Return rows of `as_json` as CSV; a model that failed has its name and the error alone.

    Args:
        rows: What was found.
        has_header: Whether they begin the file.
    """
    import csv
    import io

    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", extrasaction="ignore", lineterminator="\n")
    if has_header:
        writer.writeheader()
    for row in rows:
        writer.writerow({name: "" if value is None else csv_cell(value) for name, value in row.items()})
    return text.getvalue()


def _finite(value: float) -> float | None:
    """Return a number that JSON has; None for one that is no finite number."""
    return value if abs(value) < float("inf") else None
