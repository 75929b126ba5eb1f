"""The parts of the latency, and how they are spread."""

import pytest

from messaging.outcome import LATENCY_PARTS, LatencyParts
from streamer.cli.result_latency import COLUMNS_MS, LatencySummary, number, times_ms
from tests.fakes.ways import classified, frame, skipped

FRAME = frame()


def summary_of(*latencies: LatencyParts) -> LatencySummary:
    summary = LatencySummary()
    for latency in latencies:
        summary.add(classified(FRAME, latency_ms=latency))
    return summary


def test_the_columns_are_the_parts_and_their_sum() -> None:
    assert times_ms(classified(FRAME)) == dict(zip(COLUMNS_MS, (4.1, 8.0, 0.6, 0.1, 5.2, 0.0, 18.0), strict=True))
    assert (*LATENCY_PARTS, "total") == COLUMNS_MS
    assert times_ms(skipped(FRAME)) == {}


def test_the_summary_has_the_percentiles_of_each_part() -> None:
    summary = summary_of(*(LatencyParts(-3.0, ms, 1.0, 2.0, 2000.0, 0.0, ms) for ms in map(float, range(1, 101))))
    assert [float(text) for text in summary.percentiles("batch_wait")] == pytest.approx([50, 95], rel=0.02)
    assert [float(text) for text in summary.percentiles("transport")] == pytest.approx([-3.0, -3.0], rel=0.02)
    line = summary.line()
    assert line.startswith("100 results, p50/p95 in ms: transport -3.0/-3.0, batch_wait ")
    assert "\n" not in line


def test_what_has_no_latency_does_not_count() -> None:
    summary = LatencySummary()
    summary.add(skipped(FRAME))
    assert summary.line() == "no result had a latency"
    assert summary.percentiles("total") == ["", ""]


@pytest.mark.parametrize(
    ("time_ms", "text"),
    [(0.04, "0.0"), (18.04, "18.0"), (999.94, "999.9"), (999.97, "1000"), (123456.7, "123457"), (-7.0, "-7.0")],
)
def test_numbers_are_short(time_ms: float, text: str) -> None:
    assert number(time_ms) == text
