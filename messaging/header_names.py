"""Header names that are no UTF-8, which kafka-python cannot read: one such record would stop a consumer for good.

kafka-python 3.0.12 decodes names strictly and gives up on the whole batch, at every poll anew. Any producer can send
such a record, so the name is mended before it is read.
"""

from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_MENDED = ord("?")


def tolerate_header_names() -> None:
    """Make kafka-python read records whatever their headers are called; calling it twice is harmless."""
    if getattr(DefaultRecordBatch._read_msg, "is_tolerant", False):  # noqa: SLF001 - there is no hook
        return
    strict = DefaultRecordBatch._read_msg  # noqa: SLF001

    def read_record(batch: Any) -> Any:
        try:
            return strict(batch)
        except UnicodeDecodeError:
            _mend(batch)
            return strict(batch)

    read_record.is_tolerant = True  # type: ignore[attr-defined]
    DefaultRecordBatch._read_msg = read_record  # noqa: SLF001


def _mend(batch: Any) -> None:
    """Replace what is no ASCII in the unreadable header names of the batch's next record.

    Source: https://kafka.apache.org/documentation/#record for the layout.
    """
    buffer = bytearray(batch._buffer)  # noqa: SLF001
    _, position = decode_varint(buffer, batch._pos)  # noqa: SLF001
    for _ in ("attributes", "timestamp", "offset"):
        _, position = decode_varint(buffer, position)
    for _ in ("key", "value"):
        size, position = decode_varint(buffer, position)
        position += max(size, 0)
    count, position = decode_varint(buffer, position)
    for _ in range(count):
        size, position = decode_varint(buffer, position)
        name = buffer[position : position + size]
        try:
            name.decode()
        except UnicodeDecodeError:
            buffer[position : position + size] = bytes(byte if byte < 0x80 else _MENDED for byte in name)
        position += size
        size, position = decode_varint(buffer, position)
        position += max(size, 0)
    batch._buffer = buffer  # noqa: SLF001
