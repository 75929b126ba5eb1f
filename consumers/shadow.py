"""A second model on the same frames: its labels are compared with those that are published, and go nowhere."""

import logging
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread, get_native_id
from typing import Final

import numpy as np

from consumers.agreement import Agreement
from consumers.batch import Batch, PolledFrame
from consumers.running_model import RunningModel
from engine.errors import ModelError, first_line
from engine.images.decode import decode_into
from engine.models.classifier import Classifier
from engine.models.store.records import SHORT_DIGEST

log = logging.getLogger(__name__)

#: Batches that wait; their frames' pictures are held meanwhile.
_WAITING: Final = 2
_ANSWER_TIMEOUT_S: Final = 30.0
#: It gets the processor's time that nobody else wants.
_NICENESS: Final = 19


class Shadow:
    """Works on a thread of its own; where it is behind, it gives batches up and counts them, and holds nobody up."""

    def __init__(self, opening: Callable[[], Classifier], batch_size: int) -> None:
        """Remember how the model is opened; `open` does it.

        Args:
            opening: Opens the model; on the thread of this shadow.
            batch_size: Frames in a batch, at the most.
        """
        self._opening = opening
        self._batch_size = batch_size
        self._queue: Queue[tuple[list[PolledFrame], list[str]] | None] = Queue(_WAITING)
        self._opened: Future[RunningModel] = Future()
        self._has_failed = False
        self._lacks_class = False
        self._thread = Thread(target=self._run, name="shadow model", daemon=True)

    def open(self) -> Agreement:
        """Open the model, and return what its work is counted in.

        Raises:
            EngineError: It cannot be opened, or gives no labels.
        """
        self._thread.start()
        model = self._opened.result()
        self.agreement = Agreement(model.spec)
        log.info(
            "shadow model %s, version %s, gets the same frames (%d classes); its labels are compared and not published",
            model.spec.name,
            model.spec.digest.removeprefix("sha256:")[:SHORT_DIGEST],
            len(model.spec.labels),
        )
        return self.agreement

    def offer(self, batch: Batch) -> None:
        """Take a batch that was classified; never waits."""
        if batch.top is None or batch.scores is None:
            return
        labels = batch.run_by.spec.labels
        answered = np.flatnonzero(~np.isnan(batch.scores[:, 0])).tolist()  # others have no label that is published
        if not answered:
            return
        frames = [batch.good[row] for row in answered]
        try:
            self._queue.put_nowait((frames, [labels[best] for best in batch.top[answered, 0].tolist()]))
        except Full:
            self.agreement.add("dropped", len(frames))

    def close(self, timeout_s: float) -> None:
        """Finish what waits, for `timeout_s` at most, and close the model; closing what never opened is harmless."""
        if self._thread.ident is None:
            return
        deadline_s = time.monotonic() + timeout_s
        try:
            self._queue.put(None, timeout=timeout_s)
        except Full:
            self._give_up_waiting()
            self._queue.put_nowait(None)
        self._thread.join(max(deadline_s - time.monotonic(), 0.1))

    def _give_up_waiting(self) -> None:
        try:
            while item := self._queue.get_nowait():
                self.agreement.add("dropped", len(item[0]))
        except Empty:
            return

    def _run(self) -> None:
        # Threads that are begun here, such as those of a runtime, inherit it.
        os.setpriority(os.PRIO_PROCESS, get_native_id(), _NICENESS)
        try:
            model = self._open()
        except BaseException as exc:  # noqa: BLE001 - it is raised where the opening is waited for
            self._opened.set_exception(exc)
            return
        self._opened.set_result(model)
        try:
            while item := self._queue.get():
                frames, labels = item
                for first in range(0, len(frames), model.capacity):
                    part = slice(first, first + model.capacity)
                    self._compare(model, frames[part], labels[part])
        finally:
            model.backend.close()

    def _open(self) -> RunningModel:
        classifier = self._opening()
        if not classifier.program.outputs:
            classifier.backend.close()
            raise ModelError(
                f"--shadow {classifier.spec.name}: nothing is computed, so there are no labels to compare: "
                "take a back end that computes"
            )
        return RunningModel(classifier, self._batch_size)

    def _compare(self, model: RunningModel, frames: Sequence[PolledFrame], labels: Sequence[str]) -> None:
        count = len(frames)
        try:
            answers = self._labels(model, frames)
        except Exception as exc:  # noqa: BLE001 - whatever a shadow model makes a back end raise harms nobody
            self.agreement.add("failed", count)
            if not self._has_failed:
                self._has_failed = True
                log.warning(
                    "shadow model %s failed %d frames (those that follow are only counted): %s",
                    model.spec.name,
                    count,
                    first_line(exc),
                )
            return
        if not self._lacks_class and (lacking := set(labels).difference(model.spec.labels)):
            self._lacks_class = True
            log.warning(
                "shadow model %s has no class %s, which is published: of such frames it never agrees",
                model.spec.name,
                min(lacking),
            )
        agreed = sum(ours == theirs for ours, theirs in zip(answers, labels, strict=True))
        self.agreement.add("agreed", agreed)
        self.agreement.add("disagreed", count - agreed)

    def _labels(self, model: RunningModel, frames: Sequence[PolledFrame]) -> list[str]:
        """Return the shadow model's top label of each frame.

        Raises:
            ImageError: A picture cannot be decoded at this model's size.
            InferenceError: The device failed.
            TimeoutError: It gave no answer.
        """
        rows = model.pool.take()
        for polled, row in zip(frames, rows, strict=False):
            decode_into(polled.frame.data, polled.header, model.spec.preprocessing.resize, row)
        values = model.spec.preprocessing.model_input(rows[: model.program.rows_for(len(frames))])
        inference = model.backend.submit({model.spec.input_name: values}, len(frames)).result(_ANSWER_TIMEOUT_S)
        if not inference.has_held_inputs:
            model.pool.give(rows)
        best, scores = model.spec.best(inference.outputs[model.spec.output_name], 1)
        return [
            "" if np.isnan(score) else model.spec.labels[index]
            for index, score in zip(best[:, 0].tolist(), scores[:, 0].tolist(), strict=True)
        ]
