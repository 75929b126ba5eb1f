"""`streamer frame` and `streamer trace` as a user runs them, on a real broker."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from PIL import Image

from messaging.cloudevents import Message
from messaging.dead_letter import read_dead_letter, write_dead_letter, write_replay
from messaging.frame import Frame, read_frame
from messaging.outcome import LATENCY_PARTS, FrameLocation, Outcome, camera_source, group_source, write_outcome
from messaging.timestamps import format_us, now_us
from messaging.trace_context import trace_id
from streamer.cli.main import main
from streamer.evidence import EvidenceError, FrameUnknownError, find_way
from tests.fakes.waiting import DEADLINE_S
from tests.fakes.ways import classified, skipped, timed
from tests.integration.stage import Stage, camera_frames, consume_all, jpeg

pytestmark = pytest.mark.broker

Capture = pytest.CaptureFixture[str]
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202e\r\nforged line"
NO_CONTROL = re.compile(r"[^\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]*")
HOUR_US = 3600 * 1_000_000


def send(stage: Stage, topic: str, *messages: Message, timestamp_ms: int | None = None) -> None:
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for message in messages:
            producer.send(topic, message.value, message.key, message.headers, timestamp_ms=timestamp_ms)
        producer.flush(DEADLINE_S)


def fed(stage: Stage, *frames: Frame) -> list[Frame]:
    """Frames as they stand in the log after they were sent, in the order of their ids."""
    stage.feed(list(frames))
    return sorted(map(read_frame, stage.records(stage.topics.frames)), key=lambda frame: frame.frame_id)


def result(frame: Frame, outcome: Outcome) -> Message:
    source = group_source(outcome.group) if outcome.group is not None else camera_source(outcome.camera)
    return write_outcome(outcome, frame.frame_id, source, now_us(), frame.traceparent)


def dead(
    frame: Frame, group: str = "g", reason: str = "inference-failed", *, max_message_bytes: int = 10**7
) -> Message:
    return write_dead_letter(frame, group, reason, f"it is {reason}", max_message_bytes=max_message_bytes)


def answer(stage: Stage, frame: Frame, *outcomes: Outcome) -> None:
    send(stage, stage.topics.results, *(result(frame, outcome) for outcome in outcomes))


def run(stage: Stage, command: str, *words: str) -> int:
    return main([command, *stage.flags(), *words])


def facts(stage: Stage, capsys: Capture, frame_id: str, *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert run(stage, "trace", frame_id, "--json", *words) == 0
    shown: dict[str, Any] = json.loads(capsys.readouterr().out)
    return shown


def statuses(way: dict[str, Any]) -> dict[str | None, list[str]]:
    """By group, what was said about the frame, the last one last."""
    return {
        each["group"]: [outcome["status"] for outcome in (*each["earlier"], each["outcome"])] for each in way["groups"]
    }


def remove_records(stage: Stage, topic: str, places: Iterable[tuple[int, int]]) -> None:
    with closing(stage.cluster.admin()) as admin:
        admin.delete_records({TopicPartition(topic, partition): before for partition, before in places})


# -- what the consumer really writes ----------------------------------------------------------------


def test_a_frame_that_was_classified_is_shown_with_its_picture_and_its_way(
    stage: Stage, capsys: Capture, tmp_path: Path
) -> None:
    good, bad = camera_frames("site/line-1", 3), camera_frames("site/line-2", 1, data=b"no picture")
    stage.feed(good + bad)
    consume_all(stage.settings(group="first"))
    consume_all(stage.settings(group="second"))
    frame, picture = good[1], tmp_path / "frame.png"
    capsys.readouterr()
    assert run(stage, "frame", frame.frame_id, "-o", str(picture), "--group", "second") == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == f"frame {frame.frame_id}, captured {format_us(frame.captured_at_us)}"
    for group in ("first", "second"):
        assert re.search(rf"^group {group}: classified as \w+, [01]\.\d{{3}} .*\(\d+\.\d ms\)$", out, re.MULTILINE)
    assert f"jpeg 64×64, {len(frame.data)} bytes" in out
    assert "bytes written to" in err
    with Image.open(picture) as drawn:
        assert drawn.format == "PNG"
        assert drawn.height > 64
    way = facts(stage, capsys, frame.frame_id)
    assert statuses(way) == {"first": ["classified"], "second": ["classified"]}
    assert way["trace_id"] == trace_id(frame.traceparent)
    assert (way["camera"], way["captured_at"]) == ("site/line-1", format_us(frame.captured_at_us))
    (place,) = way["frames"]
    for group in way["groups"]:
        outcome = group["outcome"]
        parts = outcome["latency_ms"]
        assert sum(time_ms for name, time_ms in parts.items() if name != "total") == pytest.approx(parts["total"])
        assert {name: place[name] for name in ("topic", "partition", "offset")} == outcome["source"]
    assert facts(stage, capsys, bad[0].frame_id)["groups"][0]["outcome"]["reason"] == "not-an-image"


# -- frame -----------------------------------------------------------------------------------------


def test_every_group_and_every_outcome_is_told(stage: Stage, capsys: Capture) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    answer(stage, frame, classified(frame), timed(frame, "t"), skipped(frame, "too-old", "s"))
    send(stage, stage.topics.dead_letters, dead(frame, "d"))
    assert run(stage, "frame", frame.frame_id) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "group d: dead-lettered, inference-failed: it is inference-failed",
        "group g: classified as scratch, 0.983 (18.0 ms)",
        "group s: skipped, too-old",
        "group t: timed (18.0 ms)",
        f"{frame.topic}-{frame.partition} offset {frame.offset}: jpeg 64×64, {len(frame.data)} bytes",
    ]


def test_the_picture_is_that_of_the_group(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    answer(stage, frame, classified(frame), skipped(frame, "too-old", "s"))
    pictures = {}
    for name, flags in (("newest", []), ("g", ["--group", "g"]), ("s", ["--group", "s"])):
        path = tmp_path / f"{name}.bmp"
        assert run(stage, "frame", frame.frame_id, "-o", str(path), *flags) == 0
        err = capsys.readouterr().err
        assert ("group g said: --group chooses another" in err) == (name == "newest")
        pictures[name] = path.read_bytes()
    assert pictures["newest"] == pictures["g"] != pictures["s"]
    assert run(stage, "frame", frame.frame_id, "--group", "nobody") == 1
    assert capsys.readouterr().err == "streamer: group nobody has no outcome of this frame; groups that have: g, s\n"


def test_the_bytes_as_they_are(stage: Stage, capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    answer(stage, frame, classified(frame))
    raw = tmp_path / "anything"
    assert run(stage, "frame", frame.frame_id, "--raw", "-o", str(raw)) == 0
    assert raw.read_bytes() == frame.data
    capfdbinary.readouterr()
    assert run(stage, "frame", frame.frame_id, "--raw", "-o", "-") == 0
    assert capfdbinary.readouterr() == (frame.data, b"")
    assert run(stage, "frame", frame.frame_id, "-o", "-") == 0
    out, err = capfdbinary.readouterr()
    assert err == b""
    with Image.open(BytesIO(out)) as drawn:
        assert drawn.format == "JPEG"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["-o", "x.txt"], "-o takes a name that ends in .jpg, .jpeg, .png, .webp, .bmp"),
        (["-o", "x"], "-o takes a name that ends in"),
        (["-o", "there.png"], "there.png is there already: --force overwrites it"),
        (["-o", "nowhere/x.png"], "there is no directory nowhere"),
        (["-o", "-", "--json"], "-o - and --json both take standard output"),
        (["--raw"], "--raw needs -o FILE"),
        (["--since", "5"], "--since: give how long ago"),
    ],
    ids=" ".join,
)
def test_wrong_use_is_one_line_before_anything_is_read(
    words: list[str], complaint: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.png").touch()
    assert main(["frame", "a/s/1", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert complaint in err
    assert err.count("\n") == 1


def test_bytes_are_not_for_a_terminal() -> None:
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "streamer", "frame", "a/s/1", "-o", "-"],
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


def test_what_retention_has_removed_is_one_line(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    answer(stage, frame, classified(frame))
    remove_records(stage, frame.topic, [(frame.partition, frame.offset + 1)])
    assert run(stage, "frame", frame.frame_id) == 0
    place = f"{frame.topic}-{frame.partition} offset {frame.offset}"
    assert f"{place}: gone, retention has removed it\n" in capsys.readouterr().out
    assert run(stage, "frame", frame.frame_id, "-o", str(tmp_path / "x.jpg")) == 1
    assert capsys.readouterr().err == (
        f"streamer: the picture of frame {frame.frame_id} cannot be had: retention has removed it ({place})\n"
    )
    assert not (tmp_path / "x.jpg").exists()


def test_a_dead_letter_holds_the_picture_when_the_frame_is_gone(stage: Stage, tmp_path: Path) -> None:
    frames = fed(stage, *camera_frames("a", 2))
    send(stage, stage.topics.dead_letters, dead(frames[0]), dead(frames[1], max_message_bytes=0))
    raw = tmp_path / "raw"
    # Its bytes stayed behind, where the frame is.
    assert run(stage, "frame", frames[1].frame_id, "--raw", "-o", str(raw)) == 0
    assert raw.read_bytes() == frames[1].data
    remove_records(stage, frames[0].topic, {(frame.partition, frames[1].offset + 1) for frame in frames})
    assert run(stage, "frame", frames[0].frame_id, "--raw", "--force", "-o", str(raw)) == 0
    assert raw.read_bytes() == frames[0].data
    assert run(stage, "frame", frames[0].frame_id, "-o", str(tmp_path / "drawn.jpg")) == 0
    assert run(stage, "frame", frames[1].frame_id, "--raw", "--force", "-o", str(raw)) == 1


def test_a_broken_picture_is_one_line_and_its_bytes_can_be_had(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1, data=jpeg()[:-200]))
    send(stage, stage.topics.dead_letters, dead(frame, reason="truncated"))
    assert run(stage, "frame", frame.frame_id, "-o", str(tmp_path / "x.png")) == 1
    err = capsys.readouterr().err
    assert err.startswith("streamer: nothing can be drawn on the picture, truncated: ")
    assert err.count("\n") == 1
    assert not (tmp_path / "x.png").exists()
    assert run(stage, "frame", frame.frame_id, "--raw", "-o", str(tmp_path / "x")) == 0


def test_a_frame_that_its_camera_gave_up_was_never_sent(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = camera_frames("a", 1)
    answer(stage, frame, skipped(frame, "camera-buffer-full"))
    assert run(stage, "frame", frame.frame_id, "-o", str(tmp_path / "x.png")) == 1
    out, err = capsys.readouterr()
    assert "the camera: skipped, camera-buffer-full" in out
    assert err == (f"streamer: frame {frame.frame_id} has no picture: its camera gave it up and never sent it\n")
    assert statuses(facts(stage, capsys, frame.frame_id)) == {None: ["skipped"]}


def test_an_outcome_does_not_make_us_read_another_topic(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    source = FrameLocation(stage.topics.status, frame.partition, frame.offset)
    forged = replace(frame, topic=stage.topics.status)
    answer(stage, forged, classified(forged))
    assert classified(forged).source == source
    assert run(stage, "frame", frame.frame_id, "--raw", "-o", str(tmp_path / "x")) == 1
    assert "name that with --frames-topic" in capsys.readouterr().err


def test_another_frame_at_the_place_is_not_taken_for_it(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    first, second = fed(stage, *camera_frames("a", 2))
    claim = replace(first, partition=second.partition, offset=second.offset)
    answer(stage, first, classified(claim))
    assert run(stage, "frame", first.frame_id, "--raw", "-o", str(tmp_path / "x")) == 1
    assert "another frame stands there by now" in capsys.readouterr().err


# -- trace -----------------------------------------------------------------------------------------


def test_the_way_is_a_tree_with_a_bar_for_each_part(stage: Stage, capsys: Capture) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    answer(stage, frame, classified(frame), timed(frame, "t"))
    capsys.readouterr()
    assert run(stage, "trace", frame.frame_id) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"frame {frame.frame_id}"
    assert f"├─ trace {trace_id(frame.traceparent)}" in lines
    begin = next(number for number, line in enumerate(lines) if "group g: classified as scratch" in line)
    parts = {words[2]: float(words[3]) for words in (line.split() for line in lines[begin + 1 : begin + 7])}
    assert parts == dict(zip(LATENCY_PARTS, (4.1, 8.0, 0.6, 0.1, 5.2, 0.0), strict=True))
    assert "█" in "".join(lines[begin + 1 : begin + 8])
    assert any("batch of 3 in 8 places" in line for line in lines)
    assert any("└─ group t: timed" in line for line in lines)


def test_of_repeated_and_replayed_outcomes_the_last_counts(stage: Stage, capsys: Capture) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    send(stage, stage.topics.dead_letters, dead(frame))
    answer(stage, frame, classified(frame, "h"), classified(frame, "h"))
    assert statuses(facts(stage, capsys, frame.frame_id)) == {"g": ["dead-lettered"], "h": ["classified"] * 2}
    (letter,) = stage.records(stage.topics.dead_letters)
    send(stage, stage.topics.frames, write_replay(letter, 1))
    back = next(each for each in map(read_frame, stage.records(stage.topics.frames)) if each.replay)
    # Its clock is behind: the place in the log decides.
    again = result(frame, classified(replace(back, captured_at_us=frame.captured_at_us), label="dent"))
    send(stage, stage.topics.results, again, timestamp_ms=now_us() // 1000 - 5000)
    way = facts(stage, capsys, frame.frame_id)
    assert statuses(way) == {"g": ["dead-lettered", "classified"], "h": ["classified"] * 2}
    assert [(each["replay"], each["replay_for"]) for each in way["frames"]] == [(0, None), (1, "g")]
    assert run(stage, "trace", frame.frame_id) == 0
    out = capsys.readouterr().out
    assert "group g: classified as dent" in out
    assert "before it was put back: dead-lettered, inference-failed" in out
    assert "repeated: classified as scratch" in out
    assert "put back for group g (replay 1)" in out


def test_a_frame_that_waits_is_found_where_it_stands(stage: Stage, capsys: Capture) -> None:
    frames = fed(stage, *camera_frames("a", 200, data=b"x"))
    send(stage, stage.topics.frames, Message(b"other", b"", []))
    for frame in (frames[0], frames[150]):
        assert run(stage, "trace", frame.frame_id) == 0
        out = capsys.readouterr().out
        assert f"{frame.topic}-{frame.partition} offset {frame.offset}: no picture, 1 bytes" in out
        assert "no group has an outcome of it yet" in out


def test_a_frame_of_another_producer_is_found_by_its_place(stage: Stage, capsys: Capture) -> None:
    send(stage, stage.topics.frames, Message(b"door/2", jpeg(), []), Message(b"x", b"", [("ce_id", b"uuid-5")]))
    records = {record.key: record for record in stage.records(stage.topics.frames)}
    frame = read_frame(records[b"door/2"])
    assert frame.frame_id == f"door/2/{frame.topic}-{frame.partition}/{frame.offset}"
    assert len(facts(stage, capsys, frame.frame_id)["frames"]) == 1
    assert run(stage, "trace", frame.frame_id.replace("door/2", "door/3")) == 1
    consume_all(stage.settings(group="g"))
    assert statuses(facts(stage, capsys, frame.frame_id)) == {"g": ["classified"]}
    way = facts(stage, capsys, "uuid-5")
    assert (statuses(way), way["camera"]) == ({"g": ["dead-lettered"]}, "x")


def test_an_id_that_does_not_name_its_camera_is_sought_everywhere(stage: Stage, capsys: Capture) -> None:
    frames = [replace(frame, camera=f"camera-{n}") for n, frame in enumerate(camera_frames("misleading", 8))]
    assert len({frame.partition for frame in fed(stage, *frames)}) > 2
    for frame in map(read_frame, stage.records(stage.topics.frames)):
        answer(stage, frame, classified(frame))
        assert statuses(facts(stage, capsys, frame.frame_id)) == {"g": ["classified"]}


def test_an_old_outcome_is_found_behind_thousands_of_others(stage: Stage, capsys: Capture) -> None:
    frame, other = (replace(each, topic="gone", partition=0, offset=0) for each in camera_frames("a", 2))
    frame.captured_at_us -= 2 * HOUR_US
    early_ms = frame.captured_at_us // 1000
    # A group an hour before the other one, which is found first, and both behind what came since.
    send(stage, stage.topics.results, result(frame, classified(frame, "early")), timestamp_ms=early_ms)
    send(stage, stage.topics.results, *[result(other, classified(other))] * 50, timestamp_ms=early_ms + 1000)
    send(stage, stage.topics.results, result(frame, classified(frame, "late")), timestamp_ms=early_ms + 3_600_000)
    send(stage, stage.topics.results, *[result(other, classified(other))] * 3500)
    way = facts(stage, capsys, frame.frame_id)
    assert statuses(way) == {"early": ["classified"], "late": ["classified"]}
    assert statuses(facts(stage, capsys, frame.frame_id, "--since", "90m")) == {"late": ["classified"]}
    assert run(stage, "trace", frame.frame_id, "--since", "30m") == 1
    assert "since then" in capsys.readouterr().err
    # One that is repeated for ever does not fill the memory; what is older than its frame is no outcome of that.
    way = facts(stage, capsys, other.frame_id)
    (group,) = way["groups"]
    assert len(group["earlier"]) + 1 + way["left_out"] == 3500
    assert len(group["earlier"]) < 100


def test_reading_back_is_told_and_stops_at_the_frame_s_time(stage: Stage) -> None:
    old, new = (replace(each, topic="gone", partition=0, offset=0) for each in camera_frames("a", 2))
    old.captured_at_us -= HOUR_US
    noise = [result(old, classified(old))] * 4000
    send(stage, stage.topics.results, *noise, timestamp_ms=old.captured_at_us // 1000)
    answer(stage, new, classified(new))
    told: list[tuple[int, int]] = []
    find_way(stage.cluster, stage.topics, new.frame_id, on_progress=lambda *progress: told.append(progress))
    assert 0 < told[-1][0] <= 1000, "the newest piece alone"
    assert all(0 < done <= total for done, total in told)


def test_what_is_no_outcome_is_left_out(stage: Stage, capsys: Capture) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1))
    identity = [("ce_id", frame.frame_id.encode())]
    for topic in (stage.topics.results, stage.topics.dead_letters):
        send(stage, topic, Message(b"a", b"junk", identity), Message(b"a", b"", identity), Message(b"a", b"", []))
    answer(stage, frame, classified(frame))
    assert statuses(facts(stage, capsys, frame.frame_id)) == {"g": ["classified"]}


def test_nothing_is_known_of_it(stage: Stage, capsys: Capture) -> None:
    fed(stage, *camera_frames("a", 1))
    for command in ("frame", "trace"):
        for identity in ("a/test/9", "x", "/", f"a/{stage.topics.frames}-0/7", "a/b-999999999/1", HOSTILE):
            assert run(stage, command, identity) == 1
            out, err = capsys.readouterr()
            assert out == ""
            *notes, last = err.splitlines()
            assert last.startswith("streamer: nothing is known of a frame ")
            assert "ids look like gate/64b1…/42" in last
            # Said before the search, which is a long one.
            assert len(notes) == (0 if identity.count("/") == 2 else 1)
            assert all(note.startswith("cameras' ids look like gate/64b1…/42, and ") for note in notes)
            assert NO_CONTROL.fullmatch(err)
    with pytest.raises(FrameUnknownError) as caught:
        find_way(stage.cluster, stage.topics, "a/test/9")
    assert isinstance(caught.value, EvidenceError)


def test_names_from_outside_command_no_terminal(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (sent,) = camera_frames("a", 1)
    hostile = replace(sent, camera=HOSTILE, frame_id=f"{HOSTILE}/s/0")
    (frame,) = fed(stage, hostile)
    outcome = classified(frame, HOSTILE, label=HOSTILE, truth=HOSTILE)
    answer(stage, frame, outcome, skipped(frame, HOSTILE, "s"))
    send(stage, stage.topics.dead_letters, dead(frame, f"dead{HOSTILE}", HOSTILE), timestamp_ms=2**62)
    shown = f"{HOSTILE}/s/0".encode("ascii", "backslashreplace").decode().replace("\\u202e", "\\x202e")
    shown = shown.replace("\r", "\\x0d").replace("\n", "\\x0a").replace("\x07", "\\x07").replace("\x1b", "\\x1b")
    for identity in (frame.frame_id, shown):
        for words in (["frame"], ["trace"], ["trace", "--json"], ["frame", "--json"]):
            assert run(stage, words[0], identity, *words[1:]) == 0
            out, err = capsys.readouterr()
            assert "owned" in out
            assert NO_CONTROL.fullmatch(out)
            assert NO_CONTROL.fullmatch(err)
            if "--json" in words:
                assert out.isascii()
                assert json.loads(out)["frame_id"] == frame.frame_id
    assert run(stage, "frame", frame.frame_id, "-o", str(tmp_path / "x.jpg")) == 0
    assert NO_CONTROL.fullmatch("".join(capsys.readouterr()))


def test_a_missing_topic_is_one_line(stage: Stage, capsys: Capture) -> None:
    for command in ("frame", "trace"):
        assert run(stage, command, "a/s/1", "--dead-letter-topic", "nowhere") == 1
        out, err = capsys.readouterr()
        assert out == ""
        assert err == "streamer: there is no topic nowhere: run `streamer topics create`, or start a camera\n"


def test_an_empty_frame_has_no_bytes_to_write(stage: Stage, capsys: Capture, tmp_path: Path) -> None:
    (frame,) = fed(stage, *camera_frames("a", 1, data=b""))
    send(stage, stage.topics.dead_letters, dead(frame, reason="empty"))
    assert read_dead_letter(stage.records(stage.topics.dead_letters)[0]).reason == "empty"
    assert run(stage, "frame", frame.frame_id, "--raw", "-o", str(tmp_path / "x")) == 1
    assert "it is empty" in capsys.readouterr().err
