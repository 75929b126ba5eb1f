"""Pictures that wait for their outcomes."""

import tracemalloc

import pytest

from streamer.watch.pictures import Pictures
from streamer.watch.views import OutcomeView
from tests.fakes.watched import JPEG, NOW_S, frame, outcome_view

_MIB = 1024 * 1024


def shown(pictures: Pictures, now_s: float, group: str = "") -> tuple[str, OutcomeView | None]:
    picture = pictures.newest("line-1", group, now_s)
    assert picture is not None
    assert picture.number == pictures.number("line-1", group, now_s)
    return picture.frame_id, picture.outcome


def test_a_picture_is_shown_with_its_own_outcome_and_not_before_it() -> None:
    pictures = Pictures(_MIB)
    pictures.take(frame(sequence=0), NOW_S)
    assert shown(pictures, NOW_S) == ("line-1/s/0", None)  # it is the first, so something is to be seen at once
    first = outcome_view(sequence=0)
    pictures.label(first, NOW_S)
    pictures.take(frame(sequence=1), NOW_S + 1)
    assert shown(pictures, NOW_S + 1) == ("line-1/s/0", first)
    second = outcome_view(sequence=1, label="nut")
    pictures.label(second, NOW_S + 2)
    assert shown(pictures, NOW_S + 2) == ("line-1/s/1", second)


def test_where_no_outcome_comes_for_two_seconds_the_newest_picture_is_shown() -> None:
    pictures = Pictures(_MIB)
    pictures.take(frame(sequence=0), NOW_S)
    pictures.label(outcome_view(sequence=0), NOW_S)
    for sequence in range(1, 13):
        pictures.take(frame(sequence=sequence), NOW_S + sequence / 4)
    assert shown(pictures, NOW_S + 2.2) == ("line-1/s/0", outcome_view(sequence=0))
    assert shown(pictures, NOW_S + 2.5) == ("line-1/s/12", None)


def test_a_slow_camera_keeps_its_label_until_the_next_outcome_is_there() -> None:
    pictures = Pictures(_MIB)
    pictures.take(frame(sequence=0), NOW_S)
    pictures.label(outcome_view(sequence=0), NOW_S)
    pictures.take(frame(sequence=1), NOW_S + 60)
    assert shown(pictures, NOW_S + 60.1)[0] == "line-1/s/0"
    assert shown(pictures, NOW_S + 62.1) == ("line-1/s/1", None)


def test_outcomes_that_come_late_all_the_time_keep_their_pictures() -> None:
    pictures = Pictures(_MIB)
    for quarter in range(40):
        now_s = NOW_S + quarter / 4
        pictures.take(frame(sequence=quarter), now_s)
        if quarter >= 20:  # five seconds later
            pictures.label(outcome_view(sequence=quarter - 20), now_s)
            assert shown(pictures, now_s)[0] == f"line-1/s/{quarter - 20}"


def test_each_group_has_its_own_labels_and_any_will_do_where_none_is_chosen() -> None:
    pictures = Pictures(_MIB)
    for sequence in (0, 1):
        pictures.take(frame(sequence=sequence), NOW_S)
    slow, fast = outcome_view(sequence=0, group="slow"), outcome_view(sequence=1, group="fast")
    pictures.label(fast, NOW_S)
    number = pictures.number("line-1", "", NOW_S)
    pictures.label(slow, NOW_S)
    assert shown(pictures, NOW_S, "slow") == ("line-1/s/0", slow)
    assert shown(pictures, NOW_S, "fast") == ("line-1/s/1", fast)
    assert shown(pictures, NOW_S) == ("line-1/s/1", fast)
    pictures.label(outcome_view(sequence=1, group="slow"), NOW_S)
    assert shown(pictures, NOW_S) == ("line-1/s/1", fast)
    assert pictures.number("line-1", "", NOW_S) == number  # it is not sent again


def test_an_outcome_of_another_frame_at_the_same_place_is_not_put_to_the_picture() -> None:
    pictures = Pictures(_MIB)
    pictures.take(frame(sequence=0), NOW_S)
    for stranger in (
        outcome_view(sequence=0, frame_id="line-1/s/17"),
        outcome_view(sequence=0, offset=1),  # a replay
        outcome_view(sequence=0, partition=1),
        outcome_view("line-2", sequence=0),
    ):
        pictures.label(stranger, NOW_S)
        assert shown(pictures, NOW_S) == ("line-1/s/0", None)


def test_numbers_grow_with_each_picture_and_each_first_outcome() -> None:
    pictures = Pictures(_MIB)
    assert pictures.number("line-1", "", NOW_S) == 0
    assert pictures.newest("line-1", "", NOW_S) is None
    numbers = []
    for sequence in range(3):
        pictures.take(frame(sequence=sequence), NOW_S)
        numbers.append(pictures.number("line-1", "", NOW_S))
        pictures.label(outcome_view(sequence=sequence), NOW_S)
        numbers.append(pictures.number("line-1", "", NOW_S))
    assert numbers[0] > 0
    assert numbers == sorted(numbers)
    assert len(set(numbers)) == 4  # the second and third are shown when their outcomes are there
    last = numbers[-1]
    pictures.clear()
    assert pictures.number("line-1", "", NOW_S) == 0
    pictures.take(frame(sequence=9), NOW_S)
    assert pictures.number("line-1", "", NOW_S) > last


def test_a_camera_keeps_its_last_32() -> None:
    pictures = Pictures(_MIB)
    for sequence in range(100):
        pictures.take(frame(sequence=sequence), NOW_S)
    assert pictures.size_bytes == 32 * len(JPEG)
    pictures.label(outcome_view(sequence=67), NOW_S)
    assert shown(pictures, NOW_S) == ("line-1/s/99", None)
    pictures.label(outcome_view(sequence=68), NOW_S)
    assert shown(pictures, NOW_S)[0] == "line-1/s/68"


@pytest.mark.parametrize("cameras", [1, 3, 8, 50])
def test_all_together_keep_within_the_bound_and_each_camera_has_its_share(cameras: int) -> None:
    pictures = Pictures(1000)
    for sequence in range(40):
        for camera in range(cameras):
            pictures.take(frame(f"line-{camera}", sequence, bytes(100)), NOW_S)
            assert pictures.size_bytes <= 1000
    there = [camera for camera in range(cameras) if pictures.newest(f"line-{camera}", "", NOW_S)]
    assert there == list(range(cameras))[-10:]
    assert pictures.size_bytes == {1: 1000, 3: 900, 8: 800, 50: 1000}[cameras]


def test_a_hot_camera_does_not_push_the_pictures_of_others_out() -> None:
    pictures = Pictures(1000)
    pictures.take(frame("slow", 0, bytes(100)), NOW_S)
    for sequence in range(100):
        pictures.take(frame("hot", sequence, bytes(100)), NOW_S)
    assert pictures.newest("slow", "", NOW_S) is not None
    assert pictures.size_bytes == 600


def test_the_camera_that_was_silent_longest_goes_first() -> None:
    pictures = Pictures(1000)
    for camera in ("first", "second", "first"):
        pictures.take(frame(camera, 0, bytes(400)), NOW_S)
    pictures.take(frame("third", 0, bytes(400)), NOW_S)
    there = [camera for camera in ("first", "second", "third") if pictures.newest(camera, "", NOW_S)]
    assert there == ["first", "third"]


def test_a_picture_that_is_too_large_is_not_kept() -> None:
    pictures = Pictures(64 * _MIB)
    pictures.take(frame(data=bytes(8 * _MIB + 1)), NOW_S)
    assert pictures.size_bytes == 0
    pictures.take(frame(data=bytes(8 * _MIB)), NOW_S)
    assert pictures.size_bytes == 8 * _MIB
    small = Pictures(10)
    small.take(frame(data=bytes(11)), NOW_S)
    assert small.size_bytes == 0


def test_a_camera_that_is_gone_leaves_its_room() -> None:
    pictures = Pictures(_MIB)
    pictures.take(frame(data=bytes(100)), NOW_S)
    pictures.drop("line-1")
    pictures.drop("nobody")
    assert pictures.size_bytes == 0
    assert pictures.newest("line-1", "", NOW_S) is None


def test_headers_are_not_kept() -> None:
    pictures = Pictures(_MIB)
    tracemalloc.start()
    try:
        for sequence in range(32):
            pictures.take(frame(sequence=sequence, headers=(("x", bytes(_MIB)),)), NOW_S)
        kept_bytes = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert kept_bytes < _MIB
