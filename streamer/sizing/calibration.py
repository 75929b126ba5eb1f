"""From the latency at two loads to what of it grows with the load, and what does not. Pure."""

from dataclasses import replace
from typing import Final, NamedTuple

from streamer.sizing.lane import Lane

#: As little and as much as a host's time for a batch is believed to vary, as a squared coefficient of variation.
_LEAST: Final = 0.0
_MOST: Final = 1.5


class LoadPoint(NamedTuple):
    """A latency that was measured.

    Attributes:
        fps: Frames/s.
        p99_s: The 99th percentile.
    """

    fps: float
    p99_s: float


def calibrated(lane: Lane, light: LoadPoint, busy: LoadPoint) -> Lane:
    """Return the lane with a host whose latency is the one that was measured.

    What both have in common is the way (it may come out below zero: percentiles add up to too much), what grows is the
    queue. Beyond what is believable the busier load decides: predictions are about such loads.
    """
    (light_s, light_growth_s), (busy_s, busy_growth_s) = (_explained(lane, point.fps) for point in (light, busy))
    rest_s = (busy.p99_s - busy_s) - (light.p99_s - light_s)
    variation = min(max(rest_s / (busy_growth_s - light_growth_s), _LEAST), _MOST)
    transit_s = busy.p99_s - busy_s - variation * busy_growth_s
    return replace(lane, host=replace(lane.host, transit_ms=transit_s * 1e3, variation=variation))


def _explained(lane: Lane, fps: float) -> tuple[float, float]:
    """Return what the latency is without way and variation, and by how much it grows with the variation; in s."""
    steady, varied = (
        replace(lane, host=replace(lane.host, transit_ms=0.0, variation=variation)).latency(fps)
        for variation in (0.0, 1.0)
    )
    return steady.total_s, varied.queue_s - steady.queue_s
