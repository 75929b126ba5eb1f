"""What the engine measures. Without an OpenTelemetry SDK all of it does nothing.

Metric, unit, attributes:
    streamer.engine.rows          {row}   streamer.backend                     rows of batches that held data
    streamer.engine.padded_rows   {row}   streamer.backend                     rows that a device worked on for nothing
    streamer.engine.devices_lost  {loss}  streamer.backend                     devices given up: a time-out, an error
"""

from functools import cache
from typing import NamedTuple

from opentelemetry import metrics

BACKEND = "streamer.backend"


class _Instruments(NamedTuple):
    rows: metrics.Counter
    padded_rows: metrics.Counter
    devices_lost: metrics.Counter


@cache
def _instruments() -> _Instruments:
    meter = metrics.get_meter("streamer.engine")
    return _Instruments(
        meter.create_counter("streamer.engine.rows", "{row}", "rows of batches that held data"),
        meter.create_counter("streamer.engine.padded_rows", "{row}", "rows that a device worked on for nothing"),
        meter.create_counter("streamer.engine.devices_lost", "{loss}", "devices given up"),
    )


def announce(backend: str) -> None:
    """Let each counter of a back end stand at 0 before anything is counted."""
    for counter in _instruments():
        counter.add(0, {BACKEND: backend})


def count_rows(backend: str, rows: int, padded_rows: int) -> None:
    """Count the rows of a batch."""
    instruments, attributes = _instruments(), {BACKEND: backend}
    instruments.rows.add(rows, attributes)
    if padded_rows:
        instruments.padded_rows.add(padded_rows, attributes)


def count_loss(backend: str) -> None:
    """Count a device that was given up."""
    _instruments().devices_lost.add(1, {BACKEND: backend})
