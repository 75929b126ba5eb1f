"""The live table of results, in terminals of all widths."""

import io
from typing import Any

import pytest
from rich.console import Console

from messaging.outcome import LatencyParts, Outcome
from streamer.cli.live_results import results_table
from streamer.cli.result_formats import Result, row_of
from streamer.cli.result_latency import LatencySummary, number, times_ms
from tests.fakes.ways import classified, frame, skipped, timed

FRAME = frame()
FRAME_ID = "line-1/64b1a2f3c4d5e0a1b/1042"


def row(outcome: Outcome, frame_id: str = FRAME_ID) -> dict[str, str]:
    return row_of(Result(frame_id, "/groups/g", b"", outcome))


def shown(rows: list[dict[str, str]], width: int, summary: LatencySummary | None = None, height: int = 24) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width).print(results_table(rows, "25.0 results/s", width, height, summary))
    return output.getvalue().splitlines()


def last_column(lines: list[str]) -> str:
    """All that stands where the ids do, without the folds."""
    (head,) = (line for line in lines if "frame" in line)
    return "".join(line[head.index("frame") :].strip() for line in lines)


def summary_of(latency: LatencyParts) -> LatencySummary:
    summary = LatencySummary()
    summary.add(classified(FRAME, latency_ms=latency))
    return summary


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize("has_parts", [False, True])
@pytest.mark.parametrize("frame_id", [FRAME_ID, "dock 4 at the gate/64b1a2f3c4d5e0a1b/1042", "\x1b[2J" + 30 * "名/"])
def test_the_whole_id_ends_a_row_and_nothing_is_wider_than_the_terminal(
    width: int, has_parts: bool, frame_id: str
) -> None:
    summary = LatencySummary() if has_parts else None
    cells = row(classified(FRAME, group="g" * 60, label="scratch" * 20), frame_id)
    lines = shown([cells], width, summary)
    assert cells["frame"].replace(" ", "") in last_column(lines).replace(" ", "")
    assert all(line.isprintable() for line in lines)
    console = Console(width=width)
    assert max(console.measure(line).maximum for line in lines) <= width


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_number_is_cut(width: int) -> None:
    latency = LatencyParts(99999.0, 888.8, 777.7, 666.6, 555.5, 444.4, 101333.0)
    outcome = classified(FRAME, latency_ms=latency, label="scratch" * 20)
    numbers = [number(time_ms) for time_ms in times_ms(outcome).values()]
    lines = shown([row(outcome)], width, summary_of(latency))
    (line,) = (line for line in lines if "0.983" in line)
    assert line.split()[-8:-1] == numbers
    for name in ("p50", "p95"):
        (line,) = (line for line in lines if line.split()[:1] == [name])
        assert len(line.split()) == 8


@pytest.mark.parametrize("has_parts", [False, True])
def test_a_folded_id_pushes_neither_the_newest_row_nor_the_end_off_the_screen(has_parts: bool) -> None:
    rows = [row(classified(FRAME), f"camera-{number:02}/64b1a2f3c4d5e0a1b/1042") for number in range(20)]
    lines = shown(rows, 80, LatencySummary() if has_parts else None)
    assert len(lines) <= 24 - 1
    assert "camera-19" in "".join(lines)
    assert "camera-00" not in "".join(lines)
    tiny = shown(rows, 80, height=3)
    assert "camera-19" in "".join(tiny), "the newest is always there"


def test_a_group_of_a_device_is_whole_in_eighty_columns() -> None:
    (line,) = (line for line in shown([row(classified(FRAME, group="streamer-device-0"))], 80) if "0.983" in line)
    assert line.split()[:5] == ["08:00:00.000", "scratch", "0.983", "18.0", "streamer-device-0"]
    assert any("2026-11-21T08:00:00.000000Z" in line for line in shown([row(classified(FRAME))], 200))


@pytest.mark.parametrize(
    ("outcome", "result", "answer"),
    [
        (classified(FRAME), "scratch", "0.983 scratch"),
        (timed(FRAME), "timed", "timed"),
        (skipped(FRAME, "too-old", "g"), "too-old", "too-old"),
    ],
)
def test_what_was_said(outcome: Any, result: str, answer: str) -> None:
    cells = row(outcome)
    assert (cells["result"], cells["answer"]) == (result, answer)
