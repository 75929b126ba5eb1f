"""Runs one step: the items that wait for it, and the threads that take them."""

import time
from collections.abc import Sequence
from threading import TIMEOUT_MAX, Condition, Lock, Thread

from engine.batching import MicroBatcher
from engine.pipeline.execution import Execution, Surroundings
from engine.pipeline.journey import Token
from engine.pipeline.statistics import StepStatistics
from engine.pipeline.step import Step

#: Items have no size here: batches close by number and by age.
_ANY_BYTES = 1


class StepRunner:
    """The queue and the threads of a step; without threads it runs on the thread that brings the item.

    A thread takes what waits without being woken: only one that sleeps is, one at a time, and it wakes the next while
    more is due.

    Attributes:
        load: Items that wait or are worked on.
    """

    def __init__(self, step: Step, index: int, follows: tuple[str, ...], surroundings: Surroundings) -> None:
        """Say which step, and where it stands; `open` starts the threads."""
        self.step = step
        self.load = 0
        self._index = index
        self._surroundings = surroundings
        self._execution = Execution(step, index, follows, surroundings, self._release)
        self._lock = Lock()
        self._changed = Condition(self._lock)
        self._batcher, self._timeout_s = self._new_batcher()
        self._parallel_steps = 0
        self._threads: dict[int, Thread] = {}
        self._sleepers = 0
        self._is_closed = True

    def open(self) -> None:
        """Start the threads."""
        self._is_closed = False
        self._execution.reset(0)
        self.reconfigure()

    def close(self, *, is_done: bool) -> None:
        """Let the threads end; where not all is done, what waits is dropped and the threads are left to themselves."""
        self.step.detach(self)
        with self._lock:
            was_closed, self._is_closed = self._is_closed, True
            if not is_done:
                self._batcher.discard(lambda _: True)
            threads = list(self._threads.values())
            self._changed.notify_all()
        if not was_closed:
            self._execution.resize(0)
        if is_done:
            for thread in threads:
                thread.join()

    def reconfigure(self) -> None:
        """Take over how many threads there are, and how large a batch is."""
        step = self.step
        with self._lock:
            if self._is_closed:
                return
            self._parallel_steps = step.parallel_steps
            self._execution.resize(max(self._parallel_steps, 1))
            waiting = self._batcher.waiting()
            self._batcher, self._timeout_s = self._new_batcher()
            for token in waiting:  # each keeps its age
                self._batcher.add(token, 0, token.arrived_s + self._timeout_s)
            for number in range(self._parallel_steps):
                if number not in self._threads:
                    thread = Thread(target=self._work, args=(number,), name=f"{step.name}_{number}", daemon=True)
                    thread.start()
                    self._threads[number] = thread
            self._changed.notify_all()
        self._surroundings.reconfigured()

    def put(self, tokens: Sequence[Token]) -> None:
        """Bring items. Where the step has no threads, this is when it works on them."""
        now_s = time.monotonic()
        with self._lock:
            is_inline = not self._parallel_steps
            is_refused = self._is_closed and not is_inline
            if not is_refused:
                self.load += len(tokens)
                batcher = self._batcher
                for token in tokens:
                    token.arrived_s = now_s
                    if not is_inline:
                        batcher.add(token, 0, now_s + self._timeout_s)
                # The first that waits sets when its batch is due.
                if self._sleepers and (len(batcher) == len(tokens) or batcher.is_due(now_s)):
                    self._changed.notify()
        if is_refused:
            for token in tokens:
                token.journey.fail(RuntimeError("the pipeline was closed before the item was through"))
        elif is_inline:
            self._run_inline(tokens)

    def wake(self) -> None:
        """Look whether a batch has to go though it is not full."""
        with self._lock:
            if self._sleepers and len(self._batcher):
                self._changed.notify_all()

    def reset(self) -> None:
        """Count anew."""
        with self._lock:
            self._execution.reset(0 if self._is_closed else max(self._parallel_steps, 1))

    def statistics(self) -> StepStatistics:
        """Return what the step has done."""
        return self._execution.statistics()

    def _new_batcher(self) -> tuple[MicroBatcher[Token], float]:
        """Return where items wait, and for how many seconds at the most."""
        size = self.step.max_batch_size
        return MicroBatcher(size or 1, _ANY_BYTES), self.step.batch_timeout_s if size else 0.0

    def _work(self, number: int) -> None:
        """Take and work until there are threads to spare, or the pipeline has closed."""
        released = 0
        while tokens := self._take(number, released):
            try:
                released = self._execution.execute(tokens)
            except BaseException:  # noqa: BLE001 - it is the outcome of the items already, and the thread has others
                released = len(tokens)
            del tokens

    def _take(self, number: int, released: int) -> list[Token]:
        """Wait for a batch; none ends the thread."""
        with self._lock:
            self.load -= released
            if not released or self.load or not self._surroundings.is_draining:
                return self._next(number)
        self._surroundings.emptied(self._index)
        with self._lock:
            return self._next(number)

    def _next(self, number: int) -> list[Token]:
        while number < self._parallel_steps or (not self._parallel_steps and len(self._batcher)):
            now_s = time.monotonic()
            batcher = self._batcher
            tokens = batcher.take(now_s)
            if not tokens and len(batcher) and self._surroundings.is_draining:
                tokens = batcher.take(now_s, force=self._surroundings.comes_nothing(self._index))
            if tokens:
                if self._sleepers and len(batcher):
                    self._changed.notify()
                return tokens
            if self._is_closed:
                break
            due_at_s = batcher.due_at_s()
            self._sleepers += 1
            self._changed.wait(None if due_at_s is None else min(max(due_at_s - now_s, 0.0), TIMEOUT_MAX))
            self._sleepers -= 1
        self._threads.pop(number, None)
        self._changed.notify()  # what has woken this thread is another's now
        return []

    def _run_inline(self, tokens: Sequence[Token]) -> None:
        interrupt: BaseException | None = None
        released = 0
        for token in tokens:
            try:
                released += self._execution.execute([token])
            except BaseException as exc:  # noqa: BLE001 - raised below; the others have to be worked on
                interrupt = exc
                released += 1
        self._release(released)
        if interrupt is not None:
            raise interrupt

    def _release(self, count: int) -> None:
        with self._lock:
            self.load -= count
            is_emptied = count and not self.load and self._surroundings.is_draining
        if is_emptied:
            self._surroundings.emptied(self._index)
