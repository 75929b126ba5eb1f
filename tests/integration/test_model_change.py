"""A model is changed while frames come: every frame has one result, and every batch is wholly of one model."""

import json
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from config.settings import Settings
from consumers.consumer import Consumer
from engine.models.store.records import StoredModel
from engine.models.store.store import ModelStore
from messaging.outcome import Classified
from messaging.status import WorkerStatus, read_status
from streamer.compose import classifier_of, consumer_of
from tests.fakes.onnx_models import TinyClassifier, save_detector
from tests.fakes.waiting import wait_until
from tests.integration.stage import Stage, camera_frames, jpeg, running

pytestmark = pytest.mark.broker

CAMERAS = ("a", "b", "c")
PICTURES = [jpeg(seed) for seed in range(8)]


def labelled(mark: str, **kind: Any) -> TinyClassifier:
    """A classifier whose labels say which one it is."""
    return TinyClassifier(**kind, metadata={"streamer.labels": json.dumps([f"{mark}-{number}" for number in range(4)])})


#: Of different sizes, types, orders of axes and batches: what is decoded for one cannot be fed to the other.
FIRST = labelled("first", layout="NCHW", dtype="float32", height=32, width=32)
SECOND = labelled("second", layout="NHWC", dtype="uint8", height=48, width=40, batch=3)


class Models:
    """A store with two versions of one model."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = ModelStore(folder / "store")
        self.first = self.add(FIRST.save(folder / "first.onnx"))
        self.second = self.add(SECOND.save(folder / "second.onnx"))

    def add(self, file: Path) -> str:
        """Add a version; return its digest."""
        return self.store.add(file, "bottles", origin="test").version.digest

    def use(self, digest: str) -> StoredModel:
        return self.store.use("bottles", digest)


@pytest.fixture
def models(tmp_path: Path) -> Models:
    return Models(tmp_path)


class Feeder:
    """Frames without an end, until it is told to stop."""

    def __init__(self, stage: Stage) -> None:
        self.sent: list[tuple[str, int]] = []
        self._stage = stage
        self._stop = Event()
        self._thread = Thread(target=self._run, name="feeder")

    def _run(self) -> None:
        frames = {camera: count() for camera in CAMERAS}
        while not self._stop.is_set():
            fed = []
            for camera in CAMERAS:
                for frame in camera_frames(camera, 10, data=PICTURES[len(self.sent) % len(PICTURES)]):
                    frame.sequence = next(frames[camera])
                    fed.append(replace(frame, frame_id=f"{camera}/test/{frame.sequence}"))
            self._stage.feed(fed)
            self.sent += [(frame.camera, frame.sequence) for frame in fed]

    @contextmanager
    def feeding(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(30)


@contextmanager
def consuming(stage: Stage, models: Models, **changes: Any) -> Iterator[tuple[Consumer, Feeder]]:
    """Consume with the store's model while frames come; at the end all frames have their outcome."""
    changes = {"model": "bottles", "batch_size": 8, "decode_threads": 3} | changes
    settings: Settings = stage.settings(
        model_store=models.store.directory, state_directory=models.folder / "state", **changes
    )
    classifier = classifier_of(settings)
    feeder = Feeder(stage)
    try:
        consumer = consumer_of(settings, classifier)
        with running(consumer):
            with feeder.feeding():
                yield consumer, feeder
            wait_until(lambda: consumer.counts.total >= len(feeder.sent), "an outcome for every frame")
    finally:
        classifier.backend.close()


def wait_for_more(consumer: Consumer, digest: str, frames: int = 30) -> None:
    """Wait until a model has given so many more results."""
    wanted = consumer.counts.answers[f"sha256:{digest}"] + frames
    wait_until(lambda: consumer.counts.answers[f"sha256:{digest}"] >= wanted, f"{frames} results of {digest[:8]}")


def results_of(stage: Stage) -> list[Classified]:
    found = [result for result in stage.results() if isinstance(result, Classified)]
    assert len(found) == len(stage.results())
    return found


def test_models_are_changed_under_load_and_every_frame_has_one_result_of_one_model(
    stage: Stage, models: Models
) -> None:
    with consuming(stage, models) as (consumer, feeder):
        wait_for_more(consumer, models.first)
        models.use(models.second)
        wait_for_more(consumer, models.second)
        models.use(models.first)
        wait_for_more(consumer, models.first)
    results = results_of(stage)
    assert Counter((result.camera, result.sequence) for result in results) == Counter(feeder.sent), "one result each"
    for result in results:
        mark = "second" if result.model_digest == f"sha256:{models.second}" else "first"
        assert result.label.startswith(mark), "the labels are of the model that is named"
        assert result.model == "bottles"
        assert result.batch.capacity == (3 if mark == "second" else 8)
        assert result.batch.size <= result.batch.capacity
    ways = []
    for camera in CAMERAS:  # in a partition cameras overtake each other, a camera's frames never do
        own = sorted((result for result in results if result.camera == camera), key=lambda each: each.sequence)
        ways.append([digest for digest, _ in groupby(result.model_digest for result in own)])
    whole = [f"sha256:{digest}" for digest in (models.first, models.second, models.first)]
    assert ways == [whole] * len(CAMERAS), "none comes back after it was replaced"
    assert (consumer.counts.model_changes, consumer.counts.model_failures) == (2, 0)
    summary = consumer.counts.summary()
    assert summary["answers"] == dict(Counter(result.model_digest for result in results))
    last = [read_status(record.value) for record in stage.records(stage.topics.status)][-1]
    assert isinstance(last, WorkerStatus)
    assert (last.model, last.model_digest, last.model_changes) == ("bottles", f"sha256:{models.first}", 2)
    assert dict(consumer.readings.metrics().model_changes) == {"taken": 2, "failed": 0}


def save_for_four_alone(path: Path) -> Path:
    """A classifier whose graph says that it takes any number of pictures, and takes four."""
    model = onnx.load(FIRST.save(path))
    for tensor in model.graph.initializer:
        if tensor.name == "out_shape":
            tensor.CopyFrom(numpy_helper.from_array(np.array([4, 4], np.int64), "out_shape"))
    onnx.save(model, path)
    return path


def test_a_version_that_cannot_be_run_is_said_and_counted_and_the_one_before_goes_on(
    stage: Stage, models: Models, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    detector = models.add(save_detector(models.folder / "detector.onnx"))
    narrow = models.add(save_for_four_alone(models.folder / "narrow.onnx"))
    with consuming(stage, models) as (consumer, feeder):
        wait_for_more(consumer, models.first)
        for number, digest in enumerate((detector, narrow), 1):
            models.use(digest)
            wait_until(lambda number=number: consumer.counts.model_failures == number, "that it is noticed")  # type: ignore[misc]
            wait_for_more(consumer, models.first)
        models.store.rename("bottles", "caps")
        wait_until(lambda: "has no model 'bottles'" in caplog.text, "that the model is gone")
        models.store.rename("caps", "bottles")
        models.use(models.second)
        wait_for_more(consumer, models.second)
    assert Counter((result.camera, result.sequence) for result in results_of(stage)) == Counter(feeder.sent)
    assert (consumer.counts.model_changes, consumer.counts.model_failures) == (1, 2)
    said = [record.getMessage() for record in caplog.records if record.name == "consumers.model_watch"]
    assert len([line for line in said if "cannot be taken" in line]) == 2, "a line for each"
    assert all("\n" not in line for line in said)
    assert stage.dead_letters() == [], "frames were never given to it"


def opposite(models: Models) -> Path:
    """The first model with its labels the other way round: what is likeliest has another name."""
    labels = json.dumps([f"first-{3 - number}" for number in range(4)])
    return replace(FIRST, metadata={"streamer.labels": labels}).save(models.folder / "opposite.onnx")


@pytest.mark.parametrize(("is_same", "agreement"), [(True, 1.0), (False, 0.0)])
def test_a_shadow_model_is_compared_and_its_labels_are_nowhere(
    stage: Stage, models: Models, is_same: bool, agreement: float
) -> None:
    shadow = "bottles" if is_same else str(opposite(models))
    with consuming(stage, models, shadow=shadow) as (consumer, feeder):
        compared = consumer.counts.shadowed_now
        wait_until(lambda: compared().get("agreed", 0) + compared().get("disagreed", 0) > 50, "that it has compared")
    summary = consumer.counts.summary()["shadow"]
    assert summary["agreement"] == agreement
    assert summary["agreed" if is_same else "disagreed"] > 50
    assert summary["failed"] == 0
    handled = sum(summary[outcome] for outcome in ("agreed", "disagreed", "dropped", "failed"))
    assert handled == len(feeder.sent), "every frame is compared or counted as dropped"
    results = results_of(stage)
    assert Counter((result.camera, result.sequence) for result in results) == Counter(feeder.sent)
    assert {result.model_digest for result in results} == {f"sha256:{models.first}"}
    last = [read_status(record.value) for record in stage.records(stage.topics.status)][-1]
    assert isinstance(last, WorkerStatus)
    assert last.shadow is not None
    assert last.shadow.agreed + last.shadow.disagreed == summary["agreed"] + summary["disagreed"]
    assert set(consumer.readings.metrics().shadowed) == {"agreed", "disagreed", "dropped", "failed"}
