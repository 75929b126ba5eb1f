"""The three steps of a micro-batch: decode, classify, label."""

import time
from concurrent.futures import Future
from functools import partial

from consumers.batch import Batch, Rejected
from consumers.device_load import DeviceLoad
from consumers.events import Events
from consumers.freshness import Freshness
from engine.backends.base import Inference
from engine.errors import DeviceLostError, ImageError
from engine.images.decode import decode_into
from engine.pipeline.step import Step
from messaging.outcome import SKIPPED_TOO_OLD
from messaging.timestamps import now_us


def classification_steps(
    freshness: Freshness, events: Events, load: DeviceLoad, *, top: int, decode_threads: int
) -> list[Step]:
    """Return the steps: decoding on threads of its own, the device on its own, labelling where the device ends.

    What decides about geometry, device and labels is the batch's own model.

    Args:
        freshness: Which frames are too old by now.
        events: Notes what the device begins and ends.
        load: Counts what is on it.
        top: Classes in a result.
        decode_threads: Batches decoded at a time.
    """
    return [
        Step("decode", Decode(freshness), parallel_steps=decode_threads),
        Step("classify", Classify(events, load), parallel_steps=0),
        Step("label", Label(top), parallel_steps=0),
    ]


class Decode:
    """Decodes a whole batch in place; a frame that cannot be decoded leaves its row to the next one."""

    def __init__(self, freshness: Freshness) -> None:
        """Remember which frames are too old."""
        self._freshness = freshness

    def __call__(self, batch: Batch) -> Batch:
        """Fill `rows`, `good` and `rejected`."""
        batch.taken_at_s = time.monotonic()
        now = now_us()
        model = batch.run_by
        rows = model.pool.take()
        resize = model.spec.preprocessing.resize
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

    def __init__(self, events: Events, load: DeviceLoad) -> None:
        """Remember who wants to know."""
        self._events = events
        self._load = load

    def __call__(self, batch: Batch) -> Batch | Future[Batch]:
        """Return the batch's future; a batch without good frames passes the device by."""
        count = len(batch.good)
        if count == 0 or batch.rows is None:
            return batch
        model = batch.run_by
        rows = batch.rows[: model.program.rows_for(count)]
        values = model.spec.preprocessing.model_input(rows)
        done: Future[Batch] = Future()
        self._note("inference_started", batch)
        inference = model.backend.submit({model.spec.input_name: values}, count)
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
            batch.run_by.pool.give(rows)
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

    def __init__(self, top: int) -> None:
        """Set how many classes a result has."""
        self._top = top

    def __call__(self, batch: Batch) -> Batch:
        """Fill `top` and `scores`."""
        if batch.inference is None or not batch.inference.outputs:
            return batch  # nothing reached the device, or it computes nothing and takes its time alone
        spec = batch.run_by.spec
        output = batch.inference.outputs[spec.output_name]
        batch.top, batch.scores = spec.best(output, min(self._top, len(spec.labels)))
        return batch
