"""Reading a source at a pace."""

import time
from collections.abc import Iterator
from threading import Event

from producers.pacing import Pacer
from producers.sources.base import Picture, Source


def paced(source: Source, pacer: Pacer | None, until: Event) -> Iterator[Picture]:
    """Give the pictures of an open source, until it ends or somebody says so.

    A live source sets its own pace: where it is faster than asked for, pictures are read and dropped, so that none
    grows old in the source's buffer. Any other is read when a picture is due.

    Args:
        source: Opened and closed by the caller.
        pacer: The pace; None for as fast as they come, or are taken.
        until: Ends it.

    Raises:
        ProducerError: The source cannot be read.
    """
    is_live = source.is_live
    while not until.is_set():
        if pacer is not None and not is_live:
            until.wait(pacer.wait_s(time.monotonic()))
            if until.is_set():
                return
        picture = source.read()
        if picture is None:
            return
        if pacer is not None:
            now_s = time.monotonic()
            if is_live and pacer.wait_s(now_s) > 0:
                continue
            pacer.took(now_s)
        yield picture
