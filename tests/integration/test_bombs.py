"""Batches of a few KB that unpack to more than a machine has: the consumer says so, and goes on."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from streamer.audit import audit
from streamer.cli.main import main
from tests.fakes.record_batches import PACKERS, packed_zeros, repacked, varint
from tests.fakes.waiting import DEADLINE_S
from tests.integration.stage import Stage, camera_frames, consume_all

_BOMB_BYTES = 100 * 1024 * 1024


def bomb(packer: str) -> bytes:
    """One record with a value of 100 MiB of zeros, packed."""
    head = b"\0" + varint(0) + varint(0) + varint(-1) + varint(_BOMB_BYTES)
    size = varint(len(head) + _BOMB_BYTES + 1)
    return packed_zeros(packer, _BOMB_BYTES, size + head, varint(0))


def send_packed(stage: Stage, monkeypatch: pytest.MonkeyPatch, packer: str, packed: bytes) -> None:
    """Send a batch of one record as a producer of its own would."""
    build: Callable[..., bytearray] = DefaultRecordBatchBuilder.build
    with monkeypatch.context() as patched:
        patched.setattr(DefaultRecordBatchBuilder, "build", lambda self: repacked(build(self), packer, packed))
        producer = stage.cluster.producer(linger_ms=0)
        producer.send(stage.topics.frames, b"replaced", b"k", partition=0).get(timeout=DEADLINE_S)
        producer.close()


@pytest.mark.parametrize("packer", PACKERS)
def test_a_bomb_is_a_dead_letter_and_a_warning(
    stage: Stage, packer: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stage.feed(camera_frames("a", 2))
    send_packed(stage, monkeypatch, packer, bomb(packer))
    stage.feed(camera_frames("b", 2))
    settings = stage.settings()
    with caplog.at_level(logging.WARNING):
        consumer = consume_all(settings)
    assert consumer.counts.frames == {"classified": 4, "dead-lettered": 1}
    said = {entry.name: entry.getMessage() for entry in caplog.records if "was not read" in entry.getMessage()}
    assert set(said) == {"messaging.record_reading", "consumers.dead_letter_log"}
    assert said["messaging.record_reading"].startswith(
        f"{stage.topics.frames}-0: what the batch at offset 2 has at offsets 2 to 2"
    )
    (letter,) = stage.dead_letters()
    assert letter.reason == "too-large"
    assert (letter.original_topic, letter.original_partition, letter.original_offset) == (stage.topics.frames, 0, 2)
    assert "more than 33554432 bytes" in letter.error
    assert stage.committed(settings.group or "")[0] == 5

    # Readers without a group, too.
    assert [record.offset for record in stage.records(stage.topics.frames)] == list(range(5))
    assert audit(stage.cluster, stage.topics, [settings.group or ""]).is_conserved


def test_what_follows_the_packed_bytes_stops_nobody(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers take it: Java's reader of gzip looks no further."""
    (frame,) = camera_frames("a", 1)
    body = b"\0" + varint(0) + varint(0) + varint(1) + b"k" + varint(len(frame.data)) + frame.data + varint(0)
    record = varint(len(body)) + body
    send_packed(stage, monkeypatch, "gzip", PACKERS["gzip"](record) + b"garbage behind it")
    stage.feed(camera_frames("b", 1))
    assert consume_all(stage.settings()).counts.frames == {"classified": 2}


def test_what_could_not_be_read_is_not_put_back_empty(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    send_packed(stage, monkeypatch, "gzip", bomb("gzip"))
    consume_all(stage.settings())
    for words in (["replay", "--all", "--yes"], ["show", "0:0", "-o", str(tmp_path / "picture")]):
        assert main(["dlq", *words, *stage.flags()]) == 1
        assert f"its bytes cannot be had at {stage.topics.frames}-0 offset 0: what the batch" in capsys.readouterr().err
    assert len(stage.records(stage.topics.frames)) == 1
