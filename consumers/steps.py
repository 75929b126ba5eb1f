"""The three steps of a micro-batch: decode, classify, label."""

import time
from collections import deque
from concurrent.futures import Future
from functools import partial

import numpy as np
from numpy.typing import NDArray

from consumers.batch import Batch, Rejected
from consumers.device_load import DeviceLoad
from consumers.events import Events
from consumers.freshness import Freshness
from engine.backends.base import Inference
from engine.errors import DeviceLostError, ImageError
from engine.images.decode import decode_into
from engine.models.classifier import Classifier
from engine.models.spec import Preprocessing
from engine.pipeline.step import Step
from messaging.outcome import SKIPPED_TOO_OLD
from messaging.timestamps import now_us


def classification_steps(
    classifier: Classifier,
    freshness: Freshness,
    events: Events,
    load: DeviceLoad,
    *,
    capacity: int,
    top: int,
    decode_threads: int,
) -> list[Step]:
    """Return the steps: decoding on threads of its own, the device on its own, labelling where the device ends.

    Args:
        classifier: What decides about geometry and labels.
        freshness: Which frames are too old by now.
        events: Notes what the device begins and ends.
        load: Counts what is on it.
        capacity: Rows of a full batch, padding included.
        top: Classes in a result.
        decode_threads: Batches decoded at a time.
    """
    pool = RowPool(classifier.spec.preprocessing, capacity)
    return [
        Step("decode", Decode(classifier, freshness, pool), parallel_steps=decode_threads),
        Step("classify", Classify(classifier, pool, events, load), parallel_steps=0),
        Step("label", Label(classifier, top), parallel_steps=0),
    ]


class RowPool:
    """Rows that batches are decoded into, used again and again: fresh memory costs a fifth of decoding into it.

    Bounded by the number of batches in flight. What a row held before is overwritten, or is padding that is cut off.
    """

    def __init__(self, preprocessing: Preprocessing, capacity: int) -> None:
        """Set the size of a batch's rows."""
        self._preprocessing = preprocessing
        self._capacity = capacity
        self._free: deque[NDArray[np.uint8]] = deque()

    def take(self) -> NDArray[np.uint8]:
        """Return rows of which nobody else writes: uint8[capacity, height, width, 3]."""
        try:
            return self._free.pop()
        except IndexError:
            return self._preprocessing.rows(self._capacity)

    def give(self, rows: NDArray[np.uint8]) -> None:
        """Take rows back; nobody may look at them any more."""
        self._free.append(rows)


class Decode:
    """Decodes a whole batch in place; a frame that cannot be decoded leaves its row to the next one."""

    def __init__(self, classifier: Classifier, freshness: Freshness, pool: RowPool) -> None:
        """Take the geometry from the model."""
        self._spec = classifier.spec
        self._freshness = freshness
        self._pool = pool

    def __call__(self, batch: Batch) -> Batch:
        """Fill `rows`, `good` and `rejected`."""
        batch.taken_at_s = time.monotonic()
        now = now_us()
        rows = self._pool.take()
        resize = self._spec.preprocessing.resize
        for polled in batch.frames:
            if self._freshness.is_too_old(polled.frame, now):
                batch.rejected.append(Rejected(polled, "skipped", SKIPPED_TOO_OLD))
                continue
            try:
                decode_into(polled.frame.data, polled.header, resize, rows[len(batch.good)])
            except ImageError as exc:
                batch.rejected.append(Rejected(polled, "dead-lettered", exc.reason, str(exc)))
                continue
            batch.good.append(polled)
        batch.rows = rows
        batch.decoded_at_s = time.monotonic()
        return batch


class Classify:
    """Hands a batch to the device."""

    def __init__(self, classifier: Classifier, pool: RowPool, events: Events, load: DeviceLoad) -> None:
        """Take the model's input from its description."""
        self._events = events
        self._load = load
        self._spec = classifier.spec
        self._program = classifier.program
        self._backend = classifier.backend
        self._pool = pool

    def __call__(self, batch: Batch) -> Batch | Future[Batch]:
        """Return the batch's future; a batch without good frames passes the device by."""
        count = len(batch.good)
        if count == 0 or batch.rows is None:
            return batch
        rows = batch.rows[: self._program.rows_for(count)]
        values = self._spec.preprocessing.model_input(rows)
        done: Future[Batch] = Future()
        self._note("inference_started", batch)
        inference = self._backend.submit({self._spec.input_name: values}, count)
        self._load.begin(time.monotonic())
        inference.add_done_callback(partial(self._hand_on, batch, done))
        return done

    def _hand_on(self, batch: Batch, done: Future[Batch], inference: Future[Inference]) -> None:
        self._load.end(time.monotonic())
        rows, batch.rows = batch.rows, None
        error = inference.exception()
        if error is None:
            batch.inference = inference.result()
        # A device that hangs may look at the rows whenever it likes: they are left to it.
        are_held = isinstance(error, DeviceLostError) if batch.inference is None else batch.inference.has_held_inputs
        if rows is not None and not are_held:
            self._pool.give(rows)
        self._note("inference_done", batch)
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(batch)

    def _note(self, event: str, batch: Batch) -> None:
        if self._events.are_wanted:
            self._events(event, frames=[[polled.frame.partition, polled.frame.offset] for polled in batch.good])


class Label:
    """Finds the best classes of every frame, for the whole batch at once."""

    def __init__(self, classifier: Classifier, top: int) -> None:
        """Take the labels from the model."""
        self._spec = classifier.spec
        self._top = min(top, len(classifier.spec.labels))

    def __call__(self, batch: Batch) -> Batch:
        """Fill `top` and `scores`."""
        if batch.inference is None or not batch.inference.outputs:
            return batch  # nothing reached the device, or it computes nothing and takes its time alone
        output = batch.inference.outputs[self._spec.output_name]
        batch.top, batch.scores = self._spec.best(output, self._top)
        return batch
