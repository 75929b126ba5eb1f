"""A frame's way as people see it."""

import re
from dataclasses import replace

import pytest

from messaging.outcome import LatencyParts
from streamer.cli.trace_tree import Node, tree_of
from streamer.cli.way_formats import facts_of
from streamer.evidence import FrameReading, FrameWay, RecordPlace, StoredOutcome
from streamer.evidence.way import by_group
from tests.fakes.records import TIME_US, TRACEPARENT
from tests.fakes.ways import classified, frame, skipped, stored, stored_dead, timed

FRAME = frame()
SAMPLED = TRACEPARENT[:-2] + "01"
HOSTILE = "\x1b]0;owned\x07\u202e\r\nforged"


def lines_of(*outcomes: StoredOutcome, width: int = 80, **changes: object) -> list[str]:
    way = replace(FrameWay(FRAME.frame_id, by_group(outcomes), ()), **changes)  # type: ignore[arg-type]
    return list(tree_of(way, width).lines())


def bars_of(lines: list[str]) -> dict[str, tuple[int, float]]:
    """By part, where its bar begins and how long it is, in characters."""
    bars = {}
    for line in lines:
        match = re.search(r"─ (\w+) +[-\d.]+ m?s  ( *)([█▏▎▍▌▋▊▉]+)$", line)
        if match is not None:
            full = match[3].count("█")
            rest = 0 if full == len(match[3]) else (" ▏▎▍▌▋▊▉".index(match[3][-1])) / 8
            bars[match[1]] = (len(match[2]), full + rest)
    return bars


def test_a_tree_has_branches() -> None:
    tree = Node("a", [Node("b", [Node("c"), Node("d", [Node("e")])]), Node("f", [Node("g")])])
    assert list(tree.lines()) == ["a", "├─ b", "│  ├─ c", "│  └─ d", "│     └─ e", "└─ f", "   └─ g"]


def test_bars_are_in_proportion_and_one_begins_where_the_other_ends() -> None:
    bars = bars_of(lines_of(stored(FRAME, classified(FRAME))))
    assert list(bars) == ["transport", "batch_wait", "decode", "device_wait", "inference"]
    width = 80 - 31
    done_ms = 0.0
    for name, time_ms in (("transport", 4.1), ("batch_wait", 8.0), ("decode", 0.6), ("inference", 5.2)):
        begin, length = bars[name]
        done_ms += 0.1 if name == "inference" else 0.0
        assert begin == int(done_ms / 18 * width)
        assert length == pytest.approx(time_ms / 18 * width, abs=1 / 8)
        done_ms += time_ms


def test_what_took_time_has_a_bar_and_lines_fit() -> None:
    latency = LatencyParts(0.001, 1e6, 0.0, 0.001, 0.001, 0.001, 1e6)
    for width in (60, 80, 200):
        lines = lines_of(stored(FRAME, classified(FRAME, latency_ms=latency)), width=width)
        bars = bars_of(lines)
        assert set(bars) == {"transport", "batch_wait", "device_wait", "inference", "order_wait"}
        assert all(length > 0 for _, length in bars.values())
        assert max(len(line) for line in lines if "wait" in line) <= width


def test_a_camera_whose_clock_is_ahead_is_said() -> None:
    latency = LatencyParts(-7_000.0, 8.0, 1.0, 0.0, 1.0, 0.0, -6_990.0)
    lines = lines_of(stored(FRAME, classified(FRAME, latency_ms=latency)))
    assert any(re.search(r"transport +-7000\.0 ms  the camera's clock is ahead$", line) for line in lines)
    assert bars_of(lines)["batch_wait"][0] == 0


def test_a_result_that_waited_for_its_transaction_is_seen() -> None:
    waited = lines_of(stored(FRAME, classified(FRAME), held_ms=180))
    begin, length = bars_of(waited)["hand_over"]
    assert begin + length == pytest.approx(49, abs=1)
    assert length == pytest.approx(180 / 198 * 49, abs=0.5)
    assert not any("hand_over" in line for line in lines_of(stored(FRAME, classified(FRAME))))


def test_no_time_at_all_has_no_bars() -> None:
    nothing = LatencyParts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert bars_of(lines_of(stored(FRAME, classified(FRAME, latency_ms=nothing)))) == {}


def test_each_group_has_a_branch() -> None:
    lines = lines_of(
        stored(FRAME, classified(FRAME, "g")),
        stored(FRAME, timed(FRAME, "t")),
        stored(FRAME, skipped(FRAME, "too-old", "s")),
        stored(FRAME, skipped(FRAME, "camera-buffer-full")),
        stored_dead(FRAME, "d"),
    )
    branches = [line[3:] for line in lines if line[:3] in ("├─ ", "└─ ") and ("group" in line or "the camera" in line)]
    assert branches == [
        "the camera: skipped, camera-buffer-full",
        "group d: dead-lettered, truncated: it is truncated",
        "group g: classified as scratch, 0.983",
        "group s: skipped, too-old",
        "group t: timed",
    ]
    text = "\n".join(lines)
    for fact in (
        "classes scratch 0.983, ok 0.011",
        "model workpiece, sha256:0",
        "device 0 (onnxruntime), batch of 3 in 8 places",
        "result results-0 offset 0, written 2026-11-21T08:00:00.018000Z",
        "dead letter dead-0 offset 7",
        "span b7ad6b7169203331",
    ):
        assert fact in text


@pytest.mark.parametrize(
    ("traceparent", "is_shown"),
    [
        (SAMPLED, False),
        (SAMPLED.replace("b7ad6b7169203331", "00f067aa0ba902b7"), True),
        (SAMPLED[:-2] + "00", False),
    ],
    ids=["the frame's own", "the group's", "of a trace that nobody records"],
)
def test_a_span_is_one_that_the_group_wrote(traceparent: str, is_shown: bool) -> None:
    place = RecordPlace("frames", 3, 10)
    reading = FrameReading(place, "", "a", 1, 5, None, TIME_US, None, 0, "", SAMPLED)
    outcome = replace(stored(FRAME, classified(FRAME)), traceparent=traceparent)
    lines = lines_of(outcome, readings=(reading,))
    assert any("span " in line for line in lines) is is_shown
    assert f"├─ trace {SAMPLED[3:35]}" in lines


def test_the_truth_and_what_made_it_are_said() -> None:
    marked = classified(FRAME, truth="dent", degraded=True, simulated=True)
    text = "\n".join(lines_of(stored(FRAME, marked)))
    assert "classified as scratch, 0.983 (the truth is dent)" in text
    assert "device 0 (onnxruntime, simulated, degraded)" in text
    assert "the truth" not in "\n".join(lines_of(stored(FRAME, classified(FRAME, truth="scratch"))))


def test_outcomes_that_no_longer_count_are_told_apart() -> None:
    again = replace(FRAME, offset=11, replay=1)
    answers = [stored(again, classified(again), offset=offset) for offset in (1, 2)]
    lines = lines_of(stored_dead(FRAME), *answers)
    assert sum("before it was put back: dead-lettered, truncated" in line for line in lines) == 1
    assert sum("repeated: classified as scratch" in line for line in lines) == 1
    many = [stored(FRAME, classified(FRAME), offset=offset) for offset in range(60)]
    lines = lines_of(*many, left_out=7)
    assert sum("repeated" in line for line in lines) == 20
    assert "└─ 7 older outcomes are not shown" in lines


def test_where_the_frame_is_and_what_became_of_it_there() -> None:
    gone = FrameReading(RecordPlace("frames", 3, 10), missing="retention has removed it")
    place = RecordPlace("frames", 3, 11)
    back = FrameReading(place, "", "a", 1, 5, None, TIME_US, TIME_US + 2_500_000, 1, "g")
    lines = lines_of(readings=(gone, back))
    assert "├─ frames-3 offset 10: gone, retention has removed it" in lines
    assert "├─ frames-3 offset 11: no picture, 5 bytes, put back for group g (replay 1)" in lines
    assert any("appended 2026-11-21T08:00:02.500000Z, 2500.0 ms after the capture" in line for line in lines)
    assert "└─ no group has an outcome of it yet" in lines


def test_names_from_outside_are_shown_and_nothing_more() -> None:
    hostile = replace(FRAME, camera=HOSTILE, frame_id=f"{HOSTILE}/s/1")
    answer = classified(hostile, HOSTILE, label=HOSTILE, truth=HOSTILE + "x", model=HOSTILE, device=HOSTILE)
    way = FrameWay(
        hostile.frame_id,
        by_group([stored(hostile, answer), stored_dead(hostile, HOSTILE, HOSTILE)]),
        (FrameReading(RecordPlace(HOSTILE, 0, 0), missing=HOSTILE),),
    )
    lines = list(tree_of(way, 80).lines())
    assert sum("owned" in line for line in lines) == 7
    assert all(line.isprintable() for line in lines)
    assert facts_of(way)["groups"][0]["outcome"]["label"] == HOSTILE  # JSON is for programs
