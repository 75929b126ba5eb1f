"""What the engine measures. Without an OpenTelemetry SDK all of it does nothing."""

from functools import cache
from typing import NamedTuple

from opentelemetry import metrics

BACKEND = "streamer.backend"


class Count(NamedTuple):
    """A counter, by the attribute `BACKEND`: its name, its unit (UCUM), and what it counts."""

    name: str
    unit: str
    description: str


ROWS = Count("streamer.engine.rows", "{row}", "rows of batches that held data")
PADDED_ROWS = Count("streamer.engine.padded_rows", "{row}", "rows that a device worked on for nothing")
DEVICES_LOST = Count("streamer.engine.devices_lost", "{loss}", "devices given up: a time-out, an error")
COUNTS = (ROWS, PADDED_ROWS, DEVICES_LOST)


@cache
def _counters() -> dict[Count, metrics.Counter]:
    meter = metrics.get_meter("streamer.engine")
    return {count: meter.create_counter(*count) for count in COUNTS}


def announce(backend: str) -> None:
    """Let each counter of a back end stand at 0 before anything is counted."""
    for counter in _counters().values():
        counter.add(0, {BACKEND: backend})


def count_rows(backend: str, rows: int, padded_rows: int) -> None:
    """Count the rows of a batch."""
    counters, attributes = _counters(), {BACKEND: backend}
    counters[ROWS].add(rows, attributes)
    if padded_rows:
        counters[PADDED_ROWS].add(padded_rows, attributes)


def count_loss(backend: str) -> None:
    """Count a device that was given up."""
    _counters()[DEVICES_LOST].add(1, {BACKEND: backend})
