"""The loop that reads the topics, a few times a second."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from streamer.watch.board import Seen
from streamer.watch.follower import Follower
from streamer.watch.views import StateView

#: A turn takes up what came since the last one; many records at a time cost less than each for itself.
_TURN_S: Final = 0.25
#: Reading rests for the other part of a turn, whatever comes, so that pages are served.
_READING_S: Final = 0.1
#: At the start there is more to read than later.
_FIRST_READING_S: Final = 1.0
#: How long to wait for an answer that is on its way.
_ANSWER_S: Final = 0.05
_SILENT_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Source:
    """One topic, and who takes its records.

    Attributes:
        is_wanted: Whether it is to be read at this time, s since 1970; None for always.
        take: Takes records with the time at which they were written, and the time now.
    """

    follower: Follower
    take: Callable[[list[Seen], float], None]
    is_wanted: Callable[[float], bool] | None = None


class Reading:
    """Reads the sources in turns, for one thread.

    Attributes:
        state: Whether Kafka can be read; other threads may look at it.
    """

    def __init__(self, sources: Sequence[Source], clock: Callable[[], float], where: str) -> None:
        """Remember what to read.

        Args:
            sources: The topics, the most urgent first.
            clock: Gives s since 1970.
            where: Where the broker is.
        """
        self._sources = sources
        self._clock = clock
        self._away = f"connecting to {where}"
        self._heard_s = 0.0
        self._has_caught_up = False
        self.state = StateView(is_connected=False, problem=self._away)

    @property
    def passed_over(self) -> int:
        """How many records were left out because reading was behind."""
        return sum(source.follower.passed_over for source in self._sources)

    def turn(self) -> float:
        """Read what is there, and return how long to rest before the next turn, s."""
        began_s = self._clock()
        busy = self._open(began_s)
        until_s = began_s + (_READING_S if self._has_caught_up else _FIRST_READING_S)
        while busy and began_s <= self._clock() < until_s:
            busy = [source for source in busy if self._read(source)]
        self._has_caught_up = self._has_caught_up or (not self._away and not busy)
        self._look()
        return min(max(_TURN_S - (self._clock() - began_s), _TURN_S - _READING_S), _TURN_S)

    def _open(self, now_s: float) -> list[Source]:
        """Open what is wanted, close what is not, and return what can be read."""
        for source in self._sources:
            follower = source.follower
            if source.is_wanted is not None and not source.is_wanted(now_s):
                follower.close()
                continue
            is_answered = follower.open(now_s)
            if is_answered:
                self._heard(now_s)
            elif is_answered is not None:
                self._away = follower.problem
                break  # the others would find as little
        return [source for source in self._sources if source.follower.is_open]

    def _read(self, source: Source) -> bool:
        """Read once, and tell whether there is more."""
        now_s, follower = self._clock(), source.follower
        seen = follower.poll(_ANSWER_S if follower.is_behind else 0.0, now_s)
        if seen:
            self._heard(now_s)
            source.take(seen, now_s)
        return follower.is_behind

    def _heard(self, now_s: float) -> None:
        self._heard_s = now_s
        self._away = ""

    def _look(self) -> None:
        """Find out whether the broker is there, if it has not been heard of for a while."""
        now_s = self._clock()
        follower = next((source.follower for source in self._sources if source.follower.is_open), None)
        if follower is not None and not 0 <= now_s - self._heard_s < _SILENT_S:
            self._away = follower.ask(now_s)
            self._heard_s = self._clock()
        problems = (source.follower.problem for source in self._sources)
        problem = self._away or next(filter(None, problems), "")
        self.state = StateView(is_connected=not self._away, problem=problem)

    def break_off(self, why: str) -> None:
        """Close all after something unforeseen; the next turn begins anew."""
        self.close()
        self._away = why
        self.state = StateView(is_connected=False, problem=why)

    def close(self) -> None:
        """Close all."""
        for source in self._sources:
            source.follower.close()
