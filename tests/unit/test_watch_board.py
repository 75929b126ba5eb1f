"""All that was seen, put together."""

from typing import Any

from streamer.watch.board import Board
from streamer.watch.options import SiteOptions
from streamer.watch.views import DeadLetterView, LedgerView
from tests.fakes.records import TIME_US, record
from tests.fakes.watched import (
    JPEG,
    NOW_S,
    camera_status,
    dead_letter_record,
    frame_record,
    result_record,
    shed_record,
    status_record,
    worker_status,
)


def board(**options: Any) -> Board:
    return Board("frames", SiteOptions(**options), NOW_S - 60)


def now(*records: Any) -> list[tuple[Any, float]]:
    return [(each, NOW_S) for each in records]


def test_a_camera_with_status_picture_outcome_and_ledger() -> None:
    seen = board()
    seen.take_statuses([(status_record(camera_status()), NOW_S - 3)], NOW_S)
    seen.take_frames(now(frame_record(sequence=4)), NOW_S)
    seen.take_results(now(result_record(sequence=4), shed_record(sequence=3)), NOW_S)
    (camera,) = seen.cameras("", NOW_S)
    assert (camera.name, camera.status, camera.status_age_s) == ("line-1", camera_status(), 3.0)
    assert camera.outcome is not None
    assert camera.outcome.label == "bolt"
    assert camera.ledgers == {"g": LedgerView(1, 0, {"camera-buffer-full": 1}, {})}
    picture = seen.pictures({"line-1": 0}, 10_000, "", NOW_S)["line-1"]
    assert (picture.data, picture.captured_at_us) == (JPEG, TIME_US + 4)
    assert picture.outcome == camera.outcome
    assert camera.picture_number == picture.number


def test_cameras_that_only_send_frames_or_only_speak_of_themselves_are_there_too() -> None:
    seen = board()
    seen.take_frames(now(frame_record("b")), NOW_S)
    seen.take_statuses(now(status_record(camera_status("c"))), NOW_S)
    seen.take_results(now(result_record("a")), NOW_S)
    cameras = seen.cameras("", NOW_S)
    assert [camera.name for camera in cameras] == ["a", "b", "c"]
    assert [camera.status is None for camera in cameras] == [True, True, False]
    assert [camera.status_age_s for camera in cameras] == [None, None, 0.0]
    assert [camera.picture_number > 0 for camera in cameras] == [False, True, False]
    assert [camera.ledgers != {} for camera in cameras] == [True, False, False]


def test_an_outcome_that_is_read_before_its_frame_is_put_to_it() -> None:
    seen = board()
    seen.take_results(now(result_record(sequence=4)), NOW_S)
    seen.take_frames(now(frame_record(sequence=4)), NOW_S)
    picture = seen.pictures({"line-1": 0}, 10_000, "", NOW_S)["line-1"]
    assert picture.outcome is not None
    assert picture.outcome.sequence == 4


def test_outcomes_of_another_frames_topic_belong_to_no_picture() -> None:
    seen = Board("other-frames", SiteOptions(), NOW_S - 60)
    seen.take_results(now(result_record(sequence=4)), NOW_S)
    seen.take_frames(now(frame_record(sequence=4)), NOW_S)
    seen.take_results(now(result_record(sequence=4, group="h")), NOW_S)
    assert seen.pictures({"line-1": 0}, 10_000, "", NOW_S)["line-1"].outcome is None


def test_of_many_frames_that_come_at_once_the_newest_picture_of_each_camera_is_kept() -> None:
    seen = board()
    replay = frame_record(sequence=9)
    replay.headers.append(("ce_replayfor", b"g"))
    frames = [frame_record(camera, sequence) for sequence in range(5) for camera in ("a", "b")]
    seen.take_frames(now(*frames, replay, frame_record("a", 5, b"<script>"), frame_record("b", 5, b"")), NOW_S)
    pictures = seen.pictures({"a": 0, "b": 0, "line-1": 0}, 10_000, "", NOW_S)
    assert {camera: picture.frame_id for camera, picture in pictures.items()} == {"a": "a/s/4", "b": "b/s/4"}


def test_pictures_are_given_where_they_are_new_and_within_a_limit() -> None:
    seen = board()
    seen.take_frames(now(*(frame_record(camera, 0, JPEG + bytes(97)) for camera in "abc")), NOW_S)
    everything = dict.fromkeys("abc", 0)
    assert list(seen.pictures(everything, 300, "", NOW_S)) == ["a", "b", "c"]
    assert list(seen.pictures(everything, 299, "", NOW_S)) == ["a", "b"]
    assert list(seen.pictures(everything, 0, "", NOW_S)) == ["a"]
    number = seen.pictures({"b": 0}, 300, "", NOW_S)["b"].number
    assert list(seen.pictures(everything | {"b": number}, 300, "", NOW_S)) == ["a", "c"]
    assert list(seen.pictures({"b": number - 1, "nobody": 0}, 300, "", NOW_S)) == ["b"]


def test_dead_letters_are_outcomes_and_a_list_of_their_own() -> None:
    seen = board(dead_letters=2)
    seen.take_dead_letters(now(*(dead_letter_record(sequence=n, offset=n) for n in (1, 2, 3))), NOW_S)
    assert [letter.place for letter in seen.dead_letters(10)] == ["0:3", "0:2"]
    assert seen.dead_letters(1) == [
        DeadLetterView("0:3", "line-1", "line-1/s/3", "g", "truncated", "it ends early", TIME_US, len(b"bytes"))
    ]
    assert [outcome.status for outcome in seen.outcomes(10, 0)] == ["dead-lettered"] * 3
    (camera,) = seen.cameras("", NOW_S)
    assert camera.ledgers["g"].dead_lettered == {"truncated": 3}


def test_old_dead_letters_are_listed_and_not_counted() -> None:
    seen = board()
    seen.take_dead_letters([(dead_letter_record(), NOW_S - 3600)], NOW_S)
    assert len(seen.dead_letters(10)) == 1
    assert seen.outcomes(10, 0) == []
    assert seen.cameras("", NOW_S) == []


def test_groups_and_their_seconds() -> None:
    seen = board()
    seen.take_results(now(result_record(group="b"), result_record(group="a"), shed_record()), NOW_S)
    assert seen.groups() == ["a", "b"]
    assert [second.outcomes for second in seen.seconds("a", NOW_S + 2)] == [{"classified": 1}]
    assert seen.seconds("nobody", NOW_S + 2) == []


def test_workers_with_their_age() -> None:
    seen = board()
    records = [status_record(worker_status(slot=slot)) for slot in (1, 0)]
    seen.take_statuses([(each, NOW_S) for each in records], NOW_S)
    workers = seen.workers(NOW_S + 4)
    assert [(worker.name, worker.status.slot, worker.age_s) for worker in workers] == [
        ("g/h/0/0", 0, 4.0),
        ("g/h/0/1", 1, 4.0),
    ]


def test_what_has_no_room_is_left_out_and_counted() -> None:
    seen = board(cameras=2, groups=2, workers=1)
    seen.take_results(now(*(result_record(f"line-{number}") for number in range(5))), NOW_S)
    seen.take_results(now(*(result_record("line-0", group=f"group-{number}") for number in range(5))), NOW_S)
    seen.take_frames(now(*(frame_record(f"line-{number}") for number in range(5))), NOW_S)
    seen.take_statuses(now(*(status_record(worker_status(slot=slot)) for slot in range(3))), NOW_S)
    assert [camera.name for camera in seen.cameras("", NOW_S)] == ["line-0", "line-1"]
    assert list(seen.pictures({f"line-{number}": 0 for number in range(5)}, 10_000, "", NOW_S)) == ["line-0", "line-1"]
    assert seen.groups() == ["g", "group-0"]
    totals = seen.totals(passed_over=7)
    assert (totals.cameras_left_out, totals.groups_left_out, totals.workers_left_out) == (3, 4, 2)
    assert (totals.outcomes, totals.passed_over) == ({"classified": 3}, 7)
    assert len(seen.outcomes(100, 0)) == 3


def test_a_camera_has_a_ledger_for_each_group_that_has_room() -> None:
    seen = board(groups=40)
    seen.take_results(now(*(result_record(group=f"group-{number}") for number in range(50))), NOW_S)
    (camera,) = seen.cameras("", NOW_S)
    assert len(camera.ledgers) == 40
    assert seen.totals(0).groups_left_out == 10


def test_a_camera_or_group_that_was_silent_gives_way_with_all_that_is_its_own() -> None:
    seen = board(cameras=1, groups=1)
    seen.take_frames(now(frame_record("old")), NOW_S)
    seen.take_results(now(result_record("old", group="old")), NOW_S)
    seen.take_frames([(frame_record("new"), NOW_S + 61)], NOW_S + 61)
    seen.take_results([(result_record("new", group="new"), NOW_S + 61)], NOW_S + 61)
    (camera,) = seen.cameras("", NOW_S + 61)
    assert (camera.name, list(camera.ledgers)) == ("new", ["new"])
    assert seen.groups() == ["new"]
    assert list(seen.pictures({"old": 0, "new": 0}, 10_000, "", NOW_S + 61)) == ["new"]


def test_a_group_that_gave_way_leaves_no_ledger_behind() -> None:
    seen = board(groups=1)
    seen.take_results(now(result_record(group="old")), NOW_S)
    seen.take_results([(result_record(group="new"), NOW_S + 61)], NOW_S + 61)
    (camera,) = seen.cameras("", NOW_S + 61)
    assert list(camera.ledgers) == ["new"]


def test_what_is_nothing_of_ours_is_counted() -> None:
    seen = board()
    for take in (seen.take_results, seen.take_dead_letters, seen.take_statuses):
        take(now(record(value=b"something else")), NOW_S)
    assert seen.totals(0).unreadable == 3
    assert seen.outcomes(10, 0) == []


def test_pictures_go_when_nobody_looks() -> None:
    seen = board()
    seen.take_frames(now(frame_record()), NOW_S)
    seen.drop_pictures()
    assert seen.pictures({"line-1": 0}, 10_000, "", NOW_S) == {}
    assert [camera.picture_number for camera in seen.cameras("", NOW_S)] == [0]
