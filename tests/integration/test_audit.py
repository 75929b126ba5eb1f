"""The audit on a real broker: what cameras and consumers wrote, and what was done to it afterwards."""

import itertools
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from threading import Event, Thread
from typing import Any

import pytest
from kafka import TopicPartition

from messaging.cloudevents import Message, replace_headers
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import partition_of
from messaging.outcome import Skipped, camera_source, write_outcome
from messaging.status import CameraStatus, WorkerStatus, read_status, write_status
from messaging.timestamps import format_us, now_us
from messaging.topics import TopicPlan, create_topics
from messaging.trace_context import new_traceparent
from streamer.audit import CameraNotFoundError, GroupNotFoundError, GroupReport, audit
from streamer.cli.main import main
from streamer.compose import classifier_of, consumer_of
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, consume_all, running

pytestmark = pytest.mark.broker


def send(stage: Stage, topic: str, *messages: Any) -> None:
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for message in messages:
            producer.send(topic, message.value, message.key, message.headers)
        producer.flush(DEADLINE_S)


def say_status(stage: Stage, camera: str, captured: int, *, state: str = "stopped", sent: int | None = None) -> None:
    status = CameraStatus(
        camera=camera,
        session="test",
        source="synthetic",
        state=state,
        captured=captured,
        sent=captured if sent is None else sent,
        shed={},
        fps_declared=25.0,
        fps_delivered=25.0,
        reconnects=0,
        updated_at=format_us(now_us()),
    )
    send(stage, stage.topics.status, write_status(status, 0, now_us()))


def consumed(stage: Stage, cameras: tuple[str, ...] = ("a", "b"), count: int = 30) -> str:
    """Let a real consumer classify frames of these cameras, which have ended; return its group."""
    stage.feed([frame for camera in cameras for frame in camera_frames(camera, count)])
    for camera in cameras:
        say_status(stage, camera, count)
    settings = stage.settings()
    consume_all(settings)
    return settings.group or ""


def the_group(stage: Stage, group: str | None = None) -> GroupReport:
    report = audit(stage.cluster, stage.topics, [group] if group else None)
    (found,) = report.groups
    answered = found.classified + found.timed + found.skipped + found.dead_lettered
    assert answered + found.in_flight + found.unsent + found.not_checkable + found.missing == found.published
    return found


def copy_results(stage: Stage, of: Stage, choose: Callable[[Any], int]) -> None:
    """Copy each result `choose(record)` times to another results topic: lost ones 0, repeated ones 2."""
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for record in of.records(of.topics.results):
            for _ in range(choose(record)):
                producer.send(stage.topics.results, record.value, record.key, record.headers)
        producer.flush(DEADLINE_S)


def other_results(stage: Stage) -> Stage:
    """The same topics with another one for results, still empty."""
    topics = replace(stage.topics, results=f"{stage.topics.results}-copy")
    create_topics(stage.cluster, TopicPlan(topics, partitions=4))
    return Stage(stage.cluster, topics)


def ce_id(record: Any) -> str:
    return str(dict(record.headers)["ce_id"], "utf-8")


def test_what_a_consumer_did_is_conserved(stage: Stage) -> None:
    stage.feed(camera_frames("bad", 3, data=b"no picture"))
    say_status(stage, "bad", 3)
    group = consumed(stage)
    found = the_group(stage)
    assert found.group == group
    assert (found.published, found.classified, found.dead_lettered) == (63, 60, 3)
    assert found.dead_letter_reasons == {"not-an-image": 3}
    assert (found.missing, found.duplicates, found.in_flight) == (0, 0, 0)
    assert [(row.camera, row.published) for row in found.cameras] == [("a", 30), ("b", 30), ("bad", 3)]
    assert found.accuracy == 0  # the truths of these frames are made up


def test_frames_without_a_status_are_compared_by_their_place(stage: Stage) -> None:
    stage.feed(camera_frames("a", 20))
    consume_all(stage.settings())
    found = the_group(stage)
    assert (found.published, found.classified, found.missing) == (20, 20, 0)


def test_a_lost_result_is_missing_and_a_repeated_one_a_duplicate(stage: Stage) -> None:
    consumed(stage)
    hurt = other_results(stage)
    counts = {frame_id("a", "test", 7): 0, frame_id("b", "test", 3): 2, frame_id("b", "test", 29): 0}
    copy_results(hurt, stage, lambda record: counts.get(ce_id(record), 1))
    found = the_group(hurt)
    assert (found.missing, found.missing_ids) == (2, ["a/test/7", "b/test/29"])
    assert (found.duplicates, found.duplicate_ids) == (1, ["b/test/3"])
    assert found.classified == 58


def test_frames_that_no_one_has_taken_yet_are_in_flight(stage: Stage) -> None:
    consumed(stage)
    stage.feed([frame for frame in camera_frames("a", 50) if frame.sequence >= 30])
    say_status(stage, "a", 50)
    found = the_group(stage)
    assert (found.published, found.classified, found.in_flight, found.missing) == (80, 60, 20, 0)


def has_assignment(stage: Stage, group: str) -> bool:
    """Tell whether a worker of the group has said where it begins in each partition."""
    statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
    workers = [status for status in statuses if isinstance(status, WorkerStatus) and status.group == group]
    return bool(workers) and len(workers[-1].first_offsets) == 4


def test_a_group_that_came_later_answers_for_what_follows_and_both_are_named(stage: Stage) -> None:
    early = consumed(stage)
    settings = stage.settings(start="latest")
    late = settings.group or ""
    classifier = classifier_of(settings)
    try:
        with running(consumer_of(settings, classifier)):
            wait_until(lambda: has_assignment(stage, late), "the assignment")
            stage.feed([frame for frame in camera_frames("a", 50) if frame.sequence >= 30])
            say_status(stage, "a", 50)
            wait_until(lambda: len(stage.results()) == 80, "the late group's results")
    finally:
        classifier.backend.close()
    found = {group.group: group for group in audit(stage.cluster, stage.topics).groups}
    assert set(found) == {early, late}
    assert (found[late].published, found[late].classified, found[late].missing) == (20, 20, 0)
    assert (found[early].published, found[early].classified, found[early].in_flight) == (80, 60, 20)


def test_what_a_camera_gave_up_or_took_with_it(stage: Stage) -> None:
    frames = camera_frames("a", 20)
    stage.feed([frame for frame in frames if frame.sequence < 10 or 15 <= frame.sequence < 18])
    given_up = [
        Skipped(camera="a", sequence=n, captured_at=format_us(now_us()), reason="camera-buffer-full")
        for n in range(10, 15)
    ]
    send(
        stage,
        stage.topics.results,
        *(
            write_outcome(s, frame_id("a", "test", s.sequence), camera_source("a"), now_us(), new_traceparent())
            for s in given_up
        ),
    )
    say_status(stage, "a", 20, state="running", sent=13)
    consume_all(stage.settings())
    found = the_group(stage)
    assert (found.classified, found.skipped_reasons) == (13, {"camera-buffer-full": 5})
    assert (found.unsent, found.unsent_ranges, found.missing) == (2, ["a/test/18-19"], 0)
    say_status(stage, "a", 20)
    assert (the_group(stage).unsent, the_group(stage).missing) == (0, 2)


def test_what_retention_has_removed_is_not_checkable(stage: Stage) -> None:
    group = consumed(stage)
    partition = partition_of(b"a", 4)
    with closing(stage.cluster.admin()) as admin:
        admin.delete_records({TopicPartition(stage.topics.frames, partition): 10})
    kept = other_results(stage)
    copy_results(kept, stage, lambda record: int(ce_id(record) not in {"a/test/2", "a/test/25"}))
    found = the_group(kept, group)
    assert (found.not_checkable, found.missing_ids) == (1, ["a/test/25"])


def test_a_replayed_dead_letter_ends_where_its_last_outcome_is(stage: Stage) -> None:
    good, bad = camera_frames("a", 2)
    bad.data = b"no picture"
    stage.feed([good, bad])
    say_status(stage, "a", 2)
    settings = stage.settings()
    consume_all(settings)
    other = consume_all(stage.settings(group=f"{settings.group}-other"))
    assert other.counts.frames["dead-lettered"] == 1
    key, value, headers, _ = write_frame(good)
    names = {"ce_id": bad.frame_id.encode(), "ce_sequence": b"1", "ce_replayfor": (settings.group or "").encode()}
    replay = Message(key, value, replace_headers(headers, names | {"ce_replay": b"1"}))
    send(stage, stage.topics.frames, replay)
    waiting = the_group(stage, settings.group)
    assert (waiting.published, waiting.in_flight) == (2, 1)
    consume_all(settings)
    mine, others = the_group(stage, settings.group), the_group(stage, f"{settings.group}-other")
    assert (mine.classified, mine.dead_lettered, mine.duplicates, mine.missing) == (2, 0, 0, 0)
    assert (others.classified, others.dead_lettered, others.missing) == (1, 1, 0)


def test_groups_of_another_frames_topic_are_none_of_this_audits(stage: Stage) -> None:
    group = consumed(stage)
    other = other_results(stage)
    copy_results(other, stage, lambda _: 1)
    elsewhere = Stage(other.cluster, replace(other.topics, frames=f"{stage.topics.frames}-2"))
    create_topics(stage.cluster, TopicPlan(elsewhere.topics))
    assert audit(elsewhere.cluster, elsewhere.topics).groups == []
    assert the_group(other).group == group


def test_records_of_others_are_left_out_and_counted(stage: Stage) -> None:
    consumed(stage)
    junk = [Message(b"a", value, []) for value in (b"", b"{}", b"\xff\xfe", b'{"status": "classified"}', b"[" * 9000)]
    send(stage, stage.topics.results, *junk)
    send(stage, stage.topics.dead_letters, *junk)
    send(stage, stage.topics.status, *junk)
    report = audit(stage.cluster, stage.topics)
    assert report.is_conserved
    assert report.groups[0].classified == 60
    assert report.unreadable == 15


def test_a_camera_or_group_that_is_nowhere(stage: Stage) -> None:
    consumed(stage)
    with pytest.raises(GroupNotFoundError, match="group nobody has no results"):
        audit(stage.cluster, stage.topics, ["nobody"])
    with pytest.raises(CameraNotFoundError, match="camera c is found"):
        audit(stage.cluster, stage.topics, camera="c")
    (found,) = audit(stage.cluster, stage.topics, camera="a").groups
    assert [row.camera for row in found.cameras] == ["a"]


def test_the_command(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    group = consumed(stage)
    assert main(["audit", *stage.flags()]) == 0
    shown = capsys.readouterr().out
    assert f"group {group}" in shown
    assert "ok: no outcome is missing" in shown
    hurt = other_results(stage)
    copy_results(hurt, stage, lambda record: int(ce_id(record) != "a/test/7"))
    assert main(["audit", *hurt.flags(), "--json"]) == 1
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["conserved"] is False
    (found,) = report["groups"]
    assert (found["published"], found["classified"], found["missing"]) == (60, 59, 1)
    assert found["missing_ids"] == ["a/test/7"]
    assert {row["camera"]: row["missing"] for row in found["cameras"]} == {"a": 1, "b": 0}
    assert main(["audit", *hurt.flags()]) == 1
    assert "MISSING: 1 frame" in capsys.readouterr().out
    assert main(["audit", *stage.flags(), "--group", "nobody"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert "group nobody" in error


def test_nothing_to_audit_yet(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *stage.flags()]) == 0
    assert "no group has an outcome yet" in capsys.readouterr().out


def test_a_missing_topic_is_one_line(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *stage.flags(), "--frames-topic", "nowhere"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_live_system_is_never_said_to_miss_anything(stage: Stage) -> None:
    """Frames come and are classified while audits run: whatever moment they catch, nothing is lost."""
    settings = stage.settings()
    stop = Event()

    def feed() -> None:
        for sequence in itertools.count():
            if stop.is_set():
                break
            part = [
                Frame("a", "test", n, frame_id("a", "test", n), now_us(), picture, "image/jpeg", new_traceparent())
                for n in range(sequence * 20, sequence * 20 + 20)
            ]
            stage.feed(part)
            say_status(stage, "a", sequence * 20 + 20, state="running")

    picture = camera_frames("a", 1)[0].data
    classifier = classifier_of(settings)
    feeder = Thread(target=feed)
    try:
        with running(consumer_of(settings, classifier)):
            feeder.start()
            wait_until(lambda: len(stage.results()) > 20, "the first results")
            reports = [the_group(stage) for _ in range(10)]
            stop.set()
            feeder.join(DEADLINE_S)
    finally:
        stop.set()
        classifier.backend.close()
    assert [(report.missing, report.duplicates, report.unsent) for report in reports] == [(0, 0, 0)] * 10
    assert reports[-1].classified > reports[0].classified
