"""Many items through a pipeline, their outcomes in the order of the items."""

import sys
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError
from threading import Condition, Lock
from typing import Any

from engine.pipeline.journey import Ended, Journey
from engine.pipeline.outcome import Outcome

#: For so long a run waits for its next outcome before it asks whether a batch holds that up.
_PATIENCE_S = 0.005


class Entrance(ABC):
    """Where a run's items enter a pipeline."""

    @abstractmethod
    def bound(self) -> int:
        """Return how many items may be on their way."""

    @abstractmethod
    def enter(self, journey: Journey, item: Any, timeout_s: float | None = None) -> bool:
        """Send an item on its way; False where no place came free in time."""

    @abstractmethod
    def run_changed(self, feeding: int, finishing: int) -> None:
        """Hear how many more runs have items to come, and how many more only finish what they had."""


class _RunJourney(Journey):
    """One item of a run."""

    __slots__ = ("_run", "is_done")

    def __init__(self, ended: Ended, run: "OrderedRun") -> None:
        super().__init__(ended)
        self._run = run
        self.is_done = False

    def hand_over(self) -> None:
        """Be there to be yielded."""
        self.is_done = True
        self._run.wake(self)


class _Source:
    """An iterable, and how it ended."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.has_more = True
        self.failure: Exception | None = None

    def next(self) -> tuple[Any, ...]:
        """Return the next item alone; none where there is no more, or the iterable failed."""
        try:
            return (next(self._items),)
        except StopIteration:
            self.has_more = False
        except Exception as exc:  # noqa: BLE001 - raised when what came before it is through
            self.has_more, self.failure = False, exc
        return ()


class OrderedRun:
    """Reads an iterable on the caller's thread, no further ahead than the pipeline's bound."""

    def __init__(self, entrance: Entrance, ended: Ended) -> None:
        """Say whose run it is."""
        self._entrance = entrance
        self._ended = ended
        self._changed = Condition(Lock())
        self._awaited: _RunJourney | None = None
        self._is_given_up = False

    def outcomes(self, items: Iterable[Any]) -> Iterator[Outcome]:
        """Yield the outcome of each item, in their order.

        Raises:
            Exception: What the iterable raised, after the outcomes of what it had given.
            RuntimeError: The pipeline was closed meanwhile.
        """
        window: deque[_RunJourney] = deque()
        source = _Source(items)
        self._entrance.run_changed(1, 0)
        try:
            while source.has_more or window:
                if source.has_more and len(window) < self._entrance.bound() and not (window and window[0].is_done):
                    self._feed(source, window)
                else:
                    yield self._next(window, may_feed=source.has_more)
            if source.failure is not None:
                raise source.failure
        finally:
            if source.has_more:
                self._entrance.run_changed(-1, 1)
            for journey in window:
                journey.cancel(CancelledError())
            for journey in window:
                self._wait(journey, None)
            self._entrance.run_changed(0, -1)

    def give_up(self) -> None:
        """Wait no more: what has not ended will not."""
        with self._changed:
            self._is_given_up = True
            self._changed.notify()

    def wake(self, journey: _RunJourney) -> None:
        """Hear that a journey is done; the run is woken only where it waits for this one."""
        if self._awaited is journey:
            with self._changed:
                self._changed.notify()

    def _feed(self, source: "_Source", window: "deque[_RunJourney]") -> None:
        """Send the next item on its way, once there is a place (others may have all), or note that there is none."""
        for item in source.next():
            journey = _RunJourney(self._ended, self)
            self._entrance.enter(journey, item)
            window.append(journey)
            return
        self._entrance.run_changed(-1, 1)

    def _next(self, window: "deque[_RunJourney]", *, may_feed: bool) -> Outcome:
        journey = window[0]
        if not self._wait(journey, _PATIENCE_S if may_feed else None) and may_feed:
            # It may wait in a batch for items that cannot come before it is through.
            self._entrance.run_changed(-1, 1)
            try:
                self._wait(journey, None)
            finally:
                self._entrance.run_changed(1, -1)
        if not journey.is_done:
            raise RuntimeError("the pipeline was closed before the items were through")
        window.popleft()
        return Outcome(journey.value, journey.error)

    def _wait(self, journey: _RunJourney, timeout_s: float | None) -> bool:
        """Wait until a journey is done, or nobody waits any more; False where it took longer than `timeout_s`."""
        if journey.is_done:
            return True
        with self._changed:
            # In this order: whoever ends it either sees that it is awaited, or has ended it before the look below.
            self._awaited = journey
            try:
                # At the interpreter's end its threads are gone, and a generator that is left over is closed.
                return self._changed.wait_for(
                    lambda: journey.is_done or self._is_given_up or sys.is_finalizing(), timeout_s
                )
            finally:
                self._awaited = None
