"""Batches that unpack to gigabytes, or to nothing: what can be read is read, and the rest is said to be missing."""

import logging
import resource
import struct
import tracemalloc
from collections import defaultdict
from typing import Any

import pytest
from kafka.consumer.fetcher import Fetcher
from kafka.record.legacy_records import LegacyRecordBatchBuilder

from messaging.kafka import MAX_MESSAGE_BYTES
from messaging.record_reading import MAX_RECORDS, read_any_record
from messaging.stand_in import UNREAD_HEADER, UnreadHeaders
from messaging.unpacking import MAX_UNPACKED_BYTES, UnpackError, unpack_into
from tests.fakes.record_batches import (
    CODECS,
    PACKERS,
    batch_bytes,
    codec_of,
    packed_zeros,
    partition_records,
    record_bytes,
    varint,
)

_MIB = 1024 * 1024
HUGE_BYTES = 400 * _MIB
THREE = b"".join(record_bytes(number, b"value %d" % number, b"key") for number in range(3))


@pytest.fixture(autouse=True)
def _patched() -> None:
    read_any_record()


def unread(record: Any) -> str:
    assert isinstance(record.headers, UnreadHeaders)
    ((name, why),) = record.headers
    assert (name, why) == (UNREAD_HEADER, record.headers.why.encode())
    assert (record.key, record.value) == (None, None)
    return record.headers.why


@pytest.mark.parametrize("packer", ["none", *PACKERS])
def test_every_codec_is_read(packer: str) -> None:
    packed = THREE if packer == "none" else PACKERS[packer](THREE)
    codec = CODECS["none"] if packer == "none" else codec_of(packer)
    records = partition_records(batch_bytes(packed, 3, codec=codec, base_offset=40)).take()
    assert [(record.offset, record.key, record.value) for record in records] == [
        (40, b"key", b"value 0"),
        (41, b"key", b"value 1"),
        (42, b"key", b"value 2"),
    ]


def test_the_bound_is_four_messages() -> None:
    assert MAX_UNPACKED_BYTES == 4 * MAX_MESSAGE_BYTES


@pytest.mark.parametrize("packer", PACKERS)
def test_no_more_is_unpacked_than_the_bound(packer: str) -> None:
    size_bytes = 64 * _MIB if packer == "snappy" else HUGE_BYTES  # a block of snappy is packed at once
    packed = packed_zeros(packer, size_bytes)
    unpacked = bytearray()
    tracemalloc.start()
    try:
        before_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        with pytest.raises(UnpackError, match=f"more than {MAX_UNPACKED_BYTES} bytes"):
            unpack_into(unpacked, codec_of(packer), packed)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    grown_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before_bytes
    assert len(unpacked) <= MAX_UNPACKED_BYTES + _MIB
    assert peak_bytes < 2 * MAX_UNPACKED_BYTES
    assert grown_bytes < 3 * MAX_UNPACKED_BYTES  # what the libraries take is not traced


def test_as_much_as_the_bound_is_unpacked() -> None:
    unpacked = bytearray()
    unpack_into(unpacked, CODECS["zstd"], packed_zeros("zstd", MAX_UNPACKED_BYTES))
    assert len(unpacked) == MAX_UNPACKED_BYTES


@pytest.mark.parametrize(
    ("codec", "packed"),
    [
        pytest.param(1, b"x" * 100, id="other than gzip"),
        pytest.param(2, b"", id="no snappy"),
        pytest.param(2, b"\xff" * 100, id="snappy with a length without end"),
        pytest.param(2, b"\xff\xff\xff\xff\x0f" + bytes(100), id="snappy that claims 4 GiB"),
        pytest.param(2, b"\x82SNAPPY\0" + bytes(8) + b"\xff\xff\xff\xfc", id="a block of a negative length"),
        pytest.param(2, b"\x82SNAPPY\0" + bytes(8) + b"\0", id="half a length"),
        pytest.param(3, b"\x04\x22\x4d\x18\x68\x40" + b"\xff" * 20, id="lz4 that claims a size"),
        pytest.param(4, b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 20, id="zstd that claims a size"),
        pytest.param(5, b"x", id="no such codec"),
    ],
)
def test_what_is_damaged_is_an_error_of_one_line(codec: int, packed: bytes) -> None:
    with pytest.raises(UnpackError):
        unpack_into(bytearray(), codec, packed)


@pytest.mark.parametrize("packer", PACKERS)
def test_a_bomb_leaves_one_record_and_one_warning(packer: str, caplog: pytest.LogCaptureFixture) -> None:
    bomb = batch_bytes(packed_zeros(packer, 64 * _MIB), 100, codec=codec_of(packer), base_offset=5)
    after = batch_bytes(THREE, 3, base_offset=105)
    with caplog.at_level(logging.WARNING):
        records = partition_records(bomb + after).take()
    # Zeros are records of nothing, and so not even the first of them is one.
    assert [record.offset for record in records] == [104, 105, 106, 107]
    why = "what the batch at offset 5 has at offsets 5 to 104 was not read: it unpacks to more than 33554432 bytes"
    assert unread(records[0]) == why
    assert [entry.getMessage() for entry in caplog.records] == [f"frames-3: {why}"]
    assert caplog.records[0].levelname == "WARNING"


def test_the_records_before_the_bound_are_read(caplog: pytest.LogCaptureFixture) -> None:
    large = b"".join(record_bytes(number, bytes(7 * _MIB)) for number in range(6))
    batch = batch_bytes(PACKERS["zstd"](large), 6, codec=CODECS["zstd"])
    records = partition_records(batch).take()
    assert [record.offset for record in records] == [0, 1, 2, 3, 5]
    assert "offsets 4 to 5" in unread(records[-1])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("packer", ["gzip", "lz4", "zstd"])
def test_what_is_cut_off_is_read_as_far_as_it_goes(packer: str) -> None:
    noise = b"".join(
        record_bytes(number, bytes((number * 7 + i * i) % 251 for i in range(9000))) for number in range(90)
    )
    packed = PACKERS[packer](noise)
    records = partition_records(batch_bytes(packed[: len(packed) // 2], 90, codec=codec_of(packer))).take()
    assert [record.offset for record in records[:-1]] == list(range(len(records) - 1))
    assert records[-1].offset == 89
    unread(records[-1])


@pytest.mark.parametrize("packer", ["gzip", "lz4"])
def test_bytes_behind_the_packed_ones_harm_nobody(packer: str, caplog: pytest.LogCaptureFixture) -> None:
    # Java's readers, and so brokers, do not look there.
    batch = batch_bytes(PACKERS[packer](THREE) + b"garbage", 3, codec=codec_of(packer))
    assert [record.value for record in partition_records(batch).take()] == [b"value 0", b"value 1", b"value 2"]
    assert not caplog.records


@pytest.mark.parametrize(
    "records",
    [
        pytest.param(varint(2**31) + bytes(10), id="a record beyond the end"),
        pytest.param(varint(-5) + bytes(10), id="a negative size"),
        pytest.param(b"\xff" * 50, id="a size without end"),
        pytest.param(record_bytes(0, b"a") + record_bytes(0, b"b") + record_bytes(2, b"c"), id="an offset twice"),
        pytest.param(record_bytes(0, b"a") + record_bytes(7, b"b"), id="an offset beyond"),
        pytest.param(varint(9) + bytes(3) + varint(-1) + varint(100) + bytes(5), id="a value beyond its record"),
        pytest.param(record_bytes(0, b"a")[:-1] + varint(2**30), id="a million headers of nothing"),
        pytest.param(b"", id="no records"),
    ],
)
def test_damaged_records_end_their_batch_alone(records: bytes, caplog: pytest.LogCaptureFixture) -> None:
    read = partition_records(batch_bytes(records, 3) + batch_bytes(THREE, 3, base_offset=3)).take()
    offsets = [record.offset for record in read]
    assert offsets == sorted(set(offsets))
    assert offsets[-4:] == [2, 3, 4, 5]
    assert "it is damaged" in unread(read[-4])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("packer", PACKERS)
def test_a_batch_of_no_bytes_holds_up_nobody(packer: str) -> None:
    (record,) = partition_records(batch_bytes(b"", 3, codec=codec_of(packer))).take()
    assert record.offset == 2
    unread(record)


def test_headers_are_read_up_to_the_thousandth() -> None:
    full = record_bytes(0, b"v", headers=[(b"a", None)] * 1000)
    over = record_bytes(1, b"v", headers=[(b"a", b"1")] * 100_000)
    records = partition_records(batch_bytes(full + over + record_bytes(2, b"last"), 3)).take()
    assert [len(record.headers) for record in records] == [1000, 1000, 0]
    assert records[2].value == b"last"


def test_no_field_is_read_beyond_its_record() -> None:
    body = bytes([0, 0, 0]) + varint(-1) + varint(0) + varint(2000) + varint(50)
    records = varint(len(body)) + body + bytes(5000)
    assert [record.offset for record in partition_records(batch_bytes(records, 3)).take()] == [2]


def test_a_header_of_that_name_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    forged = record_bytes(0, b"v", headers=[(UNREAD_HEADER.encode(), b"forged")])
    assert partition_records(batch_bytes(forged, 1)).take()[0].value == b"v"
    assert not caplog.records


@pytest.mark.parametrize("magic", [0, 1])
@pytest.mark.parametrize("packer", ["gzip", "snappy", "lz4"])
def test_formats_of_old_are_bounded_too(magic: int, packer: str, caplog: pytest.LogCaptureFixture) -> None:
    if packer == "lz4" and magic == 0:
        return  # kafka-python itself cannot read these
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=codec_of(packer), batch_size=100 * _MIB)
    for offset, size_bytes in ((7, 20 * _MIB), (8, 20 * _MIB)):
        builder.append(offset, timestamp=1, key=b"k", value=bytes(size_bytes))
    bomb = bytes(builder.build())
    small = LegacyRecordBatchBuilder(magic=magic, compression_type=codec_of(packer), batch_size=_MIB)
    small.append(0, timestamp=1, key=b"k", value=b"small")
    records = partition_records(bytes(small.build()) + bomb).take()
    assert records[0].value == b"small"
    assert "more than" in unread(records[-1])
    assert len(records) == 2
    assert len(caplog.records) == 1


def test_a_batch_of_a_million_records_is_read_up_to_the_bound(caplog: pytest.LogCaptureFixture) -> None:
    def batch(count: int, base_offset: int) -> bytes:
        records = PACKERS["zstd"](b"".join(record_bytes(number, b"") for number in range(count)))
        return batch_bytes(records, count, codec=CODECS["zstd"], base_offset=base_offset)

    full = partition_records(batch(MAX_RECORDS, 0)).take()
    assert (len(full), caplog.records) == (MAX_RECORDS, [])
    assert not isinstance(full[-1].headers, UnreadHeaders)
    over = partition_records(batch(MAX_RECORDS + 50, 7) + batch_bytes(THREE, 3, base_offset=MAX_RECORDS + 57)).take()
    assert [record.offset - MAX_RECORDS for record in over[-5:]] == [6, 56, 57, 58, 59]
    assert f"offsets {MAX_RECORDS + 7} to {MAX_RECORDS + 56} was not read: it has more than" in unread(over[-4])
    assert len(caplog.records) == 1


def test_so_is_one_in_a_format_of_old() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=CODECS["gzip"], batch_size=100 * _MIB)
    for offset in range(MAX_RECORDS + 1):
        builder.append(offset, timestamp=1, key=None, value=b"")
    data = bytearray(builder.build())
    struct.pack_into(">q", data, 0, MAX_RECORDS)  # the last one's, as a broker has it
    records = partition_records(bytes(data)).take()
    assert [record.offset for record in records[-2:]] == [MAX_RECORDS - 1, MAX_RECORDS]
    assert "more than 100000 records" in unread(records[-1])


class _Subscriptions:
    """All that `Fetcher._append` asks of kafka-python's subscriptions."""

    def __init__(self, partition: Any) -> None:
        position = type("Position", (), {"offset": 0})
        self.assignment = {partition: type("State", (), {"position": position, "highwater": None})()}

    def is_assigned(self, _: Any) -> bool:
        return True

    is_fetchable = is_assigned


def test_a_poll_is_bounded_in_bytes() -> None:
    batch = b"".join(
        batch_bytes(PACKERS["zstd"](record_bytes(0, bytes(12 * _MIB))), 1, codec=CODECS["zstd"], base_offset=number)
        for number in range(10)
    )
    part = partition_records(batch)
    fetcher = type("Asked", (), {"_subscriptions": _Subscriptions(part.topic_partition), "_sensors": None})()
    drained: dict[Any, list[Any]] = defaultdict(list)
    assert Fetcher._append(fetcher, drained, part, 64, True) == 64  # noqa: FBT003 - it is theirs
    assert [record.offset for record in drained[part.topic_partition]] == [0, 1, 2]
    assert Fetcher._append(fetcher, defaultdict(list), part, 2, True) == 2  # noqa: FBT003
    assert [record.offset for record in part.take()] == [5, 6, 7]
    assert [record.offset for record in part.take()] == [8, 9]
