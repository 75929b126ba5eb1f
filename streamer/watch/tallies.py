"""What became of one camera's frames, by group."""

from collections import Counter
from collections.abc import Mapping

from streamer.watch.views import LedgerView, OutcomeView

_MAX_REASONS = 32
_OTHER = "other"
#: An outcome of an older frame is not shown in place of a newer one's, unless that has been silent for so long.
_STALE_S = 5.0


class _Tally:
    """One group's part."""

    def __init__(self) -> None:
        self.newest: OutcomeView | None = None
        self.heard_s = 0.0
        self._counts = {"classified": 0, "timed": 0}
        self._skipped: Counter[str] = Counter()
        self._dead_lettered: Counter[str] = Counter()

    def take(self, outcome: OutcomeView, now_s: float) -> None:
        if outcome.status == "skipped":
            _count(self._skipped, outcome.reason)
        elif outcome.status == "dead-lettered":
            _count(self._dead_lettered, outcome.reason)
        else:
            self._counts[outcome.status] += 1
        is_newer = self.newest is None or outcome.captured_at_us >= self.newest.captured_at_us
        if is_newer or now_s - self.heard_s > _STALE_S:
            self.newest, self.heard_s = outcome, now_s

    def view(self, own: Mapping[str, int]) -> LedgerView:
        return LedgerView(
            **self._counts, skipped=dict(self._skipped + Counter(own)), dead_lettered=dict(self._dead_lettered)
        )

    @property
    def skipped(self) -> Mapping[str, int]:
        return self._skipped


def _count(reasons: Counter[str], reason: str) -> None:
    reasons[reason if reason in reasons or len(reasons) < _MAX_REASONS else _OTHER] += 1


class CameraTallies:
    """Counts a camera's outcomes; what the camera says itself (the group "") counts for every group.

    How many groups there may be is for the one who asks: it drops those that give way.
    """

    def __init__(self) -> None:
        """Begin with nothing counted."""
        self._by_group: dict[str, _Tally] = {}

    def take(self, outcome: OutcomeView, now_s: float) -> None:
        """Count one outcome."""
        tally = self._by_group.get(outcome.group)
        if tally is None:
            tally = self._by_group[outcome.group] = _Tally()
        tally.take(outcome, now_s)

    def drop(self, group: str) -> None:
        """Forget a group."""
        self._by_group.pop(group, None)

    def newest(self, group: str) -> OutcomeView | None:
        """Return the outcome of the newest frame, of one group and the camera itself, or of all where that is ""."""
        tallies = [tally for name, tally in self._by_group.items() if not group or name in (group, "")]
        last_s = max((tally.heard_s for tally in tallies), default=0.0)
        fresh = (tally.newest for tally in tallies if tally.newest and last_s - tally.heard_s <= _STALE_S)
        return max(fresh, key=lambda outcome: outcome.captured_at_us, default=None)

    def ledgers(self) -> dict[str, LedgerView]:
        """Return the counts by group; those of the camera itself stand alone only where no group is known."""
        own = self._by_group.get("")
        groups = {name: tally for name, tally in self._by_group.items() if name}
        if own is not None and not groups:
            return {"": own.view({})}
        return {name: tally.view(own.skipped if own else {}) for name, tally in groups.items()}
