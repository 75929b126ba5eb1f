"""The pipeline: items go from step to step, each step with as many threads as it was given."""

import sys
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future
from threading import Condition, Lock
from typing import Any, Final, Self

from engine.errors import PipelineError
from engine.pipeline.advice import Advice, advise
from engine.pipeline.journey import Journey, SubmittedJourney
from engine.pipeline.ordered import Entrance, OrderedRun
from engine.pipeline.outcome import Outcome
from engine.pipeline.overview import PipelineStatistics
from engine.pipeline.router import Router
from engine.pipeline.step import Step

#: For a caller who bounds the items on their way himself: `submit` never waits.
UNBOUNDED: Final = sys.maxsize
#: So many items may be on their way even where the steps are few and small.
_MIN_IN_FLIGHT: Final = 16


class Pipeline(Entrance):
    """Takes items through steps; several are on their way at a time, and each has exactly one outcome.

    Steps follow one another as they are listed, or as their `after` says: a step may follow several, and several may
    follow one. The outcome is what the last step gives; with several last steps a dict of their values by name. An
    item that fails fails alone.

        with Pipeline([Step("read", read), Step("classify", classify, max_batch_size=4)]) as pipeline:
            for outcome in pipeline.run(paths):
                print(outcome.value, outcome.error)
    """

    def __init__(self, steps: Sequence[Step], *, max_in_flight: int | None = None) -> None:
        """Line the steps up; no thread is started.

        Args:
            steps: Each with a name of its own.
            max_in_flight: Items on their way at a time; None for twice as many as the steps work on at a time, and
                at least 16; `UNBOUNDED` where the caller sees to it.

        Raises:
            PipelineError: Two steps have one name, one follows a step that is not there, or steps follow one another
                in a circle.
        """
        if max_in_flight is not None and max_in_flight < 1:
            raise PipelineError(f"max_in_flight is {max_in_flight}: give 1 or more, or None")
        self.steps = tuple(steps)
        self._max_in_flight = max_in_flight
        self._router = Router(self.steps)
        self._lock = Lock()
        self._place_is_free = Condition(self._lock)
        self._all_have_ended = Condition(self._lock)
        self._is_started = False
        self._is_open = False
        self._taken = 0
        self._on_their_way = 0
        self._waiting = 0
        self._is_closing = False
        self._has_given_up = False
        self._feeding = 0
        self._finishing = 0
        self._runs: set[OrderedRun] = set()

    def start(self) -> None:
        """Get the steps ready and start their threads.

        Raises:
            PipelineError: A step cannot be made ready, or runs in another pipeline.
        """
        with self._lock:
            if self._is_started:
                raise RuntimeError("the pipeline is started already, and cannot be started anew")
            self._is_started = True
        try:
            for runner in self._router.runners:
                runner.step.attach(runner)
            for step in self.steps:
                step.open()
            with self._lock:
                # To open a model takes long; somebody may have closed meanwhile.
                if self._is_closing:
                    raise RuntimeError("the pipeline was closed while it was being started")
                for runner in self._router.runners:
                    runner.open()
                self._is_open = True
        except BaseException:
            self._shut(is_done=True)
            raise

    def run(self, items: Iterable[Any]) -> Generator[Outcome, None, None]:
        """Take many items through, and yield the outcome of each in the order of the items.

        The iterable is read on the caller's thread as outcomes are asked for, no further ahead than `max_in_flight`;
        while it makes the caller wait, outcomes wait as well (`submit` is for sources that may). When it ends, batches
        that are not full go at once. What the iterable raises is raised here after the outcomes of what it gave. A
        run that is closed early drops what no step has begun, and waits for what has.

        The first run starts the pipeline, where nobody has; to close it is the caller's.

        Raises:
            RuntimeError: The pipeline is closed, or was meanwhile.
        """
        if not self._is_started:
            self.start()
        run = OrderedRun(self, self._ended)
        with self._lock:
            self._runs.add(run)
        try:
            yield from run.outcomes(items)
        finally:
            with self._lock:
                self._runs.discard(run)

    def submit(self, item: Any, timeout_s: float | None = None) -> Future[Any]:
        """Send an item on its way; the future has what the last step gives, or what a step raised.

        Any thread may call. It waits while `max_in_flight` items are on their way: a step must not call it, and a
        future's callback only where nobody else submits (or with `UNBOUNDED`). The future cannot be cancelled. Its
        callbacks run on the thread that finished the item: they must be short.

        Raises:
            TimeoutError: No item was finished within `timeout_s`.
            RuntimeError: The pipeline is not started, or closed.
        """
        journey = SubmittedJourney(self._ended)
        if not self.enter(journey, item, timeout_s):
            raise TimeoutError(f"{self.bound()} items were on their way for {timeout_s:g} s, as many as may be")
        return journey.future

    def statistics(self) -> PipelineStatistics:
        """Return what each step has done since the start, or since `reset_statistics`."""
        return PipelineStatistics(tuple(runner.statistics() for runner in self._router.runners))

    def reset_statistics(self) -> None:
        """Count anew, as after a change of the configuration."""
        for runner in self._router.runners:
            runner.reset()

    def advise(self, target_fps: float) -> Advice:
        """Say how many parallel steps, and which batch sizes, so many items per second take.

        Raises:
            PipelineError: Nothing has been measured yet.
        """
        return advise(self.statistics().steps, target_fps)

    def close(self, timeout_s: float | None = None) -> bool:
        """Finish the items on their way, through every step, and let the threads go.

        It waits for what others do for a step as well (a device): they have to be closed later. Closing twice is
        harmless. A callback of an item's future must not close.

        Args:
            timeout_s: How long to wait; None waits for as long as it takes.

        Returns:
            Whether everything was finished. Where not, what has begun is left to its thread, what has not never
            will be, devices stay open, and closing again waits no more.
        """
        with self._lock:
            self._is_started = self._is_closing = True
            self._is_open = False
            self._place_is_free.notify_all()
            self._router.set_draining(is_draining=True)
            wait_s = 0 if self._has_given_up else timeout_s
            is_done = self._all_have_ended.wait_for(lambda: not self._on_their_way, wait_s)
            self._has_given_up = not is_done
            runs = tuple(self._runs)
        self._shut(is_done=is_done)
        if not is_done:
            for run in runs:
                run.give_up()
        return is_done

    def __enter__(self) -> Self:
        """Start, for a `with` block."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def bound(self) -> int:
        """Return how many items may be on their way."""
        if self._max_in_flight is not None:
            return self._max_in_flight
        return max(2 * self._router.width, _MIN_IN_FLIGHT)

    def enter(self, journey: Journey, item: Any, timeout_s: float | None = None) -> bool:
        """Send an item on its way; False where no place came free in time."""
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        with self._lock:
            while self._is_open and self._taken >= self.bound():
                left_s = None if deadline_s is None else deadline_s - time.monotonic()
                if left_s is not None and left_s <= 0:
                    return False
                self._waiting += 1
                self._place_is_free.wait(left_s)
                self._waiting -= 1
            if not self._is_open:
                raise RuntimeError("the pipeline is not started, or closed")
            self._taken += 1
            self._on_their_way += 1
        try:
            self._router.enter(journey, item)
        except BaseException as exc:
            # An interrupt between two steps: the item is not lost, it has failed.
            journey.cancel(exc)
            raise
        return True

    def run_changed(self, feeding: int, finishing: int) -> None:
        """Note runs that begin, have no more items, or end: while all only finish, batches wait for nobody."""
        with self._lock:
            self._feeding += feeding
            self._finishing += finishing
            is_draining = not self._is_open or (self._finishing > 0 and not self._feeding)
            self._router.set_draining(is_draining=is_draining)

    def _ended(self, journey: Journey) -> None:
        """Free an item's place and hand its outcome over; only then `close` may go on."""
        with self._lock:
            self._taken -= 1
            if self._waiting:
                self._place_is_free.notify()
        try:
            journey.hand_over()
        finally:  # whatever a callback raises
            with self._lock:
                self._on_their_way -= 1
                if self._is_closing and not self._on_their_way:
                    self._all_have_ended.notify_all()

    def _shut(self, *, is_done: bool) -> None:
        for runner in self._router.runners:
            runner.close(is_done=is_done)
        if is_done:
            for step in self.steps:
                if not step.is_attached:
                    step.close()
