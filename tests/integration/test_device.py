"""The consumer with a scripted device: backlogs, refused batches, a device that breaks, and one that hangs."""

from collections import Counter
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import simplejpeg
from numpy.typing import NDArray

from config.settings import Settings
from consumers.consumer import Consumer
from consumers.errors import DeviceFailedError
from engine.backends.base import BackendOptions
from engine.models.classifier import open_classifier
from engine.options import SessionOptions
from messaging.outcome import Classified, Skipped
from messaging.status import read_status
from streamer.compose import consumer_of
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, running

_WHITE: bytes = simplejpeg.encode_jpeg(np.full((64, 64, 3), 255, np.uint8), quality=95)


def is_white(rows: NDArray[np.generic]) -> bool:
    return bool((np.asarray(rows, np.float64).reshape(len(rows), -1).mean(axis=1) > 250).any())


def consumer_on(backend: ScriptedBackend, settings: Settings, tmp_path: Path, activations: int = 1) -> Consumer:
    model = save_scripted_model(tmp_path / "scripted.onnx")
    classifier = open_classifier(
        str(model), backend, BackendOptions(keywords=SessionOptions(num_activations=activations))
    )
    return consumer_of(settings, classifier)


def trial_batches() -> int:
    """How many batches opening a classifier takes; the script's numbers go on from there."""
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        backend = ScriptedBackend()
        open_classifier(str(save_scripted_model(Path(folder) / "m")), backend, BackendOptions())
        backend.close()
        return len(backend.taken)


def test_freshest_classifies_each_cameras_newest_and_accounts_for_the_rest(stage: Stage, tmp_path: Path) -> None:
    first = trial_batches()
    gate = Event()
    backend = ScriptedBackend(Script(gates=dict.fromkeys(range(first, first + 3), gate)))
    settings = stage.settings(policy="freshest", batch_size=2, decode_threads=1)
    consumer = consumer_on(backend, settings, tmp_path)
    try:
        with running(consumer):
            stage.feed(camera_frames("slow", 2))
            backend.wait_until_begun(first)
            stage.feed(camera_frames("a", 40) + camera_frames("b", 30))
            wait_until(lambda: len(consumer._in_flight) == 72, "all frames are polled")
            assert consumer._parts.dispatcher.waiting <= 4, "the backlog is thinned out"
            gate.set()
            wait_until(lambda: consumer.counts.total == 72, "every frame has its outcome")
    finally:
        gate.set()
        backend.close()
    results = stage.results()
    assert Counter((result.camera, result.sequence) for result in results).most_common(1)[0][1] == 1
    classified = {(result.camera, result.sequence) for result in results if isinstance(result, Classified)}
    assert {("a", 39), ("b", 29)} <= classified, "the newest of each camera"
    skipped = [result for result in results if isinstance(result, Skipped)]
    assert {result.reason for result in skipped} == {"superseded"}
    assert len(skipped) >= 60
    assert sum(stage.committed(settings.group or "").values()) == 72


def test_no_more_frames_are_held_than_the_limit_while_the_device_is_stuck(stage: Stage, tmp_path: Path) -> None:
    first, gate = trial_batches(), Event()
    backend = ScriptedBackend(Script(gates=dict.fromkeys(range(first, first + 100), gate)))
    consumer = consumer_on(backend, stage.settings(max_in_flight=20, batch_size=4), tmp_path)
    try:
        with running(consumer):
            stage.feed(camera_frames("a", 100))
            wait_until(lambda: len(consumer._in_flight) >= 20, "the house is full")
            assert len(consumer._in_flight) == 20
            gate.set()
            wait_until(lambda: consumer.counts.total == 100, "every frame has its outcome")
    finally:
        gate.set()
        backend.close()


def test_a_frame_that_fails_its_batch_is_found_and_its_neighbours_are_classified(stage: Stage, tmp_path: Path) -> None:
    backend = ScriptedBackend(Script(fatal=is_white))
    frames = camera_frames("a", 15)
    frames.insert(6, camera_frames("white", 1, data=_WHITE)[0])
    stage.feed(frames)
    settings = stage.settings(batch_size=16, batch_timeout="500ms")
    consumer = consumer_on(backend, settings, tmp_path)
    before = len(backend.taken)
    with running(consumer):
        wait_until(lambda: consumer.counts.total == 16, "every frame has its outcome")
    backend.close()
    (letter,) = stage.dead_letters()
    assert (letter.camera, letter.reason) == ("white", "inference-failed")
    assert [result.sequence for result in stage.results()] == list(range(15))
    calls = len(backend.taken) - before
    assert calls <= 1 + 2 * 4 + 4, "halving, not one by one"


def test_an_answer_that_is_not_a_number_is_a_dead_letter(stage: Stage, tmp_path: Path) -> None:
    def answer(rows: NDArray[np.generic], _: int) -> NDArray[np.generic]:
        sums: NDArray[np.float32] = np.asarray(rows, np.float64).sum(axis=(1, 2)).astype(np.float32)
        sums[np.asarray(rows, np.float64).reshape(len(rows), -1).mean(axis=1) > 250] = np.nan
        return sums

    backend = ScriptedBackend(Script(answer=answer))
    stage.feed(camera_frames("a", 3) + camera_frames("white", 1, data=_WHITE))
    consumer = consumer_on(backend, stage.settings(), tmp_path)
    with running(consumer):
        wait_until(lambda: consumer.counts.total == 4, "every frame has its outcome")
    backend.close()
    assert [(letter.camera, letter.reason) for letter in stage.dead_letters()] == [("white", "inference-failed")]
    assert len(stage.results()) == 3


def test_a_device_that_breaks_ends_the_consumer_and_loses_no_frame(stage: Stage, tmp_path: Path) -> None:
    backend = ScriptedBackend()
    settings = stage.settings()
    consumer = consumer_on(backend, settings, tmp_path)
    with pytest.raises(DeviceFailedError, match="the card fell off"), running(consumer) as thread:  # noqa: PT012
        stage.feed(camera_frames("a", 5))
        wait_until(lambda: consumer.counts.total == 5, "the first frames")
        backend.break_down("the card fell off")
        stage.feed(camera_frames("b", 5))
        thread.join(DEADLINE_S)
    backend.close()
    assert {result.camera for result in stage.results()} == {"a"}
    assert stage.dead_letters() == []
    assert sum(stage.committed(settings.group or "").values()) == 5


def test_a_device_that_hangs_does_not_keep_the_consumer_from_ending(stage: Stage, tmp_path: Path) -> None:
    first, gate = trial_batches(), Event()
    backend = ScriptedBackend(Script(gates={first: gate}))
    settings = stage.settings(drain_timeout="1s", session_timeout="3s")
    consumer = consumer_on(backend, settings, tmp_path)
    try:
        with running(consumer):
            stage.feed(camera_frames("a", 3))
            backend.wait_until_begun(first)
        assert consumer.is_hung
        statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
        states = [status.state for status in statuses]
        assert "draining" in states
        assert states[-1] == "stopped"
        assert sum(stage.committed(settings.group or "").values()) == 0
    finally:
        gate.set()
        backend.close()
