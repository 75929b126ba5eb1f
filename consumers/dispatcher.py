"""Frames that wait, and batches that are on their way: whoever frees a place in the pipeline fills it again."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from threading import RLock

from consumers.batch import Batch, Outgoing, PolledFrame
from consumers.batch_deadline import BatchDeadline
from consumers.freshness import Freshness
from consumers.ledger import Entry
from consumers.running_model import RunningModel
from engine.batching import MicroBatcher
from engine.pipeline.pipeline import Pipeline

CameThrough = Callable[[Batch, Future[Batch]], None]


def camera_of(polled: PolledFrame) -> str:
    """Return whose frame it is: in a backlog the cameras take turns."""
    return polled.frame.camera


class Dispatcher:
    """Sends micro-batches into the pipeline, as many at a time as it has places.

    Any thread may call. A batch that is due and finds no place keeps filling until there is one.
    """

    def __init__(
        self,
        batcher: MicroBatcher[PolledFrame],
        pipeline: Pipeline,
        freshness: Freshness,
        deadline: BatchDeadline,
        model: RunningModel,
        *,
        decode_threads: int,
    ) -> None:
        """Put it together.

        Args:
            batcher: Where frames wait.
            pipeline: Where batches go.
            freshness: Which waiting frames are given up for newer ones.
            deadline: How long frames may wait for company.
            model: What batches get until it is changed.
            decode_threads: Batches on their way at a time, besides those that the model's device takes.
        """
        self._batcher = batcher
        self._pipeline = pipeline
        self._freshness = freshness
        self._deadline = deadline
        self._model = model
        self._decode_threads = decode_threads
        self._places = decode_threads + model.backend.slots
        self._lock = RLock()
        self._on_their_way = 0
        self._is_thinned = False  # whether what waits is each camera's newest alone
        self._is_stopped = False
        self.is_draining = False

    def open(self, came_through: CameThrough, superseded: Callable[[PolledFrame], None]) -> None:
        """Say who takes what comes out.

        Args:
            came_through: Takes a batch and its future; on the pipeline's threads, so it must be short.
            superseded: Takes a frame that is given up for a newer one.
        """
        self._came_through = came_through
        self._superseded = superseded

    @property
    def model(self) -> RunningModel:
        """What new batches get."""
        return self._model

    def change_model(self, model: RunningModel) -> RunningModel:
        """Let every batch from the next one on have another model; return the one that batches had so far."""
        with self._lock:
            before, self._model = self._model, model
            self._places = self._decode_threads + model.backend.slots
            self._batcher.resize(model.capacity)
            return before

    def is_unused(self, model: RunningModel) -> bool:
        """Tell whether no batch that has this model is still to be resolved."""
        with self._lock:
            return model.batches == 0

    def add(self, frames: Iterable[PolledFrame]) -> None:
        """Let frames wait."""
        with self._lock:
            self._is_thinned = False
            for polled in frames:
                self._batcher.add(polled, polled.entry.size_bytes, self._deadline.due_at_s(polled))

    def dispatch(self) -> None:
        """Send batches on their way while there are batches due and places for them."""
        with self._lock:
            self._supersede()
            while not self._is_stopped and self._on_their_way < self._places:
                frames = self._batcher.take(self._ahead_s(), force=self.is_draining)
                if not frames:
                    return
                self.send(Batch(frames, self._model.capacity, self._model))

    def send(self, batch: Batch) -> None:
        """Send a batch on its way at once; after `stop` its frames stay unfinished, like all that waited.

        Whoever takes what comes out says when it is `resolved`.
        """
        with self._lock:
            if self._is_stopped:
                return
            self._on_their_way += 1
            batch.run_by.batches += 1
        batch.sent_at_s = time.monotonic()
        self._pipeline.submit(batch).add_done_callback(partial(self._done, batch))

    def resolved(self, batch: Batch) -> None:
        """Note that nothing of a batch that came through is needed of its model's device any more."""
        with self._lock:
            batch.run_by.batches -= 1

    def due_in_s(self) -> float | None:
        """Return how soon `dispatch` has something to do; None where that is not a matter of time."""
        with self._lock:
            due_at_s = self._batcher.due_at_s() if self._on_their_way < self._places else None
        return max(due_at_s - self._ahead_s(), 0.0) if due_at_s is not None else None

    @property
    def waiting(self) -> int:
        """How many frames wait for their batch."""
        with self._lock:
            return len(self._batcher)

    @property
    def waiting_bytes(self) -> int:
        """The bytes of the frames that wait."""
        with self._lock:
            return self._batcher.waiting_weight

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is on its way."""
        with self._lock:
            return not self._on_their_way and not len(self._batcher)

    def discard(self, partitions: set[int]) -> None:
        """Take out all waiting frames of these partitions."""
        with self._lock:
            self._batcher.discard(lambda polled: polled.frame.partition in partitions)

    def withdraw(self, partitions: set[int], choose: Callable[[list[Entry[Outgoing]]], set[Entry[Outgoing]]]) -> None:
        """Take out frames of these partitions that wait: those that `choose` gives back of their entries."""
        with self._lock:
            waiting = [polled.entry for polled in self._batcher.waiting() if polled.frame.partition in partitions]
            chosen = choose(waiting)
            self._batcher.discard(lambda polled: polled.entry in chosen)

    def stop(self) -> None:
        """Send nothing more, and drop what waits."""
        with self._lock:
            self._is_stopped = True
            self._batcher.discard(lambda _: True)

    def _ahead_s(self) -> float:
        """Return by when a batch would be through that is sent now."""
        return time.monotonic() + self._deadline.lead_s

    def _done(self, batch: Batch, future: Future[Batch]) -> None:
        self._came_through(batch, future)  # first: whoever sees nothing on its way has seen this
        with self._lock:
            self._on_their_way -= 1
        self.dispatch()

    def _supersede(self) -> None:
        places = (self._places - self._on_their_way) * self._model.capacity
        if self._is_thinned or not self._freshness.thins(len(self._batcher), places):
            return
        self._is_thinned = True
        superseded = self._freshness.superseded(self._batcher.waiting(), places)
        if superseded:
            unwanted = {id(polled) for polled in superseded}
            for polled in self._batcher.discard(lambda item: id(item) in unwanted):
                self._superseded(polled)
