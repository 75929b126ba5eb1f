"""The parts of the latency, as `streamer results --latency` shows them."""

from engine.spread import Spread
from messaging.outcome import LATENCY_PARTS, Outcome, Skipped

#: The parts in the order of a frame's way, and their sum.
COLUMNS_MS = (*LATENCY_PARTS, "total")
#: What is said of how each is spread.
SHARES = {"p50": 0.5, "p95": 0.95}


def times_ms(outcome: Outcome) -> dict[str, float]:
    """Return a frame's time in each part and in all, ms; empty where the outcome has none."""
    return {} if isinstance(outcome, Skipped) else {name: getattr(outcome.latency_ms, name) for name in COLUMNS_MS}


def number(time_ms: float) -> str:
    """Write a time in ms, as short as it tells enough."""
    return f"{time_ms:.1f}" if abs(time_ms) < 999.95 else f"{time_ms:.0f}"


class LatencySummary:
    """How the parts of the results so far are spread, in bounded memory."""

    def __init__(self) -> None:
        """Begin with none."""
        self._spreads = {name: Spread() for name in COLUMNS_MS}

    def add(self, outcome: Outcome) -> None:
        """Count a result; one without parts does not count."""
        for name, time_ms in times_ms(outcome).items():
            self._spreads[name].add(time_ms)

    def percentiles(self, name: str) -> list[str]:
        """Return the median and the 95th percentile of a part, ms; empty texts where there is no result."""
        spread = self._spreads[name]
        return [number(spread.percentile(share)) if spread.count else "" for share in SHARES.values()]

    def line(self) -> str:
        """Say all of it in one line."""
        count = self._spreads["total"].count
        if not count:
            return "no result had a latency"
        parts = ", ".join(f"{name} {'/'.join(self.percentiles(name))}" for name in COLUMNS_MS)
        return f"{count} results, {'/'.join(SHARES)} in ms: {parts}"
