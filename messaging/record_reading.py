"""Reading records that any producer may send and kafka-python 3.0.12 cannot read: each would stop a consumer for good.

It decodes header names strictly, and gives up on the whole batch at every poll anew; and it reads a record's
attributes as a number of variable length where the format has one byte, so that every field after them shifts.
"""

from typing import Any

from kafka.errors import CorruptRecordError
from kafka.record.default_records import ControlRecord, DefaultRecord, DefaultRecordBatch
from kafka.record.util import decode_varint


def read_any_record() -> None:
    """Make kafka-python read records as Kafka's own clients do; calling it twice is harmless."""
    DefaultRecordBatch._read_msg = _read_record  # noqa: SLF001 - there is no hook


def _read_record(batch: Any) -> Any:
    """Read the batch's next record.

    Source: https://kafka.apache.org/documentation/#record

    Raises:
        CorruptRecordError: The record does not fit its batch; a broker does not take such a one.
    """
    buffer = batch._buffer  # noqa: SLF001
    size, start = decode_varint(buffer, batch._pos)  # noqa: SLF001
    timestamp_delta, position = decode_varint(buffer, start + 1)  # after the attributes, which hold nothing
    offset_delta, position = decode_varint(buffer, position)
    if not 0 <= offset_delta <= batch.last_offset_delta:
        raise CorruptRecordError(f"a record's offset is {offset_delta} from its batch of {batch.last_offset_delta + 1}")
    key, position = _read_bytes(buffer, position)
    value, position = _read_bytes(buffer, position)
    count, position = decode_varint(buffer, position)
    headers = []
    for _ in range(count):
        name, position = _read_bytes(buffer, position)
        content, position = _read_bytes(buffer, position)
        headers.append(((name or b"").decode(errors="replace"), content))
    if count < 0 or position - start != size:
        raise CorruptRecordError(f"a record of {size} bytes has {position - start}")
    batch._pos = position  # noqa: SLF001
    is_log_time = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if is_log_time else batch.first_timestamp + timestamp_delta
    kind = ControlRecord if batch.is_control_batch else DefaultRecord
    offset = batch.base_offset + offset_delta
    return kind(size, offset, timestamp, batch.timestamp_type, key, value, headers)


def _read_bytes(buffer: Any, position: int) -> tuple[bytes | None, int]:
    size, position = decode_varint(buffer, position)
    if size < 0:
        return None, position
    return bytes(buffer[position : position + size]), position + size
