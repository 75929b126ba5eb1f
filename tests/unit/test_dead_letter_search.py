"""What is kept of dead letters while they are listed."""

import tracemalloc
from collections.abc import Iterator

from streamer.dead_letters import StoredDeadLetter, newest
from streamer.dead_letters.stored import read_stored
from tests.fakes.records import record

_MIB = 1024 * 1024
HEADERS = [("ce_id", b"a/s/1"), ("group", b"g"), ("ce_subject", b"a"), ("original-topic", b"frames")]
PLACE = [("original-partition", b"0"), ("original-offset", b"0")]


def letters(count: int) -> Iterator[StoredDeadLetter]:
    for offset in range(count):
        large = [("reason", b"r" * _MIB), ("error", b"e" * _MIB), ("x-pad", b"p" * _MIB)]
        yield read_stored(record([*HEADERS, *PLACE, *large], value=bytes(_MIB), offset=offset))


def test_neither_bytes_nor_long_headers_are_kept() -> None:
    tracemalloc.start()
    try:
        kept, total = newest(letters(200), 100)
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert (len(kept), total) == (100, 200)
    assert {stored.size_bytes for stored in kept} == {_MIB}
    assert kept_bytes < _MIB
