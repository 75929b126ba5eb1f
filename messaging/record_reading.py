"""Reading records that any producer may send and kafka-python 3.0.12 cannot read: each would stop a consumer for good.

It decodes header names strictly, and gives up on the whole batch at every poll anew; it reads a record's attributes
as a number of variable length where the format has one byte, so that every field after them shifts; it unpacks a
batch whatever size that has; and a poll is bounded by the number of its records alone.

What cannot be read of a batch is passed over with one warning, and one record stands in for it: at the batch's last
offset, with no key and no value, and with `UnreadHeaders`, which say why.

The bounds are those of a batch, of a partition and of a poll. kafka-python parks what it has of a partition that is
paused, packed but for one batch, so that what is parked is bounded for each partition alone.
"""

import logging
from collections.abc import Iterator
from functools import partial
from typing import Any

import kafka.record.legacy_records
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.record.default_records import ControlRecord, DefaultRecord, DefaultRecordBatch
from kafka.record.legacy_records import LegacyRecordBatch
from kafka.record.util import decode_varint

from messaging.stand_in import UnreadHeaders
from messaging.unpacking import MAX_UNPACKED_BYTES, UnpackError, unpack_into

log = logging.getLogger(__name__)

#: Ten times what librdkafka puts into a batch (`batch.num.messages`), and Java's producer fills fewer. A megabyte that
#: somebody packed may hold millions of empty records, each of which costs 10 µs.
MAX_RECORDS = 100_000

#: What one partition adds to a poll, and when a poll has enough; both by the size of keys, values and headers. Batches
#: of a few KB that unpack to the bound each would otherwise add up to gigabytes.
_MAX_POLL_BYTES = MAX_UNPACKED_BYTES
#: Two bytes are a header, and cost a hundred in memory; those behind the first thousand are left out.
_MAX_HEADERS = 1000

_TOO_MANY = f"it has more than {MAX_RECORDS} records"

_read_legacy_records = LegacyRecordBatch.__iter__
_unpack_records = Fetcher.PartitionRecords._unpack_records  # noqa: SLF001 - there is no hook
_append_records = Fetcher._append  # noqa: SLF001


def read_any_record() -> None:
    """Make kafka-python read records as Kafka's own clients do, and within bounds; calling it twice is harmless."""
    DefaultRecordBatch.__iter__ = _records
    LegacyRecordBatch.__iter__ = _legacy_records
    for name, codec in (("gzip", 1), ("snappy", 2), ("lz4", 3)):
        setattr(kafka.record.legacy_records, f"{name}_decode", partial(_unpack, codec))
    Fetcher.PartitionRecords._unpack_records = _warn_of_unread  # noqa: SLF001
    Fetcher.PartitionRecords.take = _take
    Fetcher._append = _append  # noqa: SLF001


def _records(batch: Any) -> Iterator[Any]:
    """Yield a batch's records, in rising order of offsets; where that fails, one for all that are left."""
    why, newest = None, batch.base_offset - 1
    if batch.compression_type != batch.CODEC_NONE:
        packed, batch._buffer, batch._pos = bytes(batch._buffer[batch._pos :]), bytearray(), 0  # noqa: SLF001
        try:
            unpack_into(batch._buffer, batch.compression_type, packed)  # noqa: SLF001
        except UnpackError as exc:  # some records may be whole
            why = str(exc)
    batch._decompressed = True  # noqa: SLF001
    batch._buffer = memoryview(batch._buffer)  # noqa: SLF001 - a slice of anything else copies a picture once more
    try:
        for _ in range(min(batch.records_count, MAX_RECORDS)):
            record = _read_record(batch)
            if record.offset <= newest:
                raise CorruptRecordError(f"offset {record.offset} comes after {newest}")
            newest = record.offset
            yield record
    except (CorruptRecordError, ValueError, IndexError) as exc:
        why = why or f"it is damaged ({exc})"
    if batch.records_count > MAX_RECORDS:
        why = why or _TOO_MANY
    if why and newest < batch.last_offset:
        timestamp = batch.max_timestamp if batch.timestamp_type == batch.LOG_APPEND_TIME else batch.first_timestamp
        yield _stand_in(batch, newest + 1, batch.last_offset, timestamp, why)


def _legacy_records(batch: Any) -> Iterator[Any]:
    """Yield the records of a batch in one of the formats before Kafka 0.11, likewise."""
    newest = -1
    try:
        for number, record in enumerate(_read_legacy_records(batch)):
            if number == MAX_RECORDS:
                raise UnpackError(_TOO_MANY)
            newest = record.offset
            yield record
    except Exception as exc:  # noqa: BLE001 - it checks nothing, so that anything may be raised
        if newest < batch.base_offset:  # in these formats the offset of its last record
            why = str(exc) if isinstance(exc, UnpackError) else f"it is damaged ({exc})"
            yield _stand_in(batch, batch.base_offset, batch.base_offset, batch._timestamp, why)  # noqa: SLF001


def _unpack(codec: int, packed: bytes) -> bytearray:
    unpacked = bytearray()
    unpack_into(unpacked, codec, packed)
    return unpacked


def _stand_in(batch: Any, first: int, last: int, timestamp: int | None, why: str) -> DefaultRecord:
    text = f"what the batch at offset {batch.base_offset} has at offsets {first} to {last} was not read: {why}"
    return DefaultRecord(0, last, timestamp, batch.timestamp_type, None, None, UnreadHeaders(text))


def _warn_of_unread(part: Any, partition: Any, *arguments: Any) -> Iterator[Any]:
    """Yield a partition's records; say where one stands in for others."""
    for record in _unpack_records(part, partition, *arguments):
        if isinstance(record.headers, UnreadHeaders):
            log.warning("%s-%d: %s", partition.topic, partition.partition, record.headers.why)
        yield record


def _take(part: Any, count: int | None = None) -> list[Any]:
    """Return the next records of a partition, `count` and `_MAX_POLL_BYTES` at the most, save for the last one."""
    part._maybe_raise_next_inline_exception()  # noqa: SLF001
    records: list[Any] = []
    size_bytes = 0
    try:
        while size_bytes < _MAX_POLL_BYTES and (count is None or len(records) < count):
            record = next(part.record_iterator, None)
            if record is None:
                break
            records.append(record)
            size_bytes += _size_bytes(record)
    except Exception as exc:
        if not records:
            raise
        part._next_inline_exception = exc  # noqa: SLF001 - for the next call
    return records


def _append(fetcher: Any, drained: Any, part: Any, max_records: int, update_offsets: bool) -> int:
    """Add a partition's records to a poll; say that it is full where its bytes are enough."""
    count: int = _append_records(fetcher, drained, part, max_records, update_offsets)
    size_bytes = sum(_size_bytes(record) for records in drained.values() for record in records)
    return count if size_bytes < _MAX_POLL_BYTES else max_records


def _size_bytes(record: Any) -> int:
    return int(record.serialized_key_size + record.serialized_value_size + record.serialized_header_size)


def _read_record(batch: Any) -> Any:
    """Read the batch's next record.

    Source: https://kafka.apache.org/documentation/#record

    Raises:
        CorruptRecordError: The record does not fit its batch; a broker does not take such a one.
    """
    buffer = batch._buffer  # noqa: SLF001
    size, start = decode_varint(buffer, batch._pos)  # noqa: SLF001
    end = start + size
    if not start < end <= len(buffer):
        raise CorruptRecordError(f"a record of {size} bytes goes beyond the end")
    timestamp_delta, position = decode_varint(buffer, start + 1)  # after the attributes, which hold nothing
    offset_delta, position = decode_varint(buffer, position)
    if not 0 <= offset_delta <= batch.last_offset_delta:
        raise CorruptRecordError(f"a record's offset is {offset_delta} from its batch of {batch.last_offset_delta + 1}")
    key, position = _read_bytes(buffer, position, end)
    value, position = _read_bytes(buffer, position, end)
    count, position = decode_varint(buffer, position)
    headers = []
    for _ in range(min(count, _MAX_HEADERS)):
        name, position = _read_bytes(buffer, position, end)
        content, position = _read_bytes(buffer, position, end)
        headers.append(((name or b"").decode(errors="replace"), content))
    if count < 0 or (position != end and count <= _MAX_HEADERS):
        raise CorruptRecordError(f"a record of {size} bytes has {position - start}")
    batch._pos = end  # noqa: SLF001
    is_log_time = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if is_log_time else batch.first_timestamp + timestamp_delta
    kind = ControlRecord if batch.is_control_batch else DefaultRecord
    offset = batch.base_offset + offset_delta
    return kind(size, offset, timestamp, batch.timestamp_type, key, value, headers)


def _read_bytes(buffer: Any, position: int, end: int) -> tuple[bytes | None, int]:
    size, position = decode_varint(buffer, position)
    if size < 0:
        return None, position
    if position + size > end:
        raise CorruptRecordError(f"a field of {size} bytes goes beyond its record")
    return bytes(buffer[position : position + size]), position + size
