"""Retention that overtakes a group: what it removed unread is said and counted, and everything else is classified."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from numpy.typing import NDArray

from config.settings import Settings
from consumers.consumer import Consumer
from engine.backends.base import BackendOptions
from engine.models.classifier import open_classifier
from messaging.broker import EmbeddedBroker
from messaging.frame import write_frame
from messaging.kafka import Kafka, partition_of
from messaging.outcome import Outcome
from messaging.status import WorkerStatus, read_status
from messaging.timestamps import format_us, now_us
from streamer.compose import consumer_of
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, sums_of_channels
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.faults.harness import PARTITIONS, Delivery, new_stage
from tests.integration.stage import Stage, camera_frames, consume_all, jpeg, running

pytestmark = [pytest.mark.broker, pytest.mark.faults(15)]

_CAMERA = "gate"
_PARTITION = partition_of(_CAMERA.encode(), PARTITIONS)


@pytest.fixture
def stage(broker: EmbeddedBroker) -> Stage:
    return new_stage(Kafka(broker.bootstrap_servers))


def settings_of(stage: Stage, tmp_path: Path, delivery: Delivery = "at-least-once", **changes: object) -> Settings:
    return stage.settings(delivery=delivery, state_directory=tmp_path / "state", **changes)


def delete_before(stage: Stage, offset: int) -> None:
    """Do what retention does: remove what is below an offset."""
    with closing(stage.cluster.admin()) as admin:
        admin.delete_records({TopicPartition(stage.topics.frames, _PARTITION): offset})


def sequences(results: list[Outcome]) -> list[int]:
    return [result.sequence for result in results if result.camera == _CAMERA]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "consumers.positions"]


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_what_was_deleted_while_the_group_was_away_is_a_counted_gap(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture, delivery: Delivery
) -> None:
    settings = settings_of(stage, tmp_path, delivery)
    frames = camera_frames(_CAMERA, 100)
    stage.feed([*frames[:40], *camera_frames("other", 10)])
    consume_all(settings)
    stage.feed(frames[40:])
    delete_before(stage, 65)
    caplog.set_level(logging.WARNING)
    consumer = consume_all(settings)

    assert sequences(stage.results()) == [*range(40), *range(65, 100)]
    assert consumer.counts.summary()["lost_to_retention"] == 25
    (warning,) = warnings_of(caplog)
    assert warning.startswith(
        f"partition {_PARTITION} of {stage.topics.frames}: 25 frames are lost, offsets 40 to 64: "
        f"they were deleted before group {settings.group} had read them"
    )
    statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
    (*_, last) = [status for status in statuses if isinstance(status, WorkerStatus)]
    assert (last.state, last.frames_lost) == ("stopped", 25)


def test_a_gap_at_the_end_of_the_log_is_counted_once(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(stage, tmp_path)
    stage.feed(camera_frames(_CAMERA, 10))
    consume_all(settings)
    stage.feed(camera_frames(_CAMERA, 10))
    delete_before(stage, 20)
    caplog.set_level(logging.WARNING)
    assert consume_all(settings).counts.lost_to_retention == 10
    assert stage.committed(settings.group or "")[_PARTITION] == 20
    assert consume_all(settings).counts.lost_to_retention == 0
    assert len(warnings_of(caplog)) == 1


@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_what_is_deleted_under_back_pressure_is_a_counted_gap(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture, delivery: Delivery
) -> None:
    picture = jpeg(1) + bytes(100_000)  # a fetch brings some ten of these
    stage.feed(camera_frames(_CAMERA, 60, data=picture))
    gate = Event()
    gate.set()

    def gated(rows: NDArray[np.generic], number: int) -> NDArray[np.generic]:
        assert gate.wait(DEADLINE_S), "nobody opened the gate"
        return sums_of_channels(rows, number)

    settings = settings_of(stage, tmp_path, delivery, max_in_flight=8, batch_size=2)
    caplog.set_level(logging.WARNING)
    with scripted(settings, tmp_path, Script(answer=gated)) as consumer:
        gate.clear()
        with running(consumer):
            wait_until(lambda: len(consumer._in_flight) == 8, "no more frames are polled")
            delete_before(stage, 50)
            gate.set()
            wait_until(lambda: 59 in sequences(stage.results()), "the last frame has its result")
    classified = sequences(stage.results())
    lost = set(range(60)) - set(classified)
    assert len(classified) == len(set(classified))
    assert lost, "the frames that no fetch had brought"
    assert lost == set(range(min(lost), 50))
    assert consumer.counts.lost_to_retention == len(lost)
    (warning,) = warnings_of(caplog)
    assert f": {len(lost)} frames are lost, offsets {min(lost)} to 49: " in warning
    assert stage.committed(settings.group or "")[_PARTITION] == 60


def test_the_command_says_it_in_its_summary(stage: Stage, tmp_path: Path) -> None:
    settings = settings_of(stage, tmp_path, group="told")
    stage.feed(camera_frames(_CAMERA, 5))
    consume_all(settings)
    stage.feed(camera_frames(_CAMERA, 5))
    delete_before(stage, 8)
    command = [sys.executable, "-m", "streamer", "consume", "--group", "told", "--until-idle", "1s", *stage.flags()]
    command += ["--state-directory", str(tmp_path / "state"), "--json"]
    ended = subprocess.run(command, check=True, timeout=2 * DEADLINE_S, capture_output=True, text=True)
    assert json.loads(ended.stdout.splitlines()[-1])["lost_to_retention"] == 3
    assert "3 frames are lost, offsets 5 to 7" in ended.stderr


def test_a_position_beyond_the_end_of_the_log_is_said(
    stage: Stage, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_of(stage, tmp_path)
    with closing(stage.cluster.consumer(group=settings.group)) as consumer:
        partition = TopicPartition(stage.topics.frames, _PARTITION)
        consumer.assign([partition])
        consumer.commit({partition: OffsetAndMetadata(100, "", -1)})
    stage.feed(camera_frames(_CAMERA, 5))
    caplog.set_level(logging.WARNING)
    assert consume_all(settings).counts.frames == {"classified": 5}
    (warning,) = warnings_of(caplog)
    assert "ends before the position of group" in warning
    assert "the topic was deleted and made anew" in warning


def test_a_group_that_begins_at_the_end_answers_for_what_comes_while_it_is_away(stage: Stage, tmp_path: Path) -> None:
    settings = settings_of(stage, tmp_path, start="latest")
    stage.feed(camera_frames("early", 5))
    begin(stage, settings, tmp_path)
    stage.feed(camera_frames(_CAMERA, 5))
    assert consume_all(settings).counts.frames == {"classified": 5}
    assert sequences(stage.results()) == list(range(5))


@pytest.mark.parametrize("start", ["earliest", "latest", "time"])
@pytest.mark.parametrize("is_at_work", [True, False], ids=["at work", "away"])
def test_a_partition_that_is_added_later_is_read_from_its_first_frame(
    stage: Stage, tmp_path: Path, start: str, is_at_work: bool
) -> None:
    start = format_us(now_us() - 60_000_000) if start == "time" else start
    settings = settings_of(stage, tmp_path, start=start)
    with ExitStack() as stack:
        if is_at_work:
            stack.enter_context(beginning(stage, settings, tmp_path))
        else:
            begin(stage, settings, tmp_path)
        add_partition_with_a_frame(stage)
        # Beside a worker, this one finds a group with members, and may not commit before it is one of them.
        with scripted(settings, tmp_path) as late, running(late):
            wait_until(lambda: sequences(stage.results()) == [0], "the frame is classified")


@contextmanager
def scripted(settings: Settings, tmp_path: Path, script: Script | None = None) -> Iterator[Consumer]:
    """A consumer on a scripted device, not yet running."""
    backend = ScriptedBackend(script)
    model = save_scripted_model(tmp_path / "scripted")
    try:
        yield consumer_of(settings, open_classifier(str(model), backend, BackendOptions()))
    finally:
        backend.close()


@contextmanager
def beginning(stage: Stage, settings: Settings, tmp_path: Path) -> Iterator[None]:
    """Have a worker of a new group at work, once it is committed where the group begins."""
    with scripted(settings, tmp_path) as consumer, running(consumer):
        wait_until(lambda: len(stage.committed(settings.group or "")) == PARTITIONS, "where to begin is committed")
        yield


def begin(stage: Stage, settings: Settings, tmp_path: Path) -> None:
    """Have a group begin, and its worker go away."""
    with beginning(stage, settings, tmp_path):
        pass


def add_partition_with_a_frame(stage: Stage) -> None:
    """Add a partition that no camera's key leads to yet, and put a frame there."""
    with closing(stage.cluster.admin()) as admin:
        admin.create_partitions({stage.topics.frames: PARTITIONS + 1})
    key, value, headers, timestamp_ms = write_frame(camera_frames(_CAMERA, 1)[0])
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        producer.send(stage.topics.frames, value, key, headers, PARTITIONS, timestamp_ms).get(timeout=DEADLINE_S)
