"""Rows are used again only when no device can look at them any more."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Event

import pytest

from consumers.batch import Batch
from consumers.device_load import DeviceLoad
from consumers.events import Events
from consumers.running_model import RunningModel
from consumers.steps import Classify
from engine.backends.base import BackendOptions
from engine.backends.failover import FailoverBackend, Standby
from engine.errors import DeviceLostError, InferenceError
from engine.models.classifier import open_classifier
from tests.fakes.faulty_backend import FaultyBackend, broken
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.polled_frames import polled_frames
from tests.fakes.scripted_network import DEADLINE_S, Device, hang

OPTIONS = BackendOptions(data_path_timeout_s=0.4)


class Bench:
    """The device's step, over a faulty device and a faulty standby."""

    def __init__(self, folder: Path) -> None:
        self.device, self.spare = Device(), Device()
        self.may_return = Event()
        model = TinyClassifier(layout="NHWC", dtype="uint8", batch=2).save(folder / "model.onnx")
        backend = FailoverBackend(FaultyBackend(self.device), Standby(FaultyBackend(self.spare), OPTIONS))
        self.classifier = open_classifier(str(model), backend, OPTIONS)
        self.device.on_load = self.spare.on_load = lambda _: hang(self.may_return)
        self.model = RunningModel(self.classifier, 2)
        self.pool = self.model.pool
        self.classify = Classify(Events(), DeviceLoad(1))

    def are_used_again(self) -> bool:
        """Let a batch through, whatever becomes of it; tell whether its rows are in the pool then."""
        frames, rows = polled_frames([1]), self.pool.take()
        batch = Batch(frames, 2, self.model, good=frames, rows=rows)
        done = self.classify(batch)
        assert isinstance(done, Future)
        self.error = done.exception(DEADLINE_S)
        self.batch = batch
        return self.pool.take() is rows


def refuse(_: float) -> None:
    raise ValueError("bad row")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.may_return.set()
    bench.classifier.backend.close()


def test_rows_are_used_again_when_the_device_has_answered_or_refused_them(bench: Bench) -> None:
    assert bench.classifier.spec.preprocessing.takes_pixels, "the device reads the rows themselves"
    assert bench.are_used_again()
    bench.device.on_infer = refuse
    assert bench.are_used_again()
    assert isinstance(bench.error, InferenceError)


def test_rows_that_a_hung_device_may_still_read_are_left_to_it(bench: Bench) -> None:
    let_go = Event()
    bench.device.on_infer = lambda _: hang(let_go)
    assert not bench.are_used_again()
    assert bench.error is None, "the standby answered"
    assert bench.batch.inference is not None
    assert bench.batch.inference.is_degraded
    assert bench.are_used_again(), "the device was lost already and never had them"
    let_go.set()


def test_rows_are_left_alone_where_both_are_lost(bench: Bench) -> None:
    bench.device.on_infer = bench.spare.on_infer = broken
    assert not bench.are_used_again()
    assert isinstance(bench.error, DeviceLostError)
