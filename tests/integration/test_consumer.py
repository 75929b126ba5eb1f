"""The consumer on a real broker with the real model: outcomes, order, dead letters, commits."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from io import BytesIO
from pathlib import Path

import confluent_kafka
import numpy as np
import pytest
import simplejpeg
from kafka.admin import ConfigResource, ConfigResourceType
from PIL import Image

from messaging.frame import write_frame
from messaging.outcome import Classified, Skipped
from messaging.status import WorkerStatus, read_status
from messaging.timestamps import format_us, now_us
from streamer.compose import classifier_of, consumer_of
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, consume_all, jpeg, running


def test_every_frame_has_one_result_in_its_cameras_order(stage: Stage) -> None:
    frames = [frame for camera in ("a", "b", "c") for frame in camera_frames(camera, 40)]
    stage.feed(frames)
    settings = stage.settings()
    consumer = consume_all(settings)

    results = stage.results()
    assert consumer.counts.frames == {"classified": 120}
    assert len(results) == 120
    for camera in ("a", "b", "c"):
        mine = [result for result in results if result.camera == camera]
        assert [result.sequence for result in mine] == list(range(40))
    assert sum(stage.committed(settings.group or "").values()) == 120


def test_a_result_says_everything_that_the_contract_names(stage: Stage) -> None:
    (frame,) = camera_frames("a", 1)
    stage.feed([frame])
    settings = stage.settings(device="7", top=3)
    consume_all(settings)

    (record,) = stage.records(stage.topics.results)
    value = json.loads(record.value)
    headers = dict(record.headers)
    assert headers["ce_id"].decode() == frame.frame_id
    assert headers["ce_source"].decode() == f"/groups/{settings.group}"
    assert headers["ce_type"] == b"streamer.classification.v1"
    assert headers["traceparent"].decode()[3:35] == frame.traceparent[3:35]
    assert record.key == b"a"
    assert value["status"] == "classified"
    assert len(value["classes"]) == 3
    assert value["classes"][0] == {"label": value["label"], "score": value["score"]}
    assert 0 < value["score"] <= 1
    assert (value["device"], value["backend"], value["simulated"]) == ("7", "onnxruntime", False)
    assert value["model_digest"].startswith("sha256:")
    assert value["truth"] == "truth-0"
    assert value["batch"] == {"size": 1, "capacity": 8}
    assert value["source"] == {"topic": stage.topics.frames, "partition": record_partition(stage), "offset": 0}
    assert "degraded" not in value
    parts = value["latency_ms"]
    total = parts.pop("total")
    assert list(parts) == ["transport", "batch_wait", "decode", "device_wait", "inference", "order_wait"]
    assert all(part >= 0 for part in parts.values())
    assert sum(parts.values()) == pytest.approx(total, abs=0.01)


def record_partition(stage: Stage) -> int:
    (record,) = stage.records(stage.topics.frames)
    return int(record.partition)


def test_bad_frames_are_dead_letters_with_their_reason_and_harm_nobody(stage: Stage) -> None:
    good = camera_frames("good", 20)
    wide = BytesIO()
    Image.fromarray(np.zeros((16, 16), np.uint16)).save(wide, "PNG")
    bad = {
        "empty": b"",
        "not-an-image": b"this is no picture at all",
        "truncated": jpeg(1)[:-200],
        "unsupported": wide.getvalue(),
        "too-many-pixels": simplejpeg.encode_jpeg(np.zeros((400, 400, 3), np.uint8)),
        "too-large": jpeg(2) + bytes(40_000),
    }
    poison = [camera_frames(f"bad-{reason}", 1, data=data)[0] for reason, data in bad.items()]
    stage.feed(good[:10] + poison + good[10:])
    settings = stage.settings(max_frame_pixels=100_000, max_frame_bytes=32_000)
    consumer = consume_all(settings)

    letters = {letter.camera: letter for letter in stage.dead_letters()}
    assert {letter.reason for letter in letters.values()} == set(bad)
    for reason, data in bad.items():
        letter = letters[f"bad-{reason}"]
        assert (letter.reason, letter.data, letter.group) == (reason, data, settings.group)
        assert letter.error
        assert (letter.original_topic, letter.frame_id) == (stage.topics.frames, f"bad-{reason}/test/0")
    assert Counter(result.camera for result in stage.results()) == {"good": 20}
    assert consumer.counts.frames == {"classified": 20, "dead-lettered": 6}
    assert sum(stage.committed(settings.group or "").values()) == 26


def test_a_dead_letter_that_its_topic_cannot_take_points_at_the_frame(stage: Stage) -> None:
    with closing(stage.cluster.admin()) as admin:
        limit = {"max.message.bytes": "100000"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stage.topics.dead_letters, configs=limit)])
    large, small = camera_frames("large", 1, data=b"no picture" * 30_000), camera_frames("small", 1, data=b"nor this")
    stage.feed(large + small + camera_frames("good", 3))
    consumer = consume_all(stage.settings())
    letters = {letter.camera: letter for letter in stage.dead_letters()}
    assert letters["small"].data == b"nor this"
    assert letters["large"].data == b""
    assert letters["large"].original_offset >= 0
    assert consumer.counts.frames == {"classified": 3, "dead-lettered": 2}


def test_grey_and_cmyk_pictures_and_other_formats_are_classified(stage: Stage) -> None:
    colour = Image.fromarray(simplejpeg.decode_jpeg(jpeg(3)))
    encoded = {}
    for name, image, kind in (
        ("grey", colour.convert("L"), "JPEG"),
        ("cmyk", colour.convert("CMYK"), "JPEG"),
        ("png", colour, "PNG"),
        ("webp", colour, "WEBP"),
        ("bmp", colour, "BMP"),
    ):
        buffer = BytesIO()
        image.save(buffer, kind)
        encoded[name] = buffer.getvalue()
    stage.feed([camera_frames(name, 1, data=data)[0] for name, data in encoded.items()])
    consume_all(stage.settings())
    assert {result.camera for result in stage.results() if isinstance(result, Classified)} == set(encoded)


def test_frames_of_other_producers_are_classified(stage: Stage) -> None:
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": stage.cluster.bootstrap_servers, "enable.idempotence": True}
    )
    producer.produce(stage.topics.frames, key=b"their-camera", value=jpeg(1))
    producer.produce(stage.topics.frames, value=jpeg(2), partition=2)
    producer.produce(stage.topics.frames, key=b"\xff\xfe", value=jpeg(3), headers={"ce_time": b"yesterday"})
    assert producer.flush(DEADLINE_S) == 0
    consume_all(stage.settings())

    results = {result.camera: result for result in stage.results()}
    assert set(results) == {"their-camera", f"{stage.topics.frames}-2", "\\xff\\xfe"}
    theirs = results["their-camera"]
    assert isinstance(theirs, Classified)
    assert theirs.sequence == theirs.source.offset
    assert theirs.truth is None
    assert 0 <= theirs.latency_ms.total < 60_000


def test_kcat_can_feed_frames_and_read_results(stage: Stage, tmp_path: Path) -> None:
    kcat = shutil.which("kcat")
    if kcat is None:
        if os.environ.get("STREAMER_TESTS_REQUIRE_TOOLS"):
            pytest.fail("kcat is not installed: apt-get install kcat")
        pytest.skip("kcat is not installed: apt-get install kcat")
    picture = tmp_path / "picture.jpg"
    picture.write_bytes(jpeg(1))
    address = ["-b", stage.cluster.bootstrap_servers, "-t"]
    subprocess.run([kcat, "-P", *address, stage.topics.frames, "-k", "by-kcat", str(picture)], check=True, timeout=30)
    consume_all(stage.settings())
    read = subprocess.run(
        [kcat, "-C", *address, stage.topics.results, "-o", "beginning", "-e", "-q", "-f", "%k %s\\n"],
        check=True,
        timeout=30,
        capture_output=True,
        text=True,
    )
    key, _, value = read.stdout.strip().partition(" ")
    assert key == "by-kcat"
    assert json.loads(value)["status"] == "classified"


def test_old_frames_are_skipped_and_accounted_for(stage: Stage) -> None:
    stage.feed(camera_frames("old", 3, age_us=60_000_000) + camera_frames("new", 2))
    settings = stage.settings(max_age="30s")
    consumer = consume_all(settings)
    skipped = [result for result in stage.results() if isinstance(result, Skipped)]
    assert [(result.camera, result.reason, result.group) for result in skipped] == [
        ("old", "too-old", settings.group)
    ] * 3
    assert consumer.counts.frames == {"classified": 2, "skipped": 3}


def test_a_frame_replayed_for_another_group_is_passed_over_and_committed(stage: Stage) -> None:
    key, value, headers, _ = write_frame(camera_frames("a", 1, age_us=60_000_000)[0])
    producer = stage.cluster.producer(linger_ms=0)
    for group in ("somebody-else", "mine"):
        replayed = [*headers, ("ce_replayfor", group.encode()), ("ce_replay", b"1")]
        producer.send(stage.topics.frames, value, key, replayed)
    producer.flush(DEADLINE_S)
    producer.close()
    consumer = consume_all(stage.settings(group="mine", max_age="1ms"))
    assert consumer.counts.frames == {"classified": 1}
    assert sum(stage.committed("mine").values()) == 2


def test_a_new_group_begins_at_the_time_it_is_told(stage: Stage) -> None:
    stage.feed(camera_frames("before", 5, age_us=3_600_000_000))
    stage.feed(camera_frames("after", 4))
    consumer = consume_all(stage.settings(start=format_us(now_us() - 60_000_000)))
    assert consumer.counts.frames == {"classified": 4}
    assert {result.camera for result in stage.results()} == {"after"}


def test_a_killed_consumer_loses_nothing(stage: Stage) -> None:
    stage.feed([frame for camera in "abcd" for frame in camera_frames(camera, 150)])
    command = [sys.executable, "-m", "streamer", "consume", "--group", "killed", "--session-timeout", "2s"]
    process = subprocess.Popen([*command, *stage.flags()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(stage.records(stage.topics.results)) >= 50, "the first results")
    finally:
        process.kill()
        process.wait()
    consume_all(stage.settings(group="killed", session_timeout="2s"))

    counted = Counter((result.camera, result.sequence) for result in stage.results())
    assert set(counted) == {(camera, sequence) for camera in "abcd" for sequence in range(150)}
    assert sum(counted.values()) - len(counted) <= 256
    assert sum(stage.committed("killed").values()) == 600


def test_sigterm_drains_without_duplicates_and_says_so(stage: Stage) -> None:
    stage.feed([frame for camera in "abcd" for frame in camera_frames(camera, 300)])
    command = [sys.executable, "-m", "streamer", "consume", "--group", "drained", "--json", *stage.flags()]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        wait_until(lambda: len(stage.records(stage.topics.results)) >= 50, "the first results")
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    figures = json.loads(output.strip().splitlines()[-1])
    consume_all(stage.settings(group="drained"))

    counted = Counter((result.camera, result.sequence) for result in stage.results())
    assert len(counted) == 1200
    assert max(counted.values()) == 1
    assert 50 <= figures["classified"] <= 1200
    statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
    states = [status.state for status in statuses if isinstance(status, WorkerStatus)]
    assert "running" in states
    assert states[-1] == "stopped"


def test_with_a_latency_budget_frames_wait_by_their_age_and_not_by_the_time_out(stage: Stage) -> None:
    """Fresh frames would wait a minute for more, by either rule; those that are a minute old go at once."""
    stage.feed(camera_frames("old", 3, age_us=61_000_000))
    settings = stage.settings(batch_size=64, batch_timeout="60s", latency_budget="60s")
    classifier = classifier_of(settings)
    try:
        consumer = consumer_of(settings, classifier)
        with running(consumer):
            wait_until(lambda: consumer.counts.frames.get("classified") == 3, "the old frames have their results")
            stage.feed(camera_frames("new", 3))
            wait_until(lambda: consumer.readings.metrics().waiting[0] == 3, "the new ones wait")
            stage.feed(camera_frames("late", 1, age_us=61_000_000))
            wait_until(lambda: consumer.counts.frames.get("classified") == 7, "one that cannot wait takes them along")
    finally:
        classifier.backend.close()
    sizes = Counter(result.batch.size for result in stage.results() if isinstance(result, Classified))
    assert sizes == {3: 3, 4: 4}
