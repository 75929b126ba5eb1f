"""What is fuzzed: functions that take any bytes, and raise only where something is wrong."""

import contextlib
import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from engine.errors import ImageError
from engine.images.decode import Resize, decode_into
from engine.images.header import ImageLimits, read_header
from messaging.cloudevents import read_headers
from messaging.dead_letter import read_dead_letter, write_dead_letter
from messaging.errors import MessageError
from messaging.frame import read_frame
from messaging.outcome import read_outcome
from messaging.record_reading import read_any_record
from messaging.status import read_status
from messaging.timestamps import format_us, parse_us
from messaging.trace_context import is_traceparent, span_context
from messaging.unpacking import MAX_UNPACKED_BYTES
from tests.fakes.record_batches import PACKERS, batch_bytes, codec_of, partition_records, record_bytes
from tests.fakes.records import record

Headers = list[tuple[str, bytes | None]]

_RESIZE = Resize(64, 48, 56)
# Small enough that a picture takes no second; the code is the same.
_LIMITS = ImageLimits(max_bytes=1 << 20, max_pixels=500_000)
_NAMES = (
    *("ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_sequence", "ce_truth", "ce_replayfor", "ce_replay"),
    *("content-type", "traceparent", "tracestate", "group", "reason", "error"),
    *("original-topic", "original-partition", "original-offset"),
)
_CODECS = ("none", *PACKERS)
_MAX_COUNT = 64


@dataclass(frozen=True, slots=True)
class Target:
    """One fuzzer.

    Attributes:
        run: Takes the bytes; raises what is a finding.
        seeds: Bytes to begin with.
        packages: Whose branches guide it.
    """

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    packages: tuple[str, ...]


def decode_frame(data: bytes) -> None:
    """Decode a picture of anybody's; only `ImageError` may come of it, and no pixel beside its row."""
    row = np.zeros((_RESIZE.height_px + 2, _RESIZE.width_px, 3), np.uint8)
    with contextlib.suppress(ImageError):
        decode_into(data, read_header(data, _LIMITS), _RESIZE, row[1:-1])
    assert not row[0].any()
    assert not row[-1].any()


def _pictures() -> Iterable[bytes]:
    pixels = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    for kind, mode, options in (
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "P", {}),
        ("PNG", "LA", {}),
        ("PNG", "RGB", {"save_all": True, "append_images": [image.rotate(90)]}),
        ("WEBP", "RGB", {}),
        ("WEBP", "RGBA", {"lossless": True}),
        ("WEBP", "RGB", {"save_all": True, "append_images": [image.rotate(90)]}),
        ("BMP", "RGB", {}),
        ("BMP", "P", {}),
        ("BMP", "1", {}),
    ):
        buffer = BytesIO()
        image.convert(mode).save(buffer, kind, **options)
        yield buffer.getvalue()


def read_any_frame(data: bytes) -> None:
    """Read a record of the frames topic and say every outcome of it."""
    headers, key, timestamp_ms, value = _record_parts(data)
    texts = read_headers(headers)
    for text in texts.values():
        with contextlib.suppress(ValueError):
            time_us = parse_us(text)
            assert parse_us(format_us(time_us)) == time_us
        if is_traceparent(text):
            assert span_context(text, texts.get("tracestate")).is_valid
    frame = read_frame(record(headers, key=key, timestamp=timestamp_ms, value=value))
    assert frame.camera
    assert frame.frame_id
    assert frame.replay_for != ""
    assert frame.sequence >= 0
    assert span_context(frame.traceparent, frame.tracestate).is_valid
    format_us(frame.captured_at_us)
    letter = write_dead_letter(frame, "g", "unsupported", frame.camera, max_message_bytes=100_000)
    again = read_dead_letter(record(letter.headers, key=letter.key, value=letter.value))
    assert (again.camera, again.frame_id, again.original_offset) == (frame.camera, frame.frame_id, frame.offset)


def _record_parts(data: bytes) -> tuple[Headers, bytes | None, int | None, bytes]:
    """Cut bytes into a record: fields that are ours or not, each with its length."""
    stream = BytesIO(data)
    flags = stream.read(1) or b"\0"
    timestamp_ms = struct.unpack(">q", stream.read(8).rjust(8, b"\0"))[0] if flags[0] & 1 else None
    key = stream.read((stream.read(1) or b"\0")[0]) if flags[0] & 2 else None
    headers: Headers = []
    while (mark := stream.read(2)) and len(mark) == 2 and len(headers) < _MAX_COUNT:
        number, size = mark
        name = _NAMES[number] if number < len(_NAMES) else stream.read(number % 8).decode(errors="replace")
        headers.append((name, None if size == 0xFF else stream.read(size)))
    return headers, key, timestamp_ms, data[-32:]


def _field(name: str, content: bytes) -> bytes:
    return bytes([_NAMES.index(name), len(content)]) + content


def _frame_records() -> Iterable[bytes]:
    start = b"\x03" + struct.pack(">q", 1_795_248_000_000) + b"\x06line-1"
    yield start
    yield start + _field("ce_subject", b"line-1") + _field("ce_id", b"line-1/s/7") + _field("ce_sequence", b"7")
    yield start + _field("ce_time", b"2026-11-21T08:00:00.000000Z") + _field("ce_replay", b"3")
    yield start + _field("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    yield start + _field("tracestate", b"vendor=1,other@system=2") + _field("ce_replayfor", b"group")


def read_any_message(data: bytes) -> None:
    """Read bytes as each kind of message; only `MessageError` may come of it."""
    for read in (read_outcome, read_status):
        with contextlib.suppress(MessageError):
            read(data)
    headers, key, timestamp_ms, _ = _record_parts(data)
    letter = read_dead_letter(record(headers, key=key, timestamp=timestamp_ms, value=data))
    assert letter.original_partition >= -1
    assert letter.original_offset >= -1


def _messages() -> Iterable[bytes]:
    moment = {"camera": "a", "sequence": 1, "captured_at": "2026-11-21T08:00:00.000000Z"}
    yield json.dumps(moment | {"status": "skipped", "reason": "too-old", "group": "g"}).encode()
    yield json.dumps(moment | {"status": "classified", "label": "x", "score": 0.5, "classes": []}).encode()
    yield json.dumps({"kind": "camera", "camera": "a", "session": "s"}).encode()
    yield json.dumps({"kind": "worker", "group": "g", "first_offsets": {"0": 1}}).encode()
    yield from _frame_records()


def read_any_batch(data: bytes) -> None:
    """Read the records of a batch, packed or not, and damaged before or after it was packed."""
    if len(data) < 3:
        return
    codec, count, is_packed = _CODECS[data[0] % len(_CODECS)], data[1] % _MAX_COUNT + 1, data[2] & 1
    records = data[3:]
    if codec != "none" and is_packed:
        records = PACKERS[codec](records)
    batch = batch_bytes(records, count, codec=0 if codec == "none" else codec_of(codec), base_offset=100)
    after = batch_bytes(record_bytes(0, b"after"), 1, base_offset=100 + count)
    read_any_record()
    part = partition_records(batch + after)
    read = part.take()
    offsets = [one.offset for one in read]
    assert offsets == sorted(set(offsets))
    assert offsets[-1] == 100 + count, "what comes behind it is read"
    assert offsets[0] >= 100
    assert sum(len(one.value or b"") for one in read) <= MAX_UNPACKED_BYTES


def _batches() -> Iterable[bytes]:
    records = b"".join(record_bytes(n, b"value", b"key", [(b"name", b"x"), (b"none", None)]) for n in range(3))
    for number, name in enumerate(_CODECS):
        yield bytes([number, 2, 1]) + records
        yield bytes([number, 2, 0]) + (records if name == "none" else PACKERS[name](records))


TARGETS = {
    "pictures": Target(decode_frame, _pictures, ("engine.images", "PIL")),
    "frames": Target(read_any_frame, _frame_records, ("messaging",)),
    "messages": Target(read_any_message, _messages, ("messaging",)),
    "batches": Target(read_any_batch, _batches, ("messaging", "kafka.record", "kafka.consumer.fetcher")),
}
