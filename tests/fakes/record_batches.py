"""Record batches byte by byte, as a hostile producer may write them."""

import gzip
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, repeat
from typing import Any

import lz4.frame
import snappy
import zstandard
from crc32c import crc32c
from kafka.codec import snappy_encode
from kafka.consumer.fetcher import Fetcher
from kafka.record import MemoryRecords
from kafka.record.util import encode_varint
from kafka.structs import TopicPartition

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
#: By name, as producers pack; "xerial" is snappy in the framing of Java's clients.
PACKERS: Mapping[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, 6),
    "snappy": lambda data: bytes(snappy.compress(data)),
    "xerial": lambda data: bytes(snappy_encode(data)),
    "lz4": lambda data: bytes(lz4.frame.compress(data)),
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}
FIRST_TIMESTAMP_MS = 1_795_248_000_000
_MIB = 1024 * 1024


def packed_zeros(packer: str, size_bytes: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """Pack so many zeros, between two other pieces, without ever having them all."""
    count = -(-size_bytes // _MIB)
    pieces = chain([head], repeat(bytes(_MIB), count - 1), [bytes(size_bytes - (count - 1) * _MIB)], [tail])
    if packer == "gzip":
        stream = zlib.compressobj(9, wbits=31)
        return b"".join(map(stream.compress, pieces)) + stream.flush()
    if packer == "zstd":
        zstd = zstandard.ZstdCompressor().compressobj()
        return b"".join(map(zstd.compress, pieces)) + zstd.flush()
    if packer == "lz4":
        lz4_stream = lz4.frame.LZ4FrameCompressor(block_linked=False)
        packed = [lz4_stream.begin(), *map(lz4_stream.compress, pieces), lz4_stream.flush()]
        return b"".join(packed)
    if packer == "xerial":
        blocks = [PACKERS["snappy"](piece) for piece in pieces if piece]
        return b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + b"".join(struct.pack(">i", len(b)) + b for b in blocks)
    return PACKERS["snappy"](head + bytes(size_bytes) + tail)


def codec_of(packer: str) -> int:
    return CODECS["snappy" if packer == "xerial" else packer]


def varint(value: int) -> bytes:
    written = bytearray()
    encode_varint(value, written.append)
    return bytes(written)


def _field(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def record_bytes(
    offset_delta: int,
    value: bytes | None,
    key: bytes | None = None,
    headers: Iterable[tuple[bytes, bytes | None]] = (),
) -> bytes:
    headers = list(headers)
    body = b"\0" + varint(0) + varint(offset_delta) + _field(key) + _field(value) + varint(len(headers))
    body += b"".join(_field(name) + _field(content) for name, content in headers)
    return varint(len(body)) + body


def batch_bytes(records: bytes, count: int, *, codec: int = 0, base_offset: int = 0) -> bytes:
    """A batch whose records, packed by `codec` or not, are these bytes, with the right sums."""
    counted = struct.pack(">hiqqqhii", codec, count - 1, FIRST_TIMESTAMP_MS, FIRST_TIMESTAMP_MS, -1, -1, -1, count)
    counted += records
    after_length = struct.pack(">ibI", 0, 2, crc32c(counted)) + counted
    return struct.pack(">qi", base_offset, len(after_length)) + after_length


def repacked(batch: bytes | bytearray, packer: str, packed: bytes) -> bytearray:
    """A batch as its producer made it, but for the records: other ones, packed, and the sums made right."""
    again = bytearray(batch[:61]) + packed
    again[22] = again[22] & 0xF8 | codec_of(packer)
    struct.pack_into(">i", again, 8, len(again) - 12)
    struct.pack_into(">I", again, 17, crc32c(bytes(again[21:])))
    return again


def partition_records(data: bytes, fetch_offset: int = 0) -> Any:
    """What kafka-python makes of the answer to a fetch."""
    return Fetcher.PartitionRecords(fetch_offset, TopicPartition("frames", 3), MemoryRecords(data))
