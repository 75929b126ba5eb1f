"""`streamer dlq` as a user runs it, on a real broker."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from messaging.cloudevents import Message
from messaging.dead_letter import REASONS, write_dead_letter
from messaging.frame import Frame, read_frame
from messaging.outcome import Classified
from messaging.timestamps import format_us, now_us
from streamer.audit import GroupReport, audit
from streamer.cli.main import main
from tests.fakes.waiting import DEADLINE_S
from tests.integration.stage import Stage, camera_frames, consume_all, jpeg

pytestmark = pytest.mark.broker

Capture = pytest.CaptureFixture[str]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\r\nforged line"
NO_CONTROL = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*")


def send(stage: Stage, topic: str, *messages: Message, **options: Any) -> None:
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for message in messages:
            producer.send(topic, message.value, message.key, message.headers, **options)
        producer.flush(DEADLINE_S)


def frames_of(stage: Stage) -> list[Frame]:
    """The frames as they stand in the log."""
    return [read_frame(record) for record in stage.records(stage.topics.frames)]


def dead(frame: Frame, reason: str = "truncated", *, group: str = "g", max_message_bytes: int = 10**7) -> Message:
    return write_dead_letter(frame, group, reason, f"it is {reason}", max_message_bytes=max_message_bytes)


def three_dead(stage: Stage) -> list[Frame]:
    """Three frames and their dead letters: a/0 truncated, a/1 too large and left behind, b/0 truncated for group h."""
    stage.feed([*camera_frames("a", 2), *camera_frames("b", 1)])
    frames = sorted(frames_of(stage), key=lambda frame: frame.frame_id)
    letters = [
        dead(frames[0]),
        dead(frames[1], "too-large", max_message_bytes=0),
        dead(frames[2], group="h"),
    ]
    send(stage, stage.topics.dead_letters, *letters)
    return frames


def dlq(stage: Stage, *words: str) -> int:
    return main(["dlq", words[0], *stage.flags(), *words[1:]])


def listed(stage: Stage, capsys: Capture, *flags: str) -> list[dict[str, Any]]:
    assert dlq(stage, "list", "--json", *flags) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def replayed(stage: Stage, capsys: Capture, *words: str, code: int = 0) -> dict[str, Any]:
    assert dlq(stage, "replay", "--json", "--yes", *words) == code
    figures: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return figures


def put_back(stage: Stage) -> list[Frame]:
    return [frame for frame in frames_of(stage) if frame.replay_for is not None]


# -- list ------------------------------------------------------------------------------------------


def test_the_list_says_what_died_where_and_why(stage: Stage, capsys: Capture) -> None:
    frames = three_dead(stage)
    assert dlq(stage, "list") == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if "test/" in line]
    assert len(rows) == 3
    for row, place in zip(rows, ("0:0", "0:1", "0:2"), strict=True):  # the newest last
        assert place in row
    for text in ("camera", "when", frames[0].frame_id, "truncated"):
        assert text in out
    first, second, _ = listed(stage, capsys)
    assert first["written_at"] <= second["written_at"] <= format_us(now_us())
    assert (second["id"], second["frame_id"], second["group"], second["reason"]) == (
        "0:1",
        "a/test/1",
        "g",
        "too-large",
    )
    assert (second["size_bytes"], second["replay"], second["error"]) == (0, 0, "it is too-large")
    original = {"topic": stage.topics.frames, "partition": frames[1].partition, "offset": frames[1].offset}
    assert second["original"] == original


def test_the_list_is_filtered(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    for flags, ids in (
        (["--camera", "a"], ["0:0", "0:1"]),
        (["--reason", "truncated"], ["0:0", "0:2"]),
        (["--group", "h"], ["0:2"]),
        (["--camera", "a", "--reason", "truncated"], ["0:0"]),
        (["--camera", "c"], []),
        (["--count", "2"], ["0:1", "0:2"]),
        (["--since", "1h"], ["0:0", "0:1", "0:2"]),
        (["--since", "2100-01-01T00:00:00Z"], []),
    ):
        assert [letter["id"] for letter in listed(stage, capsys, *flags)] == ids, flags


def test_since_is_about_when_the_dead_letter_was_written(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 3))
    hour_ms, now_ms = 3_600_000, now_us() // 1000
    for frame, age_ms in zip(frames_of(stage), (3 * hour_ms, 2 * hour_ms, 0), strict=True):
        send(stage, stage.topics.dead_letters, dead(frame), timestamp_ms=now_ms - age_ms)
    assert [letter["id"] for letter in listed(stage, capsys, "--since", "150m")] == ["0:1", "0:2"]
    at = format_us((now_ms - hour_ms) * 1000)
    assert [letter["id"] for letter in listed(stage, capsys, "--since", at)] == ["0:2"]


def test_what_is_not_shown_is_said(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    assert dlq(stage, "list", "--count", "1") == 0
    out, err = capsys.readouterr()
    assert "0:2" in out
    assert "2 older ones are not shown: --count 3 shows all" in err


def test_the_summary_counts_by_reason_and_camera(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    (frame, *_) = (frame for frame in frames_of(stage) if frame.camera == "a")
    send(stage, stage.topics.dead_letters, dead(frame, group="h"))
    assert listed(stage, capsys, "--summary") == [
        {"reason": "truncated", "camera": "a", "count": 2},
        {"reason": "too-large", "camera": "a", "count": 1},
        {"reason": "truncated", "camera": "b", "count": 1},
    ]
    assert dlq(stage, "list", "--summary", "--camera", "b") == 0
    out = capsys.readouterr().out
    assert "truncated" in out
    assert "too-large" not in out


def test_without_any_the_list_says_so(stage: Stage, capsys: Capture) -> None:
    assert dlq(stage, "list") == 0
    assert capsys.readouterr().out == "no dead letters\n"
    assert listed(stage, capsys) == []


def test_a_filter_that_matches_nothing_says_so(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    for flags in (["--camera", "c"], ["--camera", "c", "--summary"], ["--reason", "empty"]):
        assert dlq(stage, "list", *flags) == 0
        assert capsys.readouterr().out == "none of the 3 dead letters matches\n"
    assert dlq(stage, "list", "--since", "2100-01-01T00:00:00Z") == 0
    assert capsys.readouterr().out == "no dead letters since 2100-01-01T00:00:00.000000Z\n"


def test_a_reason_that_there_is_not_is_refused(stage: Stage, capsys: Capture) -> None:
    for command in ("list", "replay"):
        assert dlq(stage, command, "--reason", "bogus") == 2
        err = capsys.readouterr().err
        assert f"'bogus' is none of {', '.join(REASONS)}" in err


def test_a_summary_has_no_count(stage: Stage, capsys: Capture) -> None:
    assert dlq(stage, "list", "--summary", "--count", "1000") == 2
    assert "--count: not allowed with argument --summary" in capsys.readouterr().err


def test_a_name_is_taken_as_it_is_shown(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 1))
    (frame,) = frames_of(stage)
    frame.camera, frame.frame_id = "evil\x1b[2J", "evil\x1b[2J/s/1"
    send(stage, stage.topics.dead_letters, dead(frame, group="g\x07"))
    for flags in (["--camera", "evil\\x1b[2J"], ["--camera", "evil\x1b[2J"], ["--group", "g\\x07"]):
        assert [letter["id"] for letter in listed(stage, capsys, *flags)] == ["0:0"]
    assert dlq(stage, "show", "evil\\x1b[2J/s/1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["id"] == "0:0"
    assert replayed(stage, capsys, "evil\\x1b[2J/s/1")["replayed"] == 1


def at_a_terminal(columns: int, *words: str) -> str:
    """What a command prints where its standard output is a terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", *words],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"COLUMNS": str(columns), "LINES": "50", "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    said = b""
    try:
        with contextlib.suppress(OSError):  # the terminal is closed at its end
            while piece := os.read(ours, 65536):
                said += piece
        assert process.wait(DEADLINE_S) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return said.decode()


def test_what_is_to_be_copied_is_not_folded(stage: Stage) -> None:
    frame = three_dead(stage)[0]
    frame.frame_id = f"line-1/{'8' * 40}/42"
    send(stage, stage.topics.dead_letters, dead(frame, "inference-failed", group="streamer-device-0"))
    shown = at_a_terminal(80, "dlq", "list", *stage.flags())
    row = next(line for line in shown.splitlines() if "│ 0:3 " in line)
    cells = [cell.strip() for cell in row.split("│")]
    assert cells[1] == "0:3"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", cells[2])
    assert cells[3] == frame.frame_id


def test_bytes_are_not_for_a_terminal(stage: Stage) -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamer", "dlq", "show", "0:0", "-o", "-", *stage.flags()],
            stdout=theirs,
            stderr=subprocess.PIPE,
            timeout=DEADLINE_S,
            check=False,
        )
    finally:
        os.close(theirs)
        os.close(ours)
    assert done.returncode == 2
    assert b"nothing for a terminal" in done.stderr


def test_records_of_others_are_left_out_and_counted(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    send(stage, stage.topics.dead_letters, Message(b"k", b"junk", []), Message(b"k", b"", [("group", b"g")]))
    assert dlq(stage, "list", "--json") == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3
    assert "2 records are no dead letters of streamer's" in err


def test_names_from_outside_command_no_terminal(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 1))
    (frame,) = frames_of(stage)
    frame.camera, frame.frame_id = HOSTILE, f"{HOSTILE}/s/1"
    frame.headers = ((HOSTILE, HOSTILE.encode()), ("bytes", b"\xff\x9b"))
    letter = write_dead_letter(frame, HOSTILE, HOSTILE, HOSTILE, max_message_bytes=10**6)
    send(stage, stage.topics.dead_letters, letter, timestamp_ms=2**62)
    for words in (["list"], ["list", "--json"], ["list", "--summary"], ["show", "0:0"], ["show", "0:0", "--json"]):
        assert dlq(stage, *words) == 0
        out, err = capsys.readouterr()
        assert "owned" in out
        assert NO_CONTROL.fullmatch(out)
        assert err == ""
        if "--json" in words:
            assert out.isascii()
            assert out.count("\n") == 1


def test_a_topic_that_is_missing_is_one_line(stage: Stage, capsys: Capture) -> None:
    for words in (["list"], ["show", "0:1"], ["replay", "--all"]):
        assert dlq(stage, *words, "--dead-letter-topic", "nowhere") == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "streamer: there is no topic nowhere: run `streamer topics create`, or start a camera\n"


# -- show ------------------------------------------------------------------------------------------


def test_show_has_every_fact_and_header(stage: Stage, capsys: Capture) -> None:
    frames = three_dead(stage)
    assert dlq(stage, "show", "0:1") == 0
    out = capsys.readouterr().out
    for text in (
        "a/test/1",
        "too-large",
        f"{stage.topics.frames}-{frames[1].partition} offset",
        "header ce_truth",
        "truth-1",
        "left behind",
    ):
        assert text in out
    assert dlq(stage, "show", "0:2") == 0
    assert re.search(r"size +│ +\d+ bytes", capsys.readouterr().out)
    assert dlq(stage, "show", "b/test/0", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["group"], shown["others"]) == ("0:2", "h", [])
    assert ["ce_type", "streamer.dead-letter.v1"] in shown["headers"]


def test_of_several_dead_letters_of_a_frame_the_newest_is_shown(stage: Stage, capsys: Capture) -> None:
    frames = three_dead(stage)
    send(stage, stage.topics.dead_letters, dead(frames[0], "unsupported", group="h"), dead(frames[1]))
    assert dlq(stage, "show", frames[0].frame_id, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["id"], shown["reason"], shown["others"]) == ("0:3", "unsupported", ["0:0"])
    assert dlq(stage, "show", "0:0", "--json") == 0
    assert json.loads(capsys.readouterr().out)["reason"] == "truncated"


def test_one_that_is_not_there(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    for identity in ("0:9", "1:0", "a/test/77", "999999999:5", HOSTILE):
        assert dlq(stage, "show", identity) == 1
        err = capsys.readouterr().err
        assert err.startswith("streamer: there is no dead letter ")
        assert NO_CONTROL.fullmatch(err)


def test_the_bytes_are_written_and_nothing_is_overwritten_unasked(
    stage: Stage, capsys: Capture, tmp_path: Path
) -> None:
    frames = three_dead(stage)
    picture = tmp_path / "picture.jpg"
    assert dlq(stage, "show", "0:0", "-o", str(picture)) == 0
    assert picture.read_bytes() == frames[0].data
    assert dlq(stage, "show", "0:1", "-o", str(picture)) == 2
    assert "is there already: --force overwrites it" in capsys.readouterr().err
    assert picture.read_bytes() == frames[0].data
    # This one's bytes stayed behind, and are still where the frame stands.
    assert dlq(stage, "show", "0:1", "-o", str(picture), "--force") == 0
    assert picture.read_bytes() == frames[1].data


@pytest.mark.parametrize(
    ("name", "flags", "complaint"),
    [
        ("nowhere/x.jpg", [], "there is no directory "),
        ("there.jpg/x.jpg", [], "there is no directory "),
        ("there.jpg", [], "is there already: --force overwrites it"),
        ("", [], "is a directory: give the name of a file"),
        ("", ["--force"], "is a directory: give the name of a file"),
        ("x" * 300, [], "File name too long"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_shown(
    stage: Stage, capsys: Capture, tmp_path: Path, name: str, flags: list[str], complaint: str
) -> None:
    (tmp_path / "there.jpg").touch()
    assert dlq(stage, "show", "0:0", "-o", str(tmp_path / name), *flags) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.count("\n") == 1


def test_the_bytes_go_to_standard_output_alone(
    stage: Stage, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    frames = three_dead(stage)
    capfdbinary.readouterr()
    assert dlq(stage, "show", "0:0", "-o", "-") == 0
    assert capfdbinary.readouterr() == (frames[0].data, b"")
    assert list(tmp_path.iterdir()) == []
    assert dlq(stage, "show", "0:0", "-o", "-", "--json") == 2
    assert capfdbinary.readouterr().out == b""


@pytest.mark.parametrize("command", ["show", "replay"])
@pytest.mark.parametrize("identity", ["0:", ":5", "0:-1", ""])
def test_half_a_place_is_refused(stage: Stage, capsys: Capture, command: str, identity: str) -> None:
    assert dlq(stage, command, identity) == 2
    assert f"'{identity}' is neither PARTITION:OFFSET nor a frame's id" in capsys.readouterr().err


def test_headers_that_are_shown_above_are_not_shown_again(stage: Stage, capsys: Capture) -> None:
    frames = three_dead(stage)
    odd = dead(frames[0])
    odd.headers.append(("reason", b"truncated" + b"d" * 60))
    send(stage, stage.topics.dead_letters, odd)
    assert dlq(stage, "show", "0:0") == 0
    shown = capsys.readouterr().out
    for name in ("ce_id", "ce_subject", "group", "reason", "error", "original-offset"):
        assert f"header {name}" not in shown
    assert "header ce_truth" in shown
    for text in ("it is truncated", str(len(frames[0].data))):
        assert shown.count(text) == 1
    assert dlq(stage, "show", "0:3") == 0
    assert "truncated" + "d" * 60 in capsys.readouterr().out  # the column above has its beginning alone


def remove_records(stage: Stage, topic: str, partition: int, before: int) -> None:
    with closing(stage.cluster.admin()) as admin:
        admin.delete_records({TopicPartition(topic, partition): before})


def test_bytes_that_are_gone_are_one_line(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    frames = three_dead(stage)
    remove_records(stage, stage.topics.frames, frames[1].partition, frames[1].offset + 1)
    assert dlq(stage, "show", "0:1", "-o", str(tmp_path / "x.jpg")) == 1
    err = capsys.readouterr().err
    assert "its bytes are gone" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "x.jpg").exists()


def test_a_dead_letter_does_not_make_us_read_another_topic(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    frames = three_dead(stage)
    forged = frames[1]
    forged.topic = stage.topics.status
    send(stage, stage.topics.dead_letters, dead(forged, "too-large", max_message_bytes=0))
    assert dlq(stage, "show", "0:3", "-o", str(tmp_path / "x.jpg")) == 1
    assert "its bytes are gone" in capsys.readouterr().err


# -- replay ----------------------------------------------------------------------------------------


def the_group(stage: Stage, group: str) -> GroupReport:
    (found,) = audit(stage.cluster, stage.topics, [group]).groups
    answered = found.classified + found.timed + found.skipped + found.dead_lettered
    assert answered + found.in_flight + found.unsent + found.not_checkable + found.missing == found.published
    return found


Feed = Callable[[Stage], None]


def feed_with_headers(stage: Stage) -> None:
    stage.feed([*camera_frames("a", 4, age_us=60_000_000), *camera_frames("big", 3, data=jpeg(1, 400))])


def feed_without_headers(stage: Stage) -> None:
    messages = [Message(key, jpeg(1, side), []) for key, side in ((b"a", 64), (b"big", 400)) for _ in range(3)]
    send(stage, stage.topics.frames, *messages, Message(b"a", jpeg(2), []))
    with closing(stage.cluster.producer(linger_ms=0)) as producer:  # nobody's key, and no partition of its hash
        producer.send(stage.topics.frames, jpeg(1, 400), partition=2)
        producer.flush(DEADLINE_S)


@pytest.mark.parametrize(("feed", "large"), [(feed_with_headers, 3), (feed_without_headers, 4)])
def test_a_replay_is_classified_by_its_group_and_passed_over_by_others(
    stage: Stage, capsys: Capture, feed: Feed, large: int
) -> None:
    feed(stage)
    limited = {"max_frame_pixels": 100_000}
    consume_all(stage.settings(group="first", **limited))
    consume_all(stage.settings(group="second", **limited))
    assert (the_group(stage, "first").classified, the_group(stage, "first").dead_lettered) == (4, large)

    figures = replayed(stage, capsys, "--all", "--group", "first")
    assert figures == {
        "dry_run": False,
        "chosen": large,
        "would_be_replayed": 0,
        "replayed": large,
        "answered": 0,
        "failed": 0,
        "groups": {"first": large},
    }
    assert the_group(stage, "first").in_flight == large

    # The limit is gone now, which made them dead letters; they are old, and that does not count.
    assert consume_all(stage.settings(group="first", max_age="1ms")).counts.frames == {"classified": large}
    assert consume_all(stage.settings(group="second", **limited)).counts.frames == {}

    assert main(["audit", *stage.flags(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["conserved"] is True
    first, second = the_group(stage, "first"), the_group(stage, "second")
    assert (first.classified, first.dead_lettered, first.duplicates, first.missing) == (4 + large, 0, 0, 0)
    assert (second.classified, second.dead_lettered, second.duplicates, second.missing) == (4, large, 0, 0)
    assert (first.published, second.published) == (4 + large, 4 + large)

    # The results say of whom they are: the same cameras, sequences and ids as before.
    dead_ids = {letter.frame_id for letter in stage.dead_letters()}
    live = {frame.frame_id: frame for frame in frames_of(stage) if frame.replay_for is None}
    again = [
        (read_id(record), result)
        for record, result in zip(stage.records(stage.topics.results), stage.results(), strict=True)
        if read_id(record) in dead_ids
    ]
    assert len(again) == large
    for frame_id, result in again:
        assert isinstance(result, Classified)
        assert (result.camera, result.sequence) == (live[frame_id].camera, live[frame_id].sequence)
        assert result.source.offset > live[frame_id].offset


def read_id(record: Any) -> str:
    return str(dict(record.headers)["ce_id"], "utf-8")


def test_what_was_classified_since_is_left_out_unless_it_is_asked_for(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 2, data=jpeg(1, 400)))
    consume_all(stage.settings(group="first", max_frame_pixels=100_000))
    assert replayed(stage, capsys, "a/test/0")["replayed"] == 1
    consume_all(stage.settings(group="first"))
    assert replayed(stage, capsys, "--all", "--dry-run")["answered"] == 1
    figures = replayed(stage, capsys, "--all")
    assert (figures["replayed"], figures["answered"]) == (1, 1)
    assert [frame.frame_id for frame in put_back(stage)] == ["a/test/0", "a/test/1"]
    consume_all(stage.settings(group="first"))
    assert replayed(stage, capsys, "--all")["replayed"] == 0
    assert replayed(stage, capsys, "--all", "--again")["replayed"] == 2
    consume_all(stage.settings(group="first"))
    found = the_group(stage, "first")
    assert (found.classified, found.dead_lettered, found.duplicates, found.missing) == (2, 0, 0, 0)


def test_a_frame_that_dies_again_counts_on_and_is_put_back_once(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 1, data=b"no picture"))
    settings = stage.settings(group="first")
    for number in (1, 2, 3):
        consume_all(settings)
        assert replayed(stage, capsys, "--all")["replayed"] == 1
        assert [frame.replay for frame in put_back(stage)] == list(range(1, number + 1))
    consume_all(settings)
    assert [letter["replay"] for letter in listed(stage, capsys)] == [0, 1, 2, 3]
    # An older dead letter, or several of one frame, still mean one frame.
    assert replayed(stage, capsys, "0:0", "0:1", "a/test/0")["replayed"] == 1
    assert dlq(stage, "replay", "--all", "--dry-run") == 0
    assert "; 1 of 1 died again after an earlier replay" in capsys.readouterr().err
    consume_all(settings)
    found = the_group(stage, "first")
    assert (found.published, found.dead_lettered, found.duplicates, found.missing) == (1, 1, 0, 0)


def test_a_result_before_a_later_dead_letter_does_not_count(stage: Stage, capsys: Capture) -> None:
    """Put back and classified, put back again and dead: the last outcome is a dead letter."""
    stage.feed(camera_frames("a", 1, data=jpeg(1, 400)))
    strict, lenient = stage.settings(group="first", max_frame_pixels=100_000), stage.settings(group="first")
    consume_all(strict)
    assert replayed(stage, capsys, "--all")["replayed"] == 1
    consume_all(lenient)
    assert replayed(stage, capsys, "--all", "--again")["replayed"] == 1
    consume_all(strict)
    assert replayed(stage, capsys, "--all")["replayed"] == 1


def test_bytes_that_stayed_behind_are_fetched_and_what_is_gone_is_told(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 4))
    frames = frames_of(stage)
    send(stage, stage.topics.dead_letters, *(dead(frame, max_message_bytes=0) for frame in frames[:3]), dead(frames[3]))
    partition = frames[0].partition
    remove_records(stage, stage.topics.frames, partition, 2)
    assert dlq(stage, "replay", "--all", "--json", "--yes") == 1
    out, err = capsys.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert (figures["chosen"], figures["replayed"], figures["failed"]) == (4, 2, 2)
    lines = [line for line in err.splitlines() if "its bytes are gone" in line]
    assert [line.split()[:2] for line in lines] == [["0:0", "a/test/0:"], ["0:1", "a/test/1:"]]
    back = put_back(stage)
    assert [(frame.frame_id, frame.data) for frame in back] == [(f.frame_id, f.data) for f in frames[2:]]
    assert [frame.truth for frame in back] == ["truth-2", "truth-3"]
    assert {frame.partition for frame in back} == {partition}


def test_what_the_topic_cannot_take_does_not_hold_up_the_rest(stage: Stage, capsys: Capture) -> None:
    stage.feed([*camera_frames("a", 1, data=bytes(300_000)), *camera_frames("b", 1)])
    send(stage, stage.topics.dead_letters, *(dead(frame) for frame in frames_of(stage)))
    with closing(stage.cluster.admin()) as admin:
        limit = {"max.message.bytes": "200000"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, stage.topics.frames, configs=limit)])
    assert dlq(stage, "replay", "--all", "--yes") == 1
    err = capsys.readouterr().err
    assert f"topic {stage.topics.frames} 200000" in err
    assert "1 was put back" in err
    assert [frame.camera for frame in put_back(stage)] == ["b"]


def test_a_dead_letter_of_another_frames_topic_is_not_put_on_this_one(stage: Stage, capsys: Capture) -> None:
    frames = three_dead(stage)
    frames[0].topic = stage.topics.results  # a forged dead letter would have us write there
    send(stage, stage.topics.dead_letters, dead(frames[0], group="forged"))
    assert dlq(stage, "replay", "--all", "--group", "forged", "--yes") == 1
    assert "name that with --frames-topic" in capsys.readouterr().err
    assert put_back(stage) == []
    assert stage.records(stage.topics.results) == []


def test_an_id_that_is_not_there_is_told_and_the_others_go_on(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    assert dlq(stage, "replay", "nowhere", "b/test/0", "0:99", "--yes") == 1
    err = capsys.readouterr().err
    for identity in ("nowhere", "0:99"):
        assert f"there is no dead letter {identity}: `streamer dlq list` shows what there is\n" in err
    assert [frame.frame_id for frame in put_back(stage)] == ["b/test/0"]


def test_a_dry_run_does_nothing(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    assert dlq(stage, "replay", "--all", "--camera", "a", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert "a/test/0" in out
    assert "b/test/0" not in out
    assert "2 would be put back" in err
    assert put_back(stage) == []


def test_what_to_put_back_must_be_said(stage: Stage, capsys: Capture) -> None:
    for words in ([], ["--camera", "a"]):
        assert dlq(stage, "replay", *words) == 2
        assert "give the ids of dead letters or frames, or --all" in capsys.readouterr().err
    assert dlq(stage, "replay", "0:1", "--all") == 2
    assert "give ids or --all, not both" in capsys.readouterr().err


def test_where_nobody_can_answer_it_is_not_put_back_unasked(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    for words, frames in ((["--all"], "3 frames"), (["0:0"], "1 frame")):
        assert dlq(stage, "replay", *words) == 2
        assert f"not a terminal: add --yes to put {frames} back, or --dry-run\n" in capsys.readouterr().err
    assert put_back(stage) == []


def test_a_replay_of_nothing_says_so(stage: Stage, capsys: Capture) -> None:
    assert dlq(stage, "replay", "--all") == 0
    assert capsys.readouterr().err == "nothing to put back: no dead letters\n"
    three_dead(stage)
    for flag in ("--yes", "--dry-run"):
        assert dlq(stage, "replay", "--all", "--camera", "c", flag) == 0
        assert capsys.readouterr() == ("", "nothing to put back: none of the 3 dead letters matches\n")


def test_an_id_that_the_filters_leave_out_is_told(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    assert dlq(stage, "replay", "0:0", "b/test/0", "--camera", "a", "--yes") == 1
    err = capsys.readouterr().err
    assert err == (
        f"b/test/0 is there, but the filters leave it out\n1 was put back on {stage.topics.frames}; 1 could not\n"
    )
    assert [frame.frame_id for frame in put_back(stage)] == ["a/test/0"]
    assert dlq(stage, "replay", "0:2", "--yes") == 0
    assert capsys.readouterr().err == f"1 was put back on {stage.topics.frames}\n"


def test_a_dry_run_tells_programs_what_it_would_do(stage: Stage, capsys: Capture) -> None:
    three_dead(stage)
    figures = replayed(stage, capsys, "--all", "--dry-run")
    assert (figures["would_be_replayed"], figures["replayed"], figures["groups"]) == (3, 0, {"g": 2, "h": 1})


def test_a_dry_run_that_leaves_all_out_shows_no_table(stage: Stage, capsys: Capture) -> None:
    stage.feed(camera_frames("a", 1, data=jpeg(1, 400)))
    consume_all(stage.settings(group="first", max_frame_pixels=100_000))
    assert replayed(stage, capsys, "--all")["replayed"] == 1
    consume_all(stage.settings(group="first"))
    capsys.readouterr()
    assert dlq(stage, "replay", "--all", "--dry-run") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"nothing would be put back on {stage.topics.frames}; 1 left out, which has a result by now")


@pytest.mark.parametrize(("answer", "code", "count"), [("n\n", 1, 0), ("\n", 1, 0), ("y\n", 0, 3), (None, 0, 3)])
def test_at_a_terminal_it_asks(stage: Stage, answer: str | None, code: int, count: int) -> None:
    """`answer` None gives --yes, and nothing is asked."""
    three_dead(stage)
    ours, theirs = pty.openpty()
    flags = ["--yes"] if answer is None else []
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", "dlq", "replay", "--all", *flags, *stage.flags()],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        said = b""
        while answer is not None and b"[y/N]" not in said:
            said += os.read(ours, 4096)
        if answer is not None:
            assert b"put 3 frames back" in said
            assert b"for g, h" in said
            os.write(ours, answer.encode())
        assert process.wait(DEADLINE_S) == code
    finally:
        process.kill()
        process.communicate()
        os.close(ours)
    assert len(put_back(stage)) == count


def test_many_large_ones_do_not_pile_up_in_memory(stage: Stage, capsys: Capture) -> None:
    """More bytes than are ever handed to Kafka at a time come back, each once and in order."""
    stage.feed(camera_frames("a", 30, data=bytes(1_000_000)))
    send(stage, stage.topics.dead_letters, *(dead(frame) for frame in frames_of(stage)))
    assert replayed(stage, capsys, "--all")["replayed"] == 30
    assert [frame.sequence for frame in put_back(stage)] == list(range(30))
