"""The warning before retention deletes unread frames, from a real topic's settings to the worker's status."""

import logging
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.loss_horizon import Retention
from consumers.status import retention_of
from engine.backends.base import BackendOptions
from engine.models.classifier import open_classifier
from messaging.status import PartitionStatus, WorkerStatus, read_status
from streamer.compose import consumer_of
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, sums_of_channels
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, running

pytestmark = pytest.mark.broker


def test_what_a_topic_keeps_is_asked_of_the_broker(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    assert retention_of(stage.cluster, stage.topics.frames) == Retention(time_s=600.0, size_bytes=2048 * 1024 * 1024)
    assert retention_of(stage.cluster, stage.topics.status) == Retention(), "a compacted topic deletes by key alone"
    assert not caplog.records


def test_where_the_broker_does_not_say_what_it_keeps_one_line_says_so(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    assert retention_of(stage.cluster, "no-such-topic") == Retention()
    (record,) = caplog.records
    assert "no warning will come before retention deletes unread frames of no-such-topic" in record.getMessage()


def test_a_worker_that_stands_still_warns_before_its_cameras_lose_frames(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stage.feed(camera_frames("gate", 40, age_us=560_000_000))
    gate = Event()
    gate.set()

    def gated(rows: NDArray[np.generic], number: int) -> NDArray[np.generic]:
        assert gate.wait(DEADLINE_S), "nobody opened the gate"
        return sums_of_channels(rows, number)

    backend = ScriptedBackend(Script(answer=gated))
    classifier = open_classifier(str(save_scripted_model(tmp_path / "scripted")), backend, BackendOptions())
    gate.clear()
    consumer = consumer_of(stage.settings(max_in_flight=8), classifier)

    def near() -> list[PartitionStatus]:
        reports = [read_status(record.value) for record in stage.records(stage.topics.status)]
        held = [partition for report in reports if isinstance(report, WorkerStatus) for partition in report.partitions]
        return [partition for partition in held if partition.loss_horizon_s is not None]

    caplog.set_level(logging.WARNING)
    try:
        with running(consumer):
            wait_until(lambda: bool(near()), "a loss horizon")
            gate.set()
            wait_until(lambda: consumer.counts.total == 40, "every frame has its outcome")
    finally:
        gate.set()
        backend.close()
    partition = near()[0]
    assert partition.lag is not None
    assert partition.loss_horizon_s is not None
    assert partition.lag > 0
    assert 0 <= partition.loss_horizon_s <= 60
    warnings = [record.getMessage() for record in caplog.records if record.name == "consumers.unread"]
    assert len(warnings) == 1
    assert warnings[0].startswith("camera gate loses frames in ")
