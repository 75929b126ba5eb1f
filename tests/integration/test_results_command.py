"""`streamer results` as a user runs it, on a real broker with results that the broker's other users may have made."""

import csv
import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from messaging.cloudevents import Message
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Outcome,
    Skipped,
    camera_source,
    group_source,
    write_outcome,
)
from messaging.timestamps import now_us
from messaging.trace_context import new_traceparent
from streamer.cli.main import main
from tests.fakes.waiting import DEADLINE_S
from tests.integration.stage import Stage

pytestmark = pytest.mark.broker

COMMAND = [sys.executable, "-m", "streamer", "results"]
HOSTILE = "=cmd|'/C calc'!A0\x1b]0;owned\x07\x1b[2J\x7f\u202e\r\nforged,line"


def classified(sequence: int, camera: str = "a", label: str = "ok") -> Classified:
    return Classified(
        camera=camera,
        sequence=sequence,
        captured_at="2026-11-21T08:00:00.123456Z",
        group="g",
        label=label,
        score=0.75,
        classes=(ClassScore(label, 0.75),),
        model="m",
        model_digest="sha256:0",
        device="0",
        backend="onnxruntime",
        simulated=False,
        batch=BatchShape(1, 8),
        latency_ms=LatencyParts(1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 21.0),
        source=FrameLocation("frames", 0, sequence),
    )


def message(outcome: Outcome) -> Message:
    source = group_source(outcome.group) if outcome.group else camera_source(outcome.camera)
    return write_outcome(outcome, f"{outcome.camera}/s/{outcome.sequence}", source, now_us(), new_traceparent())


def publish(stage: Stage, *messages: Message) -> None:
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for each in messages:
            producer.send(stage.topics.results, each.value, each.key, each.headers, partition=0)
        producer.flush(DEADLINE_S)


def results(stage: Stage, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *stage.flags(), "--from-beginning", *flags]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


@contextmanager
def following(stage: Stage, *flags: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    command = [*COMMAND, *stage.flags(), *flags]
    # Python buffers what goes to a pipe, unless it is told by the environment: each line has to come at once.
    options.setdefault("env", os.environ | {"PYTHONUNBUFFERED": ""})
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def no_control_characters(text: str) -> bool:
    return re.fullmatch(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*", text) is not None


def test_json_is_the_result_with_its_identity(stage: Stage) -> None:
    skipped = Skipped(camera="a", sequence=1, captured_at="2026-11-21T08:00:01.000000Z", reason="camera-buffer-full")
    first, second, third = message(classified(0)), message(skipped), message(classified(2))
    newer = json.dumps(json.loads(third.value) | {"of_a_later_version": [1.5, "ä"]}).encode()
    publish(stage, first, second, third._replace(value=newer))
    done = results(stage, "--format", "json", "--count", "3")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines[0] == {"ce_id": "a/s/0", "ce_source": "/groups/g"} | json.loads(first.value)
    assert lines[1] == {"ce_id": "a/s/1", "ce_source": "/cameras/a"} | json.loads(second.value)
    assert lines[2]["of_a_later_version"] == [1.5, "ä"]
    assert done.stdout.isascii()


def test_csv_has_a_header_and_a_line_for_each(stage: Stage) -> None:
    skipped = Skipped(camera="b", sequence=1, captured_at="2026-11-21T08:00:01.000000Z", reason="too-old", group="g")
    publish(stage, message(classified(0)), message(skipped))
    done = results(stage, "--format", "csv", "--count", "2")
    first, second = csv.DictReader(io.StringIO(done.stdout))
    assert (first["ce_id"], first["label"], first["score"], first["latency_ms"]) == ("a/s/0", "ok", "0.75", "21.0")
    assert (first["topic"], first["partition"], first["offset"], first["batch_size"]) == ("frames", "0", "0", "1")
    assert (second["status"], second["reason"], second["label"], second["offset"]) == ("skipped", "too-old", "", "")


@pytest.mark.parametrize("kind", ["table", "json", "csv"])
def test_hostile_text_reaches_no_terminal_and_no_spreadsheet(stage: Stage, kind: str) -> None:
    publish(stage, message(classified(0, camera=HOSTILE, label=HOSTILE)), message(classified(1, label="-1+2")))
    done = results(stage, "--format", kind, "--count", "2")
    assert done.returncode == 0
    assert no_control_characters(done.stdout)
    if kind == "json":
        assert json.loads(done.stdout.splitlines()[0])["camera"] == HOSTILE
        assert len(done.stdout.splitlines()) == 2
    else:
        assert len(done.stdout.splitlines()) == 3
    if kind == "csv":
        first, second = csv.DictReader(io.StringIO(done.stdout))
        assert first["camera"].startswith("'=cmd")
        assert first["label"].startswith("'=cmd")
        assert first["ce_id"].startswith("'=cmd")
        assert second["label"] == "'-1+2"
        assert second["score"] == "0.75"


def test_hostile_text_reaches_no_live_table(stage: Stage) -> None:
    publish(stage, message(classified(0, camera=HOSTILE)), message(classified(1, label="[bold red]x[/]")))
    shown = run_at_a_terminal([*COMMAND, *stage.flags(), "--from-beginning", "--count", "2"])
    assert "2 classified" in shown
    assert "results/s" in shown
    assert "\x1b]0;owned" not in shown
    assert "\x07" not in shown
    assert "\x1b[2J" not in shown
    assert "=cmd" in shown
    assert "[bold red]x[/]" in shown


PARTS = ("transport", "batch_wait", "decode", "device_wait", "inference", "order_wait")
SUMMARY = "2 results, p50/p95 in ms: transport 1.0/1.0, batch_wait 2.0/2.0, decode 3.0/3.0, device_wait 4.0/4.0, "


def two_of_three_with_a_latency(stage: Stage) -> None:
    skipped = Skipped(camera="a", sequence=1, captured_at="2026-11-21T08:00:01.000000Z", reason="too-old", group="g")
    publish(stage, message(classified(0)), message(skipped), message(classified(2, label="scratch")))


def test_the_parts_of_the_latency_in_a_pipe(stage: Stage) -> None:
    two_of_three_with_a_latency(stage)
    done = results(stage, "--latency", "--count", "3")
    head, first, second, third = (line.split() for line in done.stdout.splitlines())
    assert tuple(head[-9:]) == (*PARTS, "total", "group", "frame")
    assert first[-9:-1] == third[-9:-1] == ["1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "21.0", "g"]
    assert second[-3:] == ["too-old", "g", "a/s/1"]
    assert done.stderr.startswith(SUMMARY)
    assert done.stderr.count("\n") == 1


def test_rows_end_with_the_id_that_trace_takes(stage: Stage) -> None:
    long = "c" * 250
    publish(stage, message(classified(0)), message(classified(1, camera=long)))
    done = results(stage, "--count", "2")
    head, first, second = (line.split() for line in done.stdout.splitlines())
    assert head[-2:] == ["group", "frame"]
    assert first[-2:] == ["g", "a/s/0"]
    assert second[-2:] == ["g", f"{long}/s/1"]


def test_the_parts_of_the_latency_as_csv_and_json(stage: Stage) -> None:
    two_of_three_with_a_latency(stage)
    done = results(stage, "--latency", "--count", "3", "--format", "csv")
    first, second, _ = csv.DictReader(io.StringIO(done.stdout))
    assert [first[f"{name}_ms"] for name in PARTS] == ["1.0", "2.0", "3.0", "4.0", "5.0", "6.0"]
    assert first["latency_ms"] == "21.0"
    assert [second[f"{name}_ms"] for name in PARTS] == [""] * 6
    assert done.stderr.startswith(SUMMARY)
    plain = results(stage, "--count", "3", "--format", "csv")
    assert "transport" not in plain.stdout
    assert plain.stderr == ""
    done = results(stage, "--latency", "--count", "3", "--format", "json")
    assert json.loads(done.stdout.splitlines()[0])["latency_ms"]["decode"] == 3.0
    assert done.stderr.startswith(SUMMARY)


def test_the_parts_of_the_latency_in_eighty_columns(stage: Stage) -> None:
    two_of_three_with_a_latency(stage)
    shown = run_at_a_terminal([*COMMAND, *stage.flags(), "--from-beginning", "--latency", "--count", "3"], columns=80)
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r", "").split("results/s; ")[-1].splitlines()
    assert last[0].startswith("2 classified, 1 skipped")
    assert max(map(len, last)) <= 80
    lines = [line.split() for line in last]
    assert ["0.750", "scrat…", "1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "21.0", "a/s/2"] in lines
    assert ["too-old", "a/s/1"] in lines
    for name in ("p50", "p95"):
        assert [name, "1.0", "2.0", "3.0", "4.0", "5.0", "6.0", "21.0"] in lines


def run_at_a_terminal(command: list[str], columns: int = 200) -> str:
    ours, theirs = pty.openpty()
    environ = os.environ | {"COLUMNS": str(columns), "LINES": "40", "TERM": "xterm"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environ) as process:
        os.close(theirs)
        shown = bytearray()
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # Linux says so when the last writer is gone
            pass
        finally:
            os.close(ours)
        assert process.wait(DEADLINE_S) == 0
    return shown.decode()


def test_without_from_beginning_only_what_arrives_is_shown(stage: Stage) -> None:
    publish(stage, message(classified(0)))
    with following(stage, "--format", "json", "--count", "1") as process:
        # Nobody can see from outside when it listens: say something again and again until it is heard.
        for sequence in range(1, 1000):
            publish(stage, message(classified(sequence)))
            if process.poll() is not None:
                break
        output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    assert json.loads(output)["sequence"] > 0


@pytest.mark.parametrize("kind", ["table", "json", "csv"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_each_line_comes_at_once_and_a_signal_ends_it_in_good_order(
    stage: Stage, number: signal.Signals, kind: str
) -> None:
    publish(stage, message(classified(0)))
    with following(stage, "--from-beginning", "--format", kind) as process:
        assert process.stdout is not None
        if kind != "json":
            assert "captured" in process.stdout.readline()
        assert "classified" in process.stdout.readline()
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0
        assert process.stdout.read() == ""


def test_one_camera_alone(stage: Stage) -> None:
    publish(stage, *(message(classified(n, camera=camera)) for n in range(3) for camera in ("a", "b")))
    done = results(stage, "--camera", "b", "--count", "3", "--format", "json")
    assert [json.loads(line)["camera"] for line in done.stdout.splitlines()] == ["b"] * 3


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("kind", ["table", "json", "csv"])
def test_a_reader_that_leaves_is_no_error(stage: Stage, kind: str, unbuffered: str) -> None:
    publish(stage, *(message(classified(number)) for number in range(2000)))
    environ = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with following(stage, "--from-beginning", "--format", kind, env=environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr.read() == ""
        process.stdout = None


def test_what_is_no_result_is_left_out_and_said(stage: Stage) -> None:
    infinite = message(classified(1)).value.replace(b"0.75", b'0.75,"x":1e999', 1)
    junk = [b"", b"{}", b"\xff\xfe", b"[" * 5000, infinite]
    publish(stage, *(Message(b"a", value, []) for value in junk), message(classified(7)))
    done = results(stage, "--format", "json", "--count", "1")
    assert json.loads(done.stdout)["sequence"] == 7
    assert "5 records were left out" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"left out {stage.topics.results}-0 offset 0" in done.stderr


def test_aborted_results_are_not_shown(stage: Stage) -> None:
    import kafka

    producer = kafka.KafkaProducer(
        bootstrap_servers=stage.cluster.bootstrap_servers, transactional_id=stage.topics.results, max_block_ms=20_000
    )
    with closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        aborted = message(classified(0))
        producer.send(stage.topics.results, aborted.value, aborted.key, aborted.headers, partition=0).get(DEADLINE_S)
        producer.abort_transaction()
    publish(stage, message(classified(1)))
    done = results(stage, "--format", "json", "--count", "1")
    assert json.loads(done.stdout)["sequence"] == 1


def test_a_missing_topic_is_one_line(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = Stage(stage.cluster, replace(stage.topics, results="nowhere"))
    assert main(["results", *nowhere.flags()]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "nowhere" in error


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", "9" * 30])
def test_a_count_that_is_none_is_wrong_use(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["results", "--count", count]) == 2
    assert capsys.readouterr().err.count("\n") == 1
