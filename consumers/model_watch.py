"""Following a model of the store: another version that is made current there is taken between two batches."""

import logging
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

import numpy as np

from consumers.counts import Counts
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher
from consumers.running_model import RunningModel
from engine.errors import EngineError
from engine.models.classifier import Classifier
from engine.models.store.records import SHORT_DIGEST, ModelVersion
from engine.models.store.watch import CurrentVersion

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0
_TRIAL_TIMEOUT_S: Final = 120.0


class ModelWatch:
    """Looks once a second, on a thread of its own, and opens what is new there beside the model that goes on.

    A version that cannot be loaded is said in a line and counted; the model before it stays. A model that no batch has
    any more is closed.
    """

    def __init__(
        self, current: CurrentVersion, open_version: Callable[[ModelVersion], Classifier], batch_size: int
    ) -> None:
        """Remember what to look at; `start` begins.

        Args:
            current: The model that is followed.
            open_version: Opens a version; on the thread of this watch.
            batch_size: Frames in a batch, at the most.
        """
        self._current = current
        self._open_version = open_version
        self._batch_size = batch_size
        self._stop = Event()
        self._former: list[RunningModel] = []
        self._thread = Thread(target=self._run, name="model watch", daemon=True)

    def start(self, dispatcher: Dispatcher, load: DeviceLoad, counts: Counts) -> None:
        """Begin, for a consumer with these parts."""
        self._dispatcher = dispatcher
        self._load = load
        self._counts = counts
        self._thread.start()

    def stop(self) -> None:
        """Change nothing any more."""
        self._stop.set()

    def close(self, timeout_s: float) -> None:
        """Close the models of which no batch is on its way any more, save for the one that was there first.

        A version that is being opened is waited for `timeout_s` at most; else it is closed when that is done.
        """
        if self._thread.ident is None:
            return
        self._thread.join(timeout_s)
        if self._counts.model_changes:
            self._former.append(self._dispatcher.model)
        for model in self._former:
            model.backend.close()

    def _run(self) -> None:
        while True:
            self._look()
            self._close_unused()
            if self._stop.wait(_INTERVAL_S):
                return

    def _look(self) -> None:
        name, running = self._current.name, self._dispatcher.model.spec.digest.removeprefix("sha256:")
        try:
            version = self._current.look()
        except EngineError as exc:
            log.warning("%s: version %s goes on", exc, running[:SHORT_DIGEST])
            return
        if version is None or version.digest == running:
            return
        began_s = time.monotonic()
        try:
            model = self._opened(version)
        except Exception as exc:  # noqa: BLE001 - whatever a file makes a back end raise, the model that runs goes on
            self._counts.model_failed()
            log.error(  # noqa: TRY400 - a line, no traceback
                "model %s: version %s cannot be taken, %s goes on: %s",
                name,
                version.short_digest,
                running[:SHORT_DIGEST],
                " ".join(str(exc).split()) or type(exc).__name__,
            )
            return
        if self._stop.is_set():
            model.backend.close()
            return
        self._former.append(self._dispatcher.change_model(model))
        self._load.slots = max(model.backend.slots, 1)
        self._counts.model_changed()
        log.info(
            "model %s: version %s takes over from %s, after %.1f s of preparation (%d classes)",
            name,
            version.short_digest,
            running[:SHORT_DIGEST],
            time.monotonic() - began_s,
            len(model.spec.labels),
        )

    def _opened(self, version: ModelVersion) -> RunningModel:
        """Open a version, and run a full batch of black pictures: what fails then would have failed with frames."""
        classifier = self._open_version(version)
        try:
            model = RunningModel(classifier, self._batch_size)
            rows = model.pool.take()
            values = model.spec.preprocessing.model_input(np.zeros_like(rows))
            model.backend.submit({model.spec.input_name: values}, model.capacity).result(_TRIAL_TIMEOUT_S)
        except BaseException:
            classifier.backend.close()
            raise
        model.pool.give(rows)
        return model

    def _close_unused(self) -> None:
        for model in [each for each in self._former if self._dispatcher.is_unused(each)]:
            self._former.remove(model)
            model.backend.close()
