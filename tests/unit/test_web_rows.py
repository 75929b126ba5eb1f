"""What the dashboard's pages make of what the site knows."""

from dataclasses import asdict
from typing import Any

import pytest
from nicegui import json

from messaging.outcome import LatencyParts
from messaging.status import MAX_COUNT, CameraStatus, PartitionStatus, StepStatus, WorkerStatus
from streamer.watch.views import CameraView, DeadLetterView, LedgerView, OutcomeView, SecondView, TotalsView, WorkerView
from streamer.web import words
from streamer.web.dashboard import dead_letters, devices, ledger, left_out, pipeline, results, states, throughput
from streamer.web.dashboard.summary import summary_of

PARTS = LatencyParts(-1.0, 8.0, 0.6, 0.1, 5.2, 0.1, 13.0)


def camera(name: str = "gate", state: str = "running", age_s: float | None = 0.4, **others: Any) -> CameraView:
    fields: dict[str, Any] = {
        "camera": name,
        "session": "s",
        "source": "x",
        "state": state,
        "captured": 50,
        "sent": 48,
        "shed": {"camera-buffer-full": 2},
        "fps_declared": 5.0,
        "fps_delivered": 4.9,
        "reconnects": 1,
        "updated_at": "",
    }
    status = CameraStatus(**fields | {name: others.pop(name) for name in fields if name in others})
    found = {"outcome": None, "picture_number": 0, "ledgers": {}} | others
    return CameraView(name, status if age_s is not None else None, age_s, **found)


def outcome(status: str = "classified", **others: Any) -> OutcomeView:
    fields: dict[str, Any] = {
        "frame_id": "gate/s/7",
        "camera": "gate",
        "sequence": 7,
        "group": "line",
        "status": status,
        "label": "dent",
        "score": 0.983,
        "reason": "",
        "truth": "",
        "is_degraded": False,
        "device": "0",
        "captured_at_us": 1_000_000,
        "latency_ms": PARTS,
        "trace_id": "",
        "topic": "streamer.frames",
        "partition": 0,
        "offset": 7,
        "number": 9,
    }
    return OutcomeView(**fields | others)


def worker(age_s: float = 0.4, horizons_s: tuple[float | None, ...] = (None, 42.0), **others: Any) -> WorkerView:
    fields: dict[str, Any] = {
        "group": "line",
        "host": "box",
        "device": "0",
        "slot": 0,
        "state": "running",
        "frames_topic": "streamer.frames",
        "partitions": tuple(
            PartitionStatus(number, 0, 10, number + 3, horizon_s) for number, horizon_s in enumerate(horizons_s)
        ),
        "first_offsets": {},
        "model": "workpiece",
        "model_digest": "",
        "backend": "onnxruntime",
        "simulated": False,
        "classified": 1,
        "skipped": 0,
        "dead_lettered": 0,
        "waiting_frames": 2,
        "frames_in_flight": 16,
        "batch_size_mean": 6.44,
        "utilisation": 0.51,
        "steps": (),
        "updated_at": "",
    }
    return WorkerView("line/box/0/0", WorkerStatus(**fields | others), age_s)


# -- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value_s", "text"),
    [(0.42, "0.4 s"), (42, "42 s"), (99, "99 s"), (130, "2 min"), (7200, "2 h"), (5 * 86400, "5 d"), (-3, "-3.0 s")],
)
def test_times_are_as_people_say_them(value_s: float, text: str) -> None:
    assert words.seconds(value_s) == text


def test_a_camera_that_says_nothing_does_not_run() -> None:
    assert states.camera_state(camera().status, 4.9) == ("running", "good")
    assert states.camera_state(camera().status, 34.0) == ("silent 34 s", "bad")
    assert states.camera_state(camera(state="stopped").status, 34.0) == ("stopped", "plain")
    assert states.camera_state(None, None) == ("no status", "plain")
    assert states.worker_state(worker().status, 34.0) == ("silent 34 s", "bad")


def test_reasons_come_with_the_largest_first() -> None:
    assert words.reasons({"superseded": 3, "too-old": 1200, "empty": 0}) == "too-old 1,200, superseded 3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing is known", "Nothing is known"),
        ("streamer.frames is missing", "streamer.frames is missing"),
        ("decode: too many", "decode: too many"),
        ("`streamer audit` checks", "`streamer audit` checks"),
        ("", ""),
    ],
)
def test_texts_begin_with_a_capital_letter_but_names_stay(text: str, said: str) -> None:
    assert words.capitalised(text) == said


def test_a_message_becomes_a_sentence() -> None:
    assert words.sentence("no broker answers") == "No broker answers."
    assert words.sentence("Start one.") == "Start one."


def test_what_stands_between_backticks_is_code() -> None:
    assert words.pieces("run `streamer audit` now") == [("run ", False), ("streamer audit", True), (" now", False)]
    assert words.pieces("`a`") == [("a", True)]
    assert words.pieces("one ` alone") == [("one ` alone", False)]


# -- the summary ----------------------------------------------------------------------------------


def test_the_summary_counts_what_runs_and_what_does_not() -> None:
    seconds = [SecondView(at_s, {"classified": 10, "skipped": 2}, PARTS, 20.0 + at_s) for at_s in range(20)]
    seconds[0] = SecondView(0, {"dead-lettered": 4}, None, None)
    summary = summary_of([camera(), camera("door", age_s=60.0), camera("desk", age_s=None)], {"line": seconds})
    assert (summary.cameras, summary.running, summary.ill) == (3, 1, 1)
    assert (summary.fps, summary.fps_declared) == (4.9, 5.0)
    assert (summary.classified_fps, summary.skipped_fps) == (10.0, 2.0)
    assert summary.total_p95_ms == 39.0
    assert summary.dead_lettered == 4


def test_the_summary_of_nothing_is_nothing() -> None:
    summary = summary_of([], {"line": []})
    assert (summary.cameras, summary.classified_fps, summary.total_p95_ms) == (0, 0.0, None)


# -- rows -----------------------------------------------------------------------------------------


def test_the_ledger_has_every_reason() -> None:
    ledgers = {"line": LedgerView(40, 0, {"too-old": 3}, {"truncated": 1})}
    row = ledger.row_of(camera(ledgers=ledgers), "line")
    assert (row["captured"], row["sent"], row["shed"]) == (50, 48, 2)
    assert (row["classified"], row["skipped"], row["dead"]) == (40, 3, 1)
    assert row["why"] == "too-old 3, truncated 1"
    assert ledger.row_of(camera(ledgers=ledgers), "other")["classified"] is None


def test_a_workers_line_has_its_soonest_loss() -> None:
    row = devices.worker_row(worker())
    assert (row["lag"], row["horizon"], row["horizon_tone"]) == (7, "42 s", "bad")
    assert (row["utilisation"], row["utilisation_percent"], row["batch"]) == ("51.0 %", 51, 6.4)
    assert devices.worker_row(worker(horizons_s=(None,)))["horizon"] == "no loss"
    assert devices.worker_row(worker(horizons_s=(300.0,)))["horizon_tone"] == "warn"


def test_a_page_draws_so_many_partitions_and_pipelines_and_says_how_many_more() -> None:
    step = StepStatus("decode", 9, 5.0, 18.0)
    many = [worker(horizons_s=(None,) * 300, steps=(step,))] * 60
    rows, more = devices.partition_rows(many)
    assert (len(rows), more) == (1000, 17_000)
    assert devices.partition_rows(many[:2])[1] == 0
    shown, more = pipeline.drawn([worker(), *many])
    assert (len(shown), more) == (50, 10)
    assert pipeline.drawn([worker(), many[0]]) == ([many[0]], 0)


def test_the_largest_figures_that_are_believed_can_be_shown() -> None:
    partition = PartitionStatus(MAX_COUNT, MAX_COUNT, MAX_COUNT, MAX_COUNT, 1e100)
    largest = worker(partitions=(partition,) * 2000, waiting_frames=MAX_COUNT, utilisation=1e100, batch_size_mean=1e100)
    seen = camera(shed=dict.fromkeys(map(str, range(32)), MAX_COUNT), fps_delivered=1e100, fps_declared=-1e100)
    rows = [
        devices.worker_row(largest),
        *devices.partition_rows([largest])[0],
        ledger.row_of(seen, "line"),
        *map(asdict, pipeline.shares((StepStatus("decode", MAX_COUNT, 1e100, -1e100),))),
    ]
    json.dumps(rows)
    assert summary_of([seen] * 1000, {}).fps == pytest.approx(1e103)


def test_what_is_left_out_is_said() -> None:
    assert left_out.line_of(TotalsView({}, 0, 0, 0, 0, 0)) == ""
    assert left_out.line_of(TotalsView({}, 0, 0, 1200, 1, 0)) == "Not shown: 1,200 cameras, 1 group that had no room."
    assert left_out.line_of(TotalsView({}, 2, 1, 0, 0, 3)) == (
        "Not shown: 3 workers that had no room; 1 record that came too fast to be read; 2 records that cannot be read."
    )


def test_a_result_leads_to_its_frame() -> None:
    row = results.row_of(outcome(frame_id="gate/a b/7"))
    assert row["sequence_link"] == "/frame?id=gate%2Fa%20b%2F7"
    assert results.row_of(outcome(frame_id="theirs"))["sequence_link"] == "/frame?id=theirs&everywhere=1"
    assert (row["score"], row["latency"]) == ("98.3 %", "13.0 ms")
    assert results.row_of(outcome("skipped", label="", score=None, reason="too-old"))["label"] == "too-old"


@pytest.mark.parametrize(
    ("text", "status", "is_wanted"),
    [
        ("", "every outcome", True),
        ("gat", "classified", True),
        ("dent", "skipped", False),
        ("nothing", "every outcome", False),
        ("", "not what it really is", True),
    ],
)
def test_results_can_be_sifted(text: str, status: str, is_wanted: bool) -> None:
    assert results.is_wanted(outcome(truth="ok"), text, status) is is_wanted


def test_a_right_answer_is_none_that_is_wrong() -> None:
    assert not results.is_wanted(outcome(truth="dent"), "", "not what it really is")
    assert not results.is_wanted(outcome(), "", "not what it really is")


def test_a_dead_letters_line_has_its_place() -> None:
    row = dead_letters.row_of(DeadLetterView("0:17", "gate", "gate/s/7", "line", "truncated", "too short", 0, 10_000))
    assert (row["place"], row["time"], row["size"]) == ("0:17", "1970-01-01 00:00:00", "9.8 KiB")


def test_charts_draw_no_time_below_zero() -> None:
    seconds = [SecondView(1, {"classified": 3}, PARTS, 20.0), SecondView(2, {}, None, None)]
    assert throughput.part_of(seconds, "transport") == [0.0, None]
    assert throughput.outcomes_of(seconds, "classified") == [3, 0]


def test_the_bottleneck_is_what_takes_the_longest() -> None:
    steps = (StepStatus("decode", 9, 5.0, 18.0), StepStatus("classify", 9, 9.0, 0.5))
    decode, classify = pipeline.shares(steps)
    assert (decode.is_bottleneck, classify.is_bottleneck) == (False, True)
    assert (classify.execution_percent, decode.waiting_percent) == (50.0, 100.0)
    said = pipeline.shares(steps, "decode")
    assert [share.is_bottleneck for share in said] == [True, False], "the worker knows its threads"


def test_without_work_there_is_no_bottleneck() -> None:
    assert not any(share.is_bottleneck for share in pipeline.shares((StepStatus("decode", 0, 0.0, 0.0),)))
    assert pipeline.shares(()) == []
