"""The cameras' side on a real broker: the real command, and what happens while the broker is away."""

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.frame import read_frame
from messaging.kafka import Kafka
from messaging.outcome import Skipped, read_outcome
from messaging.reader import TopicReader
from messaging.status import CameraStatus, read_status
from messaging.topics import TopicNames, TopicPlan, create_topics
from producers.camera import Camera, CameraOptions
from producers.encoding import JpegEncoder
from producers.errors import SourceFailedError
from producers.publisher import CameraLedger, FramePublisher
from producers.sources.base import Picture, Source
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, jpeg


def produce(*flags: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "streamer", "produce", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def test_a_camera_publishes_numbered_frames_with_their_truth(stage: Stage) -> None:
    done = produce(
        "--camera", "line-1", "--source", "synthetic:workpiece?seed=1", "--fps", "50", "--frames", "20", "--json",
        *stage.flags(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cameras"]["line-1"] == {
        "captured": 20, "sent": 20, "shed": 0, "state": "stopped", "error": None,
    }  # fmt: skip
    records = stage.records(stage.topics.frames)
    frames = [read_frame(record) for record in records]
    assert [frame.sequence for frame in frames] == list(range(20))
    assert {frame.camera for frame in frames} == {"line-1"}
    assert len({frame.session for frame in frames}) == 1
    assert len({record.partition for record in records}) == 1
    assert {frame.truth for frame in frames} <= {"ok", "scratch", "dent", "crack", "hole"}
    assert len({frame.traceparent[3:35] for frame in frames}) == 20
    assert all(record.timestamp == frame.captured_at_us // 1000 for record, frame in zip(records, frames, strict=True))
    gaps_us = [after.captured_at_us - before.captured_at_us for before, after in pairwise(frames)]
    assert sum(gaps_us) / len(gaps_us) == pytest.approx(20_000, rel=0.25)

    statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
    last = statuses[-1]
    assert isinstance(last, CameraStatus)
    assert (last.session, last.captured, last.sent, last.state) == (frames[0].session, 20, 20, "stopped")


def test_many_cameras_run_in_one_process(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.jpg").write_bytes(jpeg(number))
    cameras = tmp_path / "site.toml"
    cameras.write_text(
        f"""
        [[camera]]
        name = "drawn"
        source = "synthetic:workpiece"
        fps = 50
        frames = 10

        [[camera]]
        name = "pictures"
        source = "{tmp_path}/pictures"
        fps = 50
        """
    )
    done = produce("--cameras", str(cameras), *stage.flags())
    assert done.returncode == 0, done.stderr
    frames = [read_frame(record) for record in stage.records(stage.topics.frames)]
    assert Counter(frame.camera for frame in frames) == {"drawn": 10, "pictures": 3}
    untouched = [frame.data for frame in frames if frame.camera == "pictures"]
    assert untouched == [jpeg(number) for number in range(3)]


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (["--camera", "a"], "--source"),
        (["--camera", "a", "--source", "/no/such/file.mp4"], "/no/such/file.mp4"),
        (["--camera", "a", "--source", "/no/such/*.jpg"], "/no/such/*.jpg"),
        (["--camera", "a", "--source", "gopher://host/x"], "gopher"),
        (["--camera", "a", "--source", "synthetic:cats"], "cats"),
        (["--cameras", "/no/such/site.toml"], "/no/such/site.toml"),
        (["--camera", "a", "--source", "synthetic:workpiece", "--fps", "0"], "--fps"),
    ],
)
def test_what_can_never_work_is_refused_before_the_broker_is_asked(flags: list[str], names: str) -> None:
    began_s = time.monotonic()
    done = produce(*flags, "--bootstrap-servers", "127.0.0.1:1")
    assert done.returncode == 2
    assert names in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert time.monotonic() - began_s < 10


@pytest.mark.parametrize("command", [["produce", "--camera", "a", "--source", "synthetic:workpiece"], ["consume"]])
def test_without_a_broker_the_command_ends_and_names_the_address(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streamer", *command, "--bootstrap-servers", "127.0.0.1:1"],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    assert done.returncode == 1
    assert "127.0.0.1:1" in done.stderr
    assert "streamer broker" in done.stderr
    assert "Traceback" not in done.stderr


class Moody(Source):
    """A source that fails at some pictures, and counts how often it was opened."""

    display_name = "moody"

    def __init__(self, fails_at: set[int]) -> None:
        self.fails_at = fails_at
        self.reads = 0
        self.opened = 0

    def open(self) -> None:
        self.opened += 1

    def read(self) -> Picture | None:
        self.reads += 1
        if self.reads in self.fails_at:
            raise SourceFailedError("moody lost its connection")
        return Picture(encoded=jpeg(self.reads % 8))

    def close(self) -> None:
        pass


def test_a_camera_that_fails_is_opened_again_and_keeps_its_session_and_sequence(stage: Stage) -> None:
    publisher = FramePublisher(stage.cluster, stage.topics, 10**7)
    publisher.open()
    source = Moody({4, 9})
    camera = Camera("moody", source, JpegEncoder(), publisher, CameraOptions(fps=200, frames=12))
    camera.run(Event())
    assert publisher.drain(DEADLINE_S) == 0
    publisher.close()
    frames = [read_frame(record) for record in stage.records(stage.topics.frames)]
    assert [frame.sequence for frame in frames] == list(range(12))
    assert len({frame.session for frame in frames}) == 1
    assert source.opened == 3
    assert camera.status().reconnects == 2


@pytest.fixture
def own_broker(kafka_tools: None) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(BrokerOptions(is_for_tests=True)) as running:
        yield running


def test_while_the_broker_is_frozen_the_oldest_frames_are_shed_and_said_to_be_skipped(
    own_broker: EmbeddedBroker,
) -> None:
    cluster, topics = Kafka(own_broker.bootstrap_servers), TopicNames()
    create_topics(cluster, TopicPlan(topics))
    budget_bytes = 2_000_000
    publisher = FramePublisher(cluster, topics, budget_bytes)
    publisher.open()
    frames = camera_frames("a", 100, data=bytes(100_000))
    ledger = CameraLedger("a", "test")
    for frame in frames[:10]:
        publisher.publish(ledger, frame)
    wait_until(lambda: ledger.sent == 10, "the first frames are sent")

    own_broker.pause_node(1)
    try:
        for frame in frames[10:]:
            publisher.publish(ledger, frame)
        assert ledger.shed.total >= 60
        assert publisher._unsent_bytes + publisher._handed_over_bytes <= budget_bytes
    finally:
        own_broker.resume_node(1)
    shed = ledger.shed.total
    assert publisher.drain(DEADLINE_S) == 0
    publisher.close()
    with TopicReader(cluster, topics.frames, from_beginning=True) as reader:
        sent = [read_frame(record).sequence for record in reader.read_to_end()]
    with TopicReader(cluster, topics.results, from_beginning=True) as reader:
        records = list(reader.read_to_end())
    skipped = [outcome for record in records if isinstance(outcome := read_outcome(record.value), Skipped)]
    assert {dict(record.headers)["ce_source"] for record in records} == {b"/cameras/a"}
    assert {outcome.reason for outcome in skipped} == {"camera-buffer-full"}
    assert all(outcome.group is None for outcome in skipped)
    assert len(skipped) == shed
    assert sorted(sent + [outcome.sequence for outcome in skipped]) == list(range(100))
    assert sent == sorted(sent)
    assert sent[-1] == 99, "the newest survive"


def test_publishing_never_waits_for_the_broker(own_broker: EmbeddedBroker) -> None:
    cluster, topics = Kafka(own_broker.bootstrap_servers), TopicNames()
    create_topics(cluster, TopicPlan(topics))
    publisher = FramePublisher(cluster, topics, 2_000_000)
    publisher.open()
    own_broker.pause_node(1)
    try:
        ledger, frames = CameraLedger("a", "test"), camera_frames("a", 50, data=bytes(100_000))

        def publish_all() -> None:
            for frame in frames:
                publisher.publish(ledger, frame)

        thread = Thread(target=publish_all)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
    finally:
        own_broker.resume_node(1)
    publisher.drain(DEADLINE_S)
    publisher.close()
