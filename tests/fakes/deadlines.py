"""Failures that must come in time, and the pictures that both sides of a test know."""

import threading
import time
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from producers.errors import ProducerError, SourceFailedError
from producers.sources.base import Source

TIMEOUT_S = 5.0
SHORT_S = 1.0
# A machine that does much else is slow; a time-out that does not work is slower.
SLACK_S = 5.0


def photo(width_px: int = 64, height_px: int = 48, kind: str = "JPEG") -> bytes:
    ramp = np.linspace(0, 255, width_px * height_px * 3).astype(np.uint8).reshape(height_px, width_px, 3)
    buffer = BytesIO()
    Image.fromarray(ramp).save(buffer, kind)
    return buffer.getvalue()


def fails_within(limit_s: float, attempt: Callable[[], object], match: str) -> None:
    start_s = time.monotonic()
    with pytest.raises(SourceFailedError, match=match):
        attempt()
    assert time.monotonic() - start_s < limit_s + SLACK_S


def read_on(source: Source) -> None:
    """Read until it fails: some pictures are on their way already."""
    while True:
        source.read()


def interrupts_within(limit_s: float, source: Source, attempt: Callable[[], object]) -> None:
    """Interrupt an attempt that is blocked."""
    failures: list[BaseException] = []
    started = threading.Event()

    def run() -> None:
        started.set()
        try:
            attempt()
        except ProducerError as exc:
            failures.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(TIMEOUT_S)
    thread.join(0.3)  # to be blocked; not to be is no error, only an easier test
    source.interrupt()
    thread.join(limit_s)
    assert not thread.is_alive()
    assert isinstance(failures[0], SourceFailedError)
