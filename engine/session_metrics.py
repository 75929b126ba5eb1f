"""What a session measures of its runs: latencies, and profiles."""

import cProfile
from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from engine.spread import Spread

Result = TypeVar("Result")

#: The documented names. Source: quic/cloud-ai-sdk-pages docs/Python-API/qaic/qaic.md.
_PERCENTILES = {"P25": 0.25, "P50": 0.5, "P75": 0.75, "P90": 0.9, "P99": 0.99, "P999": 0.999}
#: Profiles of the first runs are kept, and no more: each holds some hundred bytes a function.
MAX_PROFILES = 1000


class LatencyMetrics:
    """The latencies of a session's runs, in seconds, in bounded memory. Any thread may add."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = Lock()
        self._spread = Spread.fine()

    def add(self, latency_s: float) -> None:
        """Count one run."""
        with self._lock:
            self._spread.add(latency_s)

    def summary(self) -> dict[str, float]:
        """Return the documented metrics; zeros where nothing has run yet."""
        with self._lock:
            spread = self._spread
            return {
                "num_of_inferences": spread.count,
                "min_latency": spread.min,
                "max_latency": spread.max,
                **{name: spread.percentile(share) for name, share in _PERCENTILES.items()},
                "total_inference_time": spread.total,
                "avg_latency": spread.mean,
            }


def metrics_lines(metrics: dict[str, float]) -> list[str]:
    """Return the lines that the vendor's package prints, in its order; the average stands there twice."""
    average = f"Average latency / inference time observed is {metrics['avg_latency']} s"
    percentiles = [
        f"{name} / {name[1:]}% of inferences observed latency less than {metrics[name]} s"
        for name in ("P25", "P50", "P75", "P90", "P99")
    ]
    return [
        f"Number of inferences utilized for calculation are {metrics['num_of_inferences']}",
        f"Minimum latency observed {metrics['min_latency']} s",
        f"Maximum latency observed {metrics['max_latency']} s",
        average,
        *percentiles,
        f"Sum of all the inference times {metrics['total_inference_time']} s",
        average,
    ]


class ProfiledFunction(NamedTuple):
    """One line of a profile.

    Attributes:
        location: File, line, function, as Python's profiler names them.
        calls: How often it was called.
        own_s: Time in itself.
        total_s: Time in itself and in what it called.
    """

    location: tuple[str, int, str]
    calls: int
    own_s: float
    total_s: float


class Profiles:
    """The profiles of a session's first runs, one after the other: Python has one profiler for all threads."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = Lock()
        self.results: list[list[ProfiledFunction]] = []

    def run(self, function: Callable[[], Result]) -> Result:
        """Run a function and keep its profile."""
        with self._lock:
            if len(self.results) >= MAX_PROFILES:
                return function()
            profile = cProfile.Profile()
            try:
                return profile.runcall(function)
            finally:
                profile.create_stats()
                stats: dict[Any, Any] = profile.stats
                self.results.append(
                    sorted(
                        (
                            ProfiledFunction(location, calls, own_s, total_s)
                            for location, (_, calls, own_s, total_s, _) in stats.items()
                        ),
                        key=lambda function: -function.own_s,
                    )
                )


def profile_lines(profiles: list[list[ProfiledFunction]]) -> list[str]:
    """Return profiles as the vendor's package prints them."""
    lines = ["|  File-Line-Function  | |  num calls  | |  func time  | |  tot time  |", ""]
    for profile in profiles:
        for function in profile:
            lines += [f"{function.location} {function.calls} {function.own_s} {function.total_s}", ""]
    return lines
