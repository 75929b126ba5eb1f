"""What an engine counts."""

from typing import Any

from engine.spread import Spread

_PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class StreamCounts:
    """One stream's inputs and outputs."""

    def __init__(self) -> None:
        """Begin with none."""
        self.total_inputs = 0
        self.total_outputs = 0
        self.failed_inputs = 0
        #: Why it has ended, where its source failed.
        self.error: str | None = None

    def summary(self) -> dict[str, Any]:
        """Return the counts."""
        return dict(vars(self))


class EngineCounts:
    """Inputs, batches and outputs of one engine, and how long they took. For one event loop.

    Attributes:
        total_inputs: Added; they count from then on.
        total_outputs: Answered, those that failed among them.
        failed_inputs: Of which there is an error and no output.
        total_batches: Ended, whether they failed or not.
        computed_batches: Times that something was computed: a batch that failed and was halved counts by its parts
            that succeeded; `computed_rows` are theirs.
        local_inputs: Answered on this machine; `remote_inputs` on others.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self.total_inputs = 0
        self.total_outputs = 0
        self.failed_inputs = 0
        self.total_batches = 0
        self.computed_batches = 0
        self.computed_rows = 0
        self.local_inputs = 0
        self.remote_inputs = 0
        self.streams: dict[str, StreamCounts] = {}
        self._rows = 0
        self._computing_s = 0.0
        self._inference_s = Spread()
        self._latency_s = Spread()

    def added(self, stream: str | None) -> None:
        """Count an input that has come."""
        self.total_inputs += 1
        if stream is not None:
            self.streams[stream].total_inputs += 1

    def batch(self, rows: int) -> None:
        """Count a batch that has ended."""
        self.total_batches += 1
        self._rows += rows

    def computed(self, rows: int, took_s: float) -> None:
        """Count a batch, or a part of one, that was computed."""
        self.computed_batches += 1
        self.computed_rows += rows
        self._inference_s.add(took_s)

    def answered(self, stream: str | None, latency_s: float, inference_s: float, *, is_remote: bool) -> None:
        """Count an input that has its output, so long after it was added, so much of it being computed."""
        self._ended(stream)
        self._computing_s += inference_s
        self._latency_s.add(latency_s)
        if is_remote:
            self.remote_inputs += 1
        else:
            self.local_inputs += 1

    def failed(self, stream: str | None) -> None:
        """Count an input that has an error."""
        self._ended(stream)
        self.failed_inputs += 1
        if stream is not None:
            self.streams[stream].failed_inputs += 1

    def summary(self) -> dict[str, Any]:
        """Return everything; times are in ms."""
        return {
            "total_inputs": self.total_inputs,
            "total_outputs": self.total_outputs,
            "failed_inputs": self.failed_inputs,
            "total_batches": self.total_batches,
            "total_rows": self._rows,
            "computed_batches": self.computed_batches,
            "computed_rows": self.computed_rows,
            "local_inputs": self.local_inputs,
            "remote_inputs": self.remote_inputs,
            "avg_batch_size": self._rows / self.total_batches if self.total_batches else 0.0,
            "avg_inference_time": self._inference_s.mean * 1e3,
            "avg_latency": self._latency_s.mean * 1e3,
            "avg_waiting": (self._latency_s.mean - self._computing_s / max(self._latency_s.count, 1)) * 1e3,
            "inference_time_ms": _percentiles(self._inference_s),
            "latency_ms": _percentiles(self._latency_s),
            "streams": {name: counts.summary() for name, counts in self.streams.items()},
        }

    def _ended(self, stream: str | None) -> None:
        self.total_outputs += 1
        if stream is not None:
            self.streams[stream].total_outputs += 1


def _percentiles(spread: Spread) -> dict[str, float]:
    return {name: spread.percentile(share) * 1e3 for name, share in _PERCENTILES.items()}
