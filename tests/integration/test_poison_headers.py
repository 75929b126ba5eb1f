"""Records that anybody may produce and that must stop nobody: odd headers, odd encodings, huge ones."""

import json
import struct

import pytest
from confluent_kafka import Producer
from crc32c import crc32c
from kafka.record.default_records import DefaultRecordBatchBuilder

from messaging.cloudevents import STATUS_TYPE
from messaging.outcome import Classified
from tests.fakes.waiting import DEADLINE_S
from tests.integration.stage import Stage, camera_frames, consume_all, jpeg


def send(stage: Stage, *headers: tuple[str, bytes], key: bytes = b"poison", value: bytes | None = None) -> None:
    producer = stage.cluster.producer(linger_ms=0)
    producer.send(stage.topics.frames, jpeg(2) if value is None else value, key, list(headers), partition=0)
    producer.flush(DEADLINE_S)
    producer.close()


def good(stage: Stage, camera: str) -> None:
    producer = Producer({"bootstrap.servers": stage.cluster.bootstrap_servers, "enable.idempotence": True})
    producer.produce(stage.topics.frames, key=camera.encode(), value=jpeg(1), partition=0)
    assert producer.flush(DEADLINE_S) == 0


def cameras(stage: Stage) -> list[str]:
    """Whose results there are; results of different cameras come in any order."""
    return sorted(result.camera for result in stage.results())


class OddName(str):
    """A header's name that is encoded to bytes which are no UTF-8; no library makes such a name by itself."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"\xff\xfe-name"


def test_a_header_whose_name_is_no_utf8_stops_nobody(stage: Stage) -> None:
    good(stage, "before")
    send(stage, (OddName("x"), b"1"), ("ce_subject", b"poisoned"))
    good(stage, "after")
    consume_all(stage.settings())
    assert cameras(stage) == ["after", "before", "poisoned"]


def test_attributes_are_one_byte_whatever_they_hold(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    build = DefaultRecordBatchBuilder.build

    def with_odd_attributes(self: DefaultRecordBatchBuilder, *args: object) -> bytearray:
        batch = bytearray(build(self, *args))
        records = 61
        length_bytes = 2 if batch[records] & 0x80 else 1
        while batch[records + length_bytes - 1] & 0x80:
            length_bytes += 1
        assert batch[records + length_bytes] == 0
        batch[records + length_bytes] = 0x80
        struct.pack_into(">I", batch, 17, crc32c(bytes(batch[21:])))
        return batch

    good(stage, "before")
    with monkeypatch.context() as patched:
        patched.setattr(DefaultRecordBatchBuilder, "build", with_odd_attributes)
        send(stage, ("ce_subject", b"odd"))
    good(stage, "after")
    consume_all(stage.settings())
    assert cameras(stage) == ["after", "before", "odd"]


def test_a_header_that_is_too_long_is_not_believed(stage: Stage) -> None:
    good(stage, "before")
    send(stage, ("ce_subject", b"x" * 3_000_000), key=b"k1")
    send(stage, ("ce_truth", b"\x01" * 1_400_000), ("ce_id", b"i" * 100_000), key=b"k2")
    send(stage, key=b"k" * 2_000_000)
    send(stage, ("h", b"x" * 8_000_000), key=b"k3", value=b"")
    good(stage, "after")
    settings = stage.settings()
    consumer = consume_all(settings)
    assert cameras(stage) == sorted(["before", "k1", "k2", f"{stage.topics.frames}-0", "after"])
    assert all(isinstance(result, Classified) and result.truth is None for result in stage.results())
    (letter,) = stage.dead_letters()
    assert (letter.camera, letter.reason) == ("k3", "empty")
    assert consumer.counts.total == 6
    assert stage.committed(settings.group or "")[0] == 6


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_every_codec_of_kafka_is_read(stage: Stage, codec: str) -> None:
    producer = Producer(
        {"bootstrap.servers": stage.cluster.bootstrap_servers, "compression.type": codec, "linger.ms": 200}
    )
    frames = camera_frames("packed", 40)
    for frame in frames:
        # What can be packed, so that the batch really is: an image with a long tail of zeros after its end.
        producer.produce(stage.topics.frames, key=b"packed", value=frame.data, headers={"pad": bytes(60_000)})
    assert producer.flush(DEADLINE_S) == 0
    consume_all(stage.settings())
    assert len(stage.results()) == 40


def test_a_forged_status_does_not_keep_a_group_from_starting(stage: Stage) -> None:
    stage.feed(camera_frames("a", 2))
    settings = stage.settings()
    consume_all(settings)
    (key, value) = next(
        (record.key, json.loads(record.value))
        for record in reversed(stage.records(stage.topics.status))
        if record.key.startswith(b"worker/")
    )
    assert value["first_offsets"]
    producer = stage.cluster.producer(linger_ms=0)
    for number, offsets in enumerate(({"x": 1}, {"99999999999": 1}, {"0": -5}, {str(n): 0 for n in range(20_000)})):
        forged = json.dumps(value | {"first_offsets": offsets}).encode()
        producer.send(stage.topics.status, forged, key + str(number).encode(), [("ce_type", STATUS_TYPE.encode())])
    producer.flush(DEADLINE_S)
    producer.close()
    stage.feed(camera_frames("b", 2))
    assert consume_all(settings).counts.frames == {"classified": 2}
