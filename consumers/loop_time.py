"""What the poll loop's time goes into, and what rebalances take of it. Pure: `now_s` is an argument."""

from collections.abc import Mapping
from typing import Final, Literal

Phase = Literal["poll", "work", "back-pressure"]
#: A loop that does not turn for so long hangs: the longest that a turn may last is a poll, or a rebalance's deadline.
HANGS_AFTER_S: Final = 120.0
PHASES: Final[tuple[Phase, ...]] = ("poll", "work", "back-pressure")


class LoopTime:
    """Splits the time of a loop into phases; all calls that change it come from the loop's thread."""

    def __init__(self) -> None:
        """Begin before the first turn."""
        self._phase: Phase = "work"
        self._since_s: float | None = None
        self._total_s: dict[str, float] = dict.fromkeys(PHASES, 0.0)

    def enter(self, phase: Phase, now_s: float) -> None:
        """Note that another phase begins."""
        if self._since_s is not None:
            self._total_s[self._phase] += now_s - self._since_s
        self._phase, self._since_s = phase, now_s

    @property
    def turned_at_s(self) -> float | None:
        """When the loop changed its phase last: one that hangs does so no more. None before the first turn."""
        return self._since_s

    def totals_s(self) -> Mapping[str, float]:
        """Return the time of each phase so far, without the one that goes on."""
        return dict(self._total_s)


class RebalanceTime:
    """Counts rebalances, and the time from partitions being taken to partitions being given. One thread at a time."""

    def __init__(self) -> None:
        """Begin before the first."""
        self.count = 0
        self._paused_s = 0.0
        self._since_s: float | None = None

    @property
    def has_joined(self) -> bool:
        """Whether this member has been told at least once which partitions it has."""
        return self.count > 0

    def taken(self, now_s: float) -> None:
        """Note that partitions are taken away."""
        self._since_s = self._since_s or now_s

    def given(self, now_s: float) -> None:
        """Note that partitions were shared anew, whatever came to this member."""
        self.count += 1
        if self._since_s is not None:
            self._paused_s += now_s - self._since_s
            self._since_s = None

    def paused_s(self, now_s: float) -> float:
        """Return the time without what was taken, that of a rebalance under way included."""
        return self._paused_s + (now_s - self._since_s if self._since_s is not None else 0.0)
