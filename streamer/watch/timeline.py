"""What one group did, second by second, for the last five minutes."""

import msgspec

from engine.spread import Spread
from messaging.outcome import LatencyParts
from streamer.watch.views import OutcomeView, SecondView

_KEPT_S = 300
#: Outcomes of a second may be read so much later; until then it is not shown.
_SETTLED_S = 1.0
_P95 = 0.95
#: One in fifty is near enough for a chart; measured, a group takes 1.4 MB at the most.
_ACCURACY = 0.02
_BINS = 256

_NO_PARTS = (0.0,) * len(LatencyParts.__struct_fields__)


class _Second:
    __slots__ = ("_at_s", "_outcomes", "_sums", "_totals", "_view")

    def __init__(self, at_s: int) -> None:
        self._at_s = at_s
        self._outcomes: dict[str, int] = {}
        self._sums = _NO_PARTS
        self._totals: Spread | None = None
        self._view: SecondView | None = None

    def take(self, outcome: OutcomeView) -> None:
        self._view = None
        self._outcomes[outcome.status] = self._outcomes.get(outcome.status, 0) + 1
        if outcome.latency_ms is None:
            return
        if self._totals is None:
            self._totals = Spread(_ACCURACY, _BINS)
        self._totals.add(max(outcome.latency_ms.total, 0.0))
        parts: tuple[float, ...] = msgspec.structs.astuple(outcome.latency_ms)
        self._sums = tuple(map(float.__add__, self._sums, parts))

    def view(self) -> SecondView:
        if self._view is None:
            totals = self._totals
            self._view = SecondView(
                self._at_s,
                self._outcomes.copy(),
                None if totals is None else LatencyParts(*(part / totals.count for part in self._sums)),
                None if totals is None else totals.percentile(_P95),
            )
        return self._view


class Timeline:
    """Counts a group's outcomes by the second in which they were made."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._seconds: dict[int, _Second] = {}

    def take(self, outcome: OutcomeView, at_s: float, now_s: float) -> None:
        """Count an outcome that was made at `at_s`, s since 1970; what is older than five minutes is left out."""
        second = int(at_s)
        counted = self._seconds.get(second)
        if counted is None:
            counted = self._seconds[second] = _Second(second)
            for old in [at for at in self._seconds if at <= now_s - _KEPT_S]:
                del self._seconds[old]
        counted.take(outcome)

    def view(self, now_s: float) -> list[SecondView]:
        """Return every second from the first that is known, five minutes ago at the most, to the last that is over."""
        kept = [second for second in self._seconds if second > now_s - _KEPT_S]
        if not kept:
            return []
        return [
            self._seconds[second].view() if second in self._seconds else SecondView(second, {}, None, None)
            for second in range(min(kept), int(now_s - _SETTLED_S))
        ]
