"""A model is closed when no batch needs it any more, and not before."""

from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from threading import Event

from consumers.batch import Batch
from consumers.batch_deadline import BatchDeadline
from consumers.counts import Counts
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher, camera_of
from consumers.events import Events
from consumers.freshness import Freshness
from consumers.model_watch import ModelWatch
from consumers.running_model import RunningModel
from consumers.steps import classification_steps
from engine.backends.base import BackendOptions
from engine.batching import MicroBatcher
from engine.models.classifier import Classifier, open_classifier
from engine.models.store.records import ModelVersion
from engine.models.store.store import ModelStore
from engine.models.store.watch import CurrentVersion
from engine.pipeline.pipeline import UNBOUNDED, Pipeline
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.polled_frames import polled_frames
from tests.fakes.scripted_backend import DEADLINE_S, Script, ScriptedBackend, save_scripted_model
from tests.fakes.waiting import wait_until

TRIALS = 1  # batches that opening a classifier takes


class Line:
    """A dispatcher over scripted devices, and a store whose current version says when the next one is opened."""

    def __init__(self, folder: Path, script: Script) -> None:
        self._folder = folder
        self.backends: list[ScriptedBackend] = []
        self.counts = Counts()
        self.came = SimpleQueue[Batch]()
        self.store = ModelStore(folder / "store")
        self.use(1)
        freshness, load = Freshness("every-frame", None), DeviceLoad(1)
        first = RunningModel(self._opened(script), 4)
        steps = classification_steps(freshness, Events(), load, top=1, decode_threads=1)
        self.pipeline = Pipeline(steps, max_in_flight=UNBOUNDED)
        self.dispatcher = Dispatcher(
            MicroBatcher(first.capacity, 1 << 20, camera_of),
            self.pipeline,
            freshness,
            BatchDeadline(0.0, None),
            first,
            decode_threads=4,
        )
        self.dispatcher.open(self._came_through, lambda _: None)
        self.pipeline.start()
        self.watch = ModelWatch(CurrentVersion(self.store, "bottles"), self._open_version, 4)
        self.load = load

    def use(self, number: int) -> None:
        """Make another version current."""
        file = TinyClassifier(height=8, width=8, gain=number).save(self._folder / f"{number}.onnx")
        self.store.use("bottles", self.store.add(file, "bottles", origin="test").version.digest)

    def send(self) -> None:
        self.dispatcher.add(polled_frames([40, 50]))
        self.dispatcher.dispatch()

    def close(self) -> None:
        self.watch.stop()
        self.dispatcher.stop()
        self.pipeline.close(DEADLINE_S)
        self.watch.close(DEADLINE_S)

    def _came_through(self, batch: Batch, _: Future[Batch]) -> None:
        self.came.put(batch)

    def _open_version(self, _: ModelVersion) -> Classifier:
        return self._opened(Script())

    def _opened(self, script: Script) -> Classifier:
        self.backends.append(ScriptedBackend(script))
        return open_classifier(str(save_scripted_model(self._folder / "model")), self.backends[-1], BackendOptions())


def test_a_model_is_open_for_as_long_as_a_batch_has_it(tmp_path: Path) -> None:
    gate = Event()
    line = Line(tmp_path, Script(gates={TRIALS: gate}))
    first = line.dispatcher.model
    with ExitStack() as stack:
        stack.callback(line.close)
        stack.callback(gate.set)
        line.send()
        line.backends[0].wait_until_begun(TRIALS)
        line.watch.start(line.dispatcher, line.load, line.counts)
        wait_until(lambda: line.counts.model_changes == 1)
        line.use(2)
        wait_until(lambda: line.counts.model_changes == 2, "a second look: what can be closed is closed by now")
        assert line.backends[0].health().is_ready, "a batch is on its way with it"
        wait_until(lambda: not line.backends[1].health().is_ready, "no batch ever had it")
        line.send()
        later = line.came.get(timeout=DEADLINE_S)
        assert later.model is line.dispatcher.model is not first, "batches pass the one that waits"
        gate.set()
        earlier = line.came.get(timeout=DEADLINE_S)
        assert earlier.model is first
        assert earlier.top is not None
        assert line.backends[0].health().is_ready, "its batch may have to be taken apart"
        line.dispatcher.resolved(earlier)
        wait_until(lambda: not line.backends[0].health().is_ready, "that it is closed")
    assert not any(backend.health().is_ready for backend in line.backends), "all are closed at the end"
