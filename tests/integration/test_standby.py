"""A consumer with a standby: its device hangs, its frames are done again by the CPU, and the device comes back."""

import subprocess
import sys
from collections import Counter
from math import log2
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from config.settings import Settings
from consumers.errors import DeviceFailedError
from engine.backends.base import Backend, BackendOptions
from engine.backends.failover import FailoverBackend, Standby
from engine.backends.registry import make_backend
from engine.models.classifier import open_classifier
from engine.options import SessionOptions
from messaging.frame import Frame
from messaging.outcome import Classified
from producers.sources.synthetic.workpiece import WorkpieceRenderer
from streamer.compose import consumer_of
from tests.fakes.faulty_backend import FaultyBackend, broken, broken_device
from tests.fakes.polled_frames import grey_jpeg
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model
from tests.fakes.scripted_network import Device, hang
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, running

pytestmark = pytest.mark.broker
#: Long for a model that takes milliseconds, and short for a test.
OPTIONS = BackendOptions(keywords=SessionOptions(num_activations=1), data_path_timeout_s=2.0)


class Works:
    """A consumer of workpieces on a faulty device; its standby is ONNX Runtime on the CPU."""

    def __init__(self, settings: Settings, standby: Backend | None = None) -> None:
        self.device = Device()
        self.primary = FaultyBackend(self.device)
        self.backend = FailoverBackend(self.primary, Standby(standby or make_backend("onnxruntime"), OPTIONS))
        self.classifier = open_classifier("workpiece", self.backend, OPTIONS)
        self.consumer = consumer_of(settings, self.classifier)
        self.may_return, self.let_go = Event(), Event()
        self.device.on_load = lambda _: hang(self.may_return)

    def hang_at(self, batch: int) -> None:
        """Have the device hang over a batch, from 0 as it begins them from now on, and let no probe bring it back."""
        number = self.device.began + batch + 1
        self.device.on_infer = lambda _: hang(self.let_go) if self.device.began == number else None

    def wait_for(self, count: int) -> None:
        wait_until(lambda: self.consumer.counts.total == count, f"{count} frames to have their outcome")

    def close(self) -> None:
        self.may_return.set()
        self.let_go.set()
        self.backend.close()


def workpieces(camera: str, count: int) -> list[Frame]:
    """Frames whose truth is known."""
    frames, renderer = camera_frames(camera, count), WorkpieceRenderer(seed=5)
    for frame in frames:
        pixels, truth = renderer.render()
        frame.data, frame.truth = simplejpeg.encode_jpeg(pixels, quality=90), truth
    return frames


def is_white(rows: NDArray[np.generic]) -> bool:
    return bool((np.asarray(rows, np.float64).reshape(len(rows), -1).mean(axis=1) > 250).any())


def test_what_a_hung_device_had_is_classified_by_the_cpu_until_it_is_back(stage: Stage) -> None:
    settings = stage.settings(device="7", batch_size=4)
    works = Works(settings)
    try:
        with running(works.consumer):
            stage.feed(workpieces("before", 8))
            works.wait_for(8)
            works.hang_at(1)
            stage.feed(workpieces("hung", 16))
            works.wait_for(24)
            assert not works.primary.health().is_ready
            stage.feed(workpieces("lost", 8))
            works.wait_for(32)
            works.may_return.set()
            wait_until(lambda: works.primary.health().is_ready, "the device to be back")
            stage.feed(workpieces("after", 8))
            works.wait_for(40)
    finally:
        works.close()
    results = [result for result in stage.results() if isinstance(result, Classified)]
    assert Counter(result.camera for result in results) == {"before": 8, "hung": 16, "lost": 8, "after": 8}
    assert len({(result.camera, result.sequence) for result in results}) == 40, "none twice"
    assert sum(result.label == result.truth for result in results) >= 39
    made_by = {
        camera: {(r.backend, r.device, r.degraded) for r in results if r.camera == camera}
        for camera in ("before", "hung", "lost", "after")
    }
    own, standby = ("faulty", "7", False), ("onnxruntime", "cpu", True)
    assert made_by == {"before": {own}, "hung": {own, standby}, "lost": {standby}, "after": {own}}
    assert stage.dead_letters() == []
    assert sum(stage.committed(settings.group or "").values()) == 40
    fields = b"".join(record.value for record in stage.records(stage.topics.results))
    assert fields.count(b'"degraded":true') == sum(result.degraded for result in results)
    assert b'"degraded":false' not in fields


def test_where_both_are_lost_the_consumer_ends_and_loses_no_frame(stage: Stage) -> None:
    settings = stage.settings()
    device = broken_device()
    works = Works(settings, FaultyBackend(device))
    try:
        with (  # noqa: PT012 - the consumer ends while the block waits for it
            pytest.raises(DeviceFailedError, match="is lost too: the device fell off"),
            running(works.consumer) as thread,
        ):
            stage.feed(camera_frames("a", 5))
            works.wait_for(5)
            works.device.on_infer = broken
            stage.feed(camera_frames("b", 5))
            thread.join(DEADLINE_S)
    finally:
        works.close()
    assert {result.camera for result in stage.results()} == {"a"}
    assert stage.dead_letters() == []
    assert sum(stage.committed(settings.group or "").values()) == 5


@pytest.mark.parametrize("place", [0, 6, 15])
def test_a_frame_that_the_model_raises_on_costs_few_calls_and_none_of_the_standby(
    stage: Stage, tmp_path: Path, place: int
) -> None:
    primary, standby = ScriptedBackend(Script(fatal=is_white)), ScriptedBackend()
    backend = FailoverBackend(primary, Standby(standby, BackendOptions()))
    classifier = open_classifier(str(save_scripted_model(tmp_path / "model")), backend, BackendOptions())
    consumer = consumer_of(stage.settings(batch_size=16, batch_timeout="2s"), classifier)
    frames = camera_frames("a", 15)
    frames.insert(place, camera_frames("white", 1, data=grey_jpeg(255, 64))[0])
    before = len(primary.taken)
    with running(consumer):
        stage.feed(frames)
        wait_until(lambda: consumer.counts.total == 16, "every frame has its outcome")
    backend.close()
    assert [(letter.camera, letter.reason) for letter in stage.dead_letters()] == [("white", "inference-failed")]
    assert [result.sequence for result in stage.results()] == list(range(15))
    assert primary.taken[before].count == 16, "one batch"
    assert len(primary.taken) - before <= 2 * log2(16) + 2
    assert standby.taken == []


def test_the_command_says_at_its_start_what_takes_over(stage: Stage) -> None:
    stage.feed(camera_frames("a", 3))
    command = [sys.executable, "-m", "streamer", "consume", "--until-idle", "1s", *stage.flags()]
    card = ["--backend", "simulator", "--row", "resnet50/best-latency", "--standby", "cpu"]
    done = subprocess.run([*command, *card], capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    assert "; standby: onnxruntime " in done.stderr
    assert {(result.backend, result.degraded) for result in stage.results() if isinstance(result, Classified)} == {
        ("simulator", False)
    }
