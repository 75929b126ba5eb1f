"""Unpacking record batches within bounds: 400 KB that somebody packed may be a gigabyte."""

import gzip
import struct
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO

import lz4.frame
import snappy
import zstandard
from kafka.record.default_records import DefaultRecordBatch

#: Four of the largest messages (`MAX_MESSAGE_BYTES`). Pictures hardly shrink, so an honest batch of them is about as
#: large unpacked as the broker's limit lets it be packed; the rest is room for plain BMPs.
MAX_UNPACKED_BYTES = 32 * 1024 * 1024

_PIECE_BYTES = 256 * 1024
#: Before each block its length. Source: https://github.com/xerial/snappy-java, `SnappyCodec`.
_XERIAL_MAGIC = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16


class UnpackError(ValueError):
    """A batch cannot be unpacked, or not within the bound; what came before that is kept."""


def unpack_into(unpacked: bytearray, codec: int, packed: bytes) -> None:
    """Unpack piece by piece, and stop at the bound.

    Args:
        unpacked: Takes what was unpacked, also where an error is raised: `MAX_UNPACKED_BYTES` and a piece at the most.
        codec: Kafka's number for what packed it: 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        packed: The bytes.

    Raises:
        UnpackError: They are damaged, or too many unpacked, or the codec is unknown.
    """
    try:
        for piece in _PIECES[codec](packed):
            unpacked += piece
            if len(unpacked) > MAX_UNPACKED_BYTES:
                raise _too_large()
    except UnpackError:
        raise
    except Exception as exc:  # each library raises errors of its own
        raise UnpackError(f"it cannot be unpacked ({exc or type(exc).__name__})") from exc


def _too_large() -> UnpackError:
    return UnpackError(f"it unpacks to more than {MAX_UNPACKED_BYTES} bytes")


def _read_pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(_PIECE_BYTES):
        yield piece


def _snappy_pieces(packed: bytes) -> Iterator[bytes]:
    """Unpack a plain block, or the blocks of xerial's framing, which Java's clients write."""
    if not packed.startswith(_XERIAL_MAGIC):
        yield _unpack_block(packed)
        return
    position = _XERIAL_HEADER_BYTES
    while position < len(packed):
        (size,) = struct.unpack_from(">I", packed, position)
        position += 4 + size
        if position > len(packed):
            raise UnpackError("it cannot be unpacked (a block goes beyond the end)")
        yield _unpack_block(packed[position - size : position])


def _unpack_block(block: bytes) -> bytes:
    """Unpack a block of snappy, which says its length first and is unpacked at once."""
    size = shift = 0
    for byte in block[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > MAX_UNPACKED_BYTES:
        raise _too_large()
    return bytes(snappy.uncompress(block))


_PIECES: Mapping[int, Callable[[bytes], Iterator[bytes]]] = {
    # With `read1`, what comes before an error is given before it.
    DefaultRecordBatch.CODEC_GZIP: lambda packed: _read_pieces(gzip.GzipFile(fileobj=BytesIO(packed)).read1),
    DefaultRecordBatch.CODEC_SNAPPY: _snappy_pieces,
    DefaultRecordBatch.CODEC_LZ4: lambda packed: _read_pieces(lz4.frame.LZ4FrameFile(BytesIO(packed)).read1),
    # Its `read1` never returns where there are no bytes at all.
    DefaultRecordBatch.CODEC_ZSTD: lambda packed: _read_pieces(
        zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read
    ),
}
