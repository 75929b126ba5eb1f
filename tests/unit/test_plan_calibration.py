"""What of a latency grows with the load is told from what does not."""

from dataclasses import replace

import pytest

from engine.backends.simulator.figures import read_figures
from streamer.sizing.calibration import LoadPoint, calibrated
from streamer.sizing.host import HostCost
from streamer.sizing.lane import Lane

HOST = HostCost(300.0, 300.0, 500.0, worker_cores=0.8, transit_ms=12.0, variation=0.4, origin="given")
LANE = Lane(read_figures().find("resnet50"), 1, HOST, 0.3)
UNKNOWN = replace(LANE, host=replace(HOST, transit_ms=0.0, variation=0.0))


def points(lane: Lane, *shares: float) -> list[LoadPoint]:
    return [LoadPoint(lane.host_fps * share, lane.latency(lane.host_fps * share).total_s) for share in shares]


@pytest.mark.parametrize("variation", [0.05, 0.4, 1.2])
@pytest.mark.parametrize("transit_ms", [0.0, 12.0, 60.0])
def test_two_loads_tell_the_way_from_the_queue(variation: float, transit_ms: float) -> None:
    true = replace(LANE, host=replace(HOST, variation=variation, transit_ms=transit_ms))
    found = calibrated(UNKNOWN, *points(true, 0.3, 0.6))
    assert found.host.variation == pytest.approx(variation, rel=1e-6)
    assert found.host.transit_ms == pytest.approx(transit_ms, abs=1e-6)
    assert found.latency(true.host_fps * 0.75).total_s == pytest.approx(true.latency(true.host_fps * 0.75).total_s)


def test_what_cannot_be_believed_is_not_and_the_busier_load_decides() -> None:
    light, busy = points(LANE, 0.3, 0.6)
    slower = calibrated(UNKNOWN, light, LoadPoint(busy.fps, busy.p99_s * 10))
    assert slower.host.variation == 1.5
    faster = calibrated(UNKNOWN, LoadPoint(light.fps, light.p99_s * 2), busy)
    assert faster.host.variation == 0.0
    assert faster.latency(busy.fps).total_s == pytest.approx(busy.p99_s)
