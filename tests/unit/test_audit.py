"""The conservation law on made-up facts: which frames are fine, in flight, unsent, not checkable or missing."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pytest

from messaging.frame import frame_id
from streamer.audit.facts import FrameFact, GroupFact, OutcomeFact, SessionFact
from streamer.audit.ledger import Ledger
from streamer.audit.ranges import RangeSet
from streamer.audit.report import MAX_NAMED, GroupReport

TOPIC = "frames"


@dataclass
class Story:
    """Facts of one partition, with one group `g` unless a test says more."""

    captured: int = 0
    sent: int | None = None
    is_final: bool = True
    session: str = "s1"
    committed: Mapping[int, int] = field(default_factory=dict)
    first_offsets: Mapping[int, int] = field(default_factory=dict)
    log_start: int = 0
    frames: list[FrameFact] = field(default_factory=list)
    outcomes: list[OutcomeFact] = field(default_factory=list)
    late_outcomes: list[OutcomeFact] = field(default_factory=list)

    def report(self, group: str = "g", camera: str | None = None) -> GroupReport:
        sent = self.captured if self.sent is None else self.sent
        sessions = [SessionFact("a", self.session, self.captured, sent, self.is_final)] if self.captured else []
        groups = {"g": GroupFact(self.committed, self.first_offsets)}
        starts = {0: self.log_start}
        ledger = Ledger(sessions, groups, starts, frames_topic=TOPIC, camera=camera)
        for outcome in self.outcomes:
            ledger.outcome(outcome)
        for frame in self.frames:
            ledger.frame(frame)
        for outcome in self.late_outcomes:
            ledger.outcome(outcome)
        (report,) = ledger.report([group], starts).groups
        assert_adds_up(report)
        return report


def assert_adds_up(report: GroupReport) -> None:
    for tally in (report, *report.cameras):
        answered = tally.classified + tally.timed + tally.skipped + tally.dead_lettered
        assert answered + tally.in_flight + tally.unsent + tally.not_checkable + tally.missing == tally.published
        assert sum(tally.skipped_reasons.values()) == tally.skipped
        assert sum(tally.dead_letter_reasons.values()) == tally.dead_lettered


def in_log(numbers: Iterable[int], *, camera: str = "a", session: str = "s1", at: int = 0) -> list[FrameFact]:
    """Frames of these sequences, one after the other from offset `at`."""
    return [FrameFact(camera, frame_id(camera, session, number), 0, at + place) for place, number in enumerate(numbers)]


def answered(frames: Iterable[FrameFact], status: str = "classified", group: str = "g") -> list[OutcomeFact]:
    reason = "" if status in ("classified", "timed") else "because"
    return [OutcomeFact(group, f.camera, f.frame_id, status, reason, TOPIC, f.partition, f.offset) for f in frames]


def given_up(numbers: Iterable[int], *, session: str = "s1") -> list[OutcomeFact]:
    return [OutcomeFact(None, "a", frame_id("a", session, n), "skipped", "camera-buffer-full") for n in numbers]


def replayed(frame: FrameFact, offset: int, group: str = "g") -> FrameFact:
    return frame._replace(offset=offset, replay_for=group)


def test_frames_with_one_outcome_each_are_fine() -> None:
    frames = in_log(range(10))
    outcomes = answered(frames[:6]) + answered(frames[6:8], "dead-lettered") + answered(frames[8:], "skipped")
    report = Story(10, committed={0: 10}, frames=frames, outcomes=outcomes).report()
    assert (report.published, report.classified, report.dead_lettered, report.skipped) == (10, 6, 2, 2)
    assert report.skipped_reasons == report.dead_letter_reasons == {"because": 2}
    assert (report.missing, report.duplicates, report.in_flight) == (0, 0, 0)


def test_a_committed_frame_without_outcome_is_missing_and_named() -> None:
    frames = in_log(range(10))
    report = Story(10, committed={0: 10}, frames=frames, outcomes=answered(frames[:4] + frames[5:])).report()
    assert report.missing == 1
    assert report.missing_ids == ["a/s1/4"]


def test_what_lies_at_or_beyond_the_commit_is_in_flight() -> None:
    frames = in_log(range(10))
    report = Story(10, committed={0: 7}, frames=frames, outcomes=answered(frames[:6])).report()
    assert (report.in_flight, report.missing, report.missing_ids) == (3, 1, ["a/s1/6"])
    assert Story(10, frames=frames).report().in_flight == 10


def test_an_outcome_beyond_the_commit_counts_already() -> None:
    frames = in_log(range(10))
    report = Story(10, committed={0: 2}, frames=frames, outcomes=answered(frames[:8])).report()
    assert (report.classified, report.in_flight) == (8, 2)


def test_a_camera_that_ended_owes_every_sequence() -> None:
    frames = in_log([0, 1, 2, 5, 6])
    report = Story(9, committed={0: 5}, frames=frames, outcomes=answered(frames)).report()
    assert (report.missing, report.missing_ids) == (4, ["a/s1/3", "a/s1/4", "a/s1/7", "a/s1/8"])


def test_what_a_killed_camera_took_with_it_is_unsent() -> None:
    frames = in_log(range(6))
    report = Story(9, 6, is_final=False, committed={0: 6}, frames=frames, outcomes=answered(frames)).report()
    assert (report.unsent, report.missing, report.unsent_ranges) == (3, 0, ["a/s1/6-8"])


def test_a_camera_that_was_never_heard_of_in_the_log_is_unsent() -> None:
    assert Story(4, 0, is_final=False).report().unsent == 4


def test_frames_shed_by_a_living_camera_may_be_told_of_later() -> None:
    frames = in_log([0, 1, 5, 6])
    story = Story(7, 4, is_final=False, committed={0: 4}, frames=frames, outcomes=answered(frames))
    assert (story.report().unsent, story.report().missing) == (3, 0)
    story.outcomes += given_up([2, 3])
    assert (story.report().unsent, story.report().skipped, story.report().missing) == (1, 2, 0)


def test_frames_that_the_broker_had_acknowledged_and_lost_are_missing() -> None:
    frames = in_log([0, 1, 5, 6])
    story = Story(7, 7, is_final=False, committed={0: 4}, frames=frames, outcomes=answered(frames))
    assert (story.report().unsent, story.report().missing) == (0, 3)


def test_frames_that_were_told_of_leave_no_room_for_a_loss() -> None:
    frames = in_log([0, 1, 5, 6])
    outcomes = answered(frames) + given_up([2, 3])
    report = Story(7, 5, is_final=False, committed={0: 4}, frames=frames, outcomes=outcomes).report()
    assert (report.unsent, report.missing_ids) == (0, ["a/s1/4"])


def test_what_a_camera_gave_up_counts_for_every_group() -> None:
    frames = in_log([0, 1, 4])
    outcomes = answered(frames) + answered(frames, group="h") + given_up([2, 3])
    story = Story(5, committed={0: 3}, frames=frames, outcomes=outcomes)
    for group in ("g", "h"):
        report = story.report(group)
        assert (report.skipped_reasons, report.missing) == ({"camera-buffer-full": 2}, 0)


def test_what_another_session_gave_up_is_none_of_this_ones() -> None:
    report = Story(2, outcomes=given_up([0, 1], session="s0")).report()
    assert (report.skipped, report.missing) == (0, 2)


def test_a_frame_given_up_and_answered_all_the_same_has_two_outcomes() -> None:
    frames = in_log(range(3))
    report = Story(3, committed={0: 3}, frames=frames, outcomes=answered(frames) + given_up([1])).report()
    assert (report.classified, report.skipped, report.duplicates, report.duplicate_ids) == (3, 0, 1, ["a/s1/1"])


def test_what_retention_removed_is_not_checkable() -> None:
    frames = in_log(range(6, 10), at=6)
    story = Story(10, committed={0: 10}, log_start=6, frames=frames, outcomes=answered(frames))
    assert (story.report().not_checkable, story.report().missing) == (6, 0)
    story.outcomes += answered(in_log(range(4)))
    assert (story.report().not_checkable, story.report().classified) == (2, 8)


def test_where_nothing_was_removed_a_gap_at_the_start_is_missing() -> None:
    frames = in_log(range(6, 10))
    report = Story(10, committed={0: 4}, frames=frames, outcomes=answered(frames)).report()
    assert (report.not_checkable, report.missing) == (0, 6)


def test_a_session_that_retention_removed_whole() -> None:
    assert Story(8, log_start=50).report().not_checkable == 8
    report = Story(8, 6, is_final=False, log_start=50).report()
    assert (report.not_checkable, report.unsent, report.unsent_ranges) == (6, 2, ["a/s1/6-7"])


def test_a_group_answers_from_its_first_offset_on() -> None:
    frames = in_log(range(10))
    story = Story(10, committed={0: 10}, first_offsets={0: 4}, frames=frames, outcomes=answered(frames[5:]))
    report = story.report()
    assert (report.published, report.missing_ids) == (6, ["a/s1/4"])


def test_an_outcome_below_the_first_offset_shows_that_the_duty_is_older() -> None:
    frames = in_log(range(10))
    outcomes = answered(frames[2:4] + frames[5:])
    report = Story(10, committed={0: 10}, first_offsets={0: 7}, frames=frames, outcomes=outcomes).report()
    assert (report.published, report.missing_ids) == (8, ["a/s1/4"])


def test_frames_of_others_are_compared_by_their_place() -> None:
    frames = in_log(range(100, 110), camera="b", session="x")
    story = Story(committed={0: 8}, frames=frames, outcomes=answered(frames[:3] + frames[4:8]))
    report = story.report()
    assert (report.published, report.classified, report.in_flight) == (10, 7, 2)
    assert report.missing_ids == ["b/frames-0/3"]


def test_frames_of_others_above_the_log_start_alone_are_looked_at() -> None:
    frames = in_log(range(4), camera="b", at=6)
    old = in_log(range(4), camera="b", session="s0", at=0)
    report = Story(committed={0: 10}, log_start=6, frames=frames, outcomes=answered(old + frames)).report()
    assert (report.published, report.classified) == (4, 4)


def test_an_earlier_session_of_our_camera_is_compared_by_place() -> None:
    earlier, newest = in_log(range(5), session="s0"), in_log(range(5), at=5)
    story = Story(5, committed={0: 10}, frames=earlier + newest, outcomes=answered(earlier[1:] + newest))
    report = story.report()
    (row,) = report.cameras
    assert (row.camera, row.published, row.classified, row.missing_ids) == ("a", 10, 9, ["a/frames-0/0"])


def test_duplicates_are_counted_and_named() -> None:
    frames = in_log(range(5))
    outcomes = answered(frames) + answered(frames[1:3]) + answered(frames[1:2])
    report = Story(5, committed={0: 5}, frames=frames, outcomes=outcomes).report()
    assert (report.classified, report.duplicates, report.duplicate_ids) == (5, 3, ["a/s1/1", "a/s1/2"])
    assert report.missing == 0


def test_duplicates_of_frames_of_others() -> None:
    frames = in_log(range(5), camera="b")
    report = Story(committed={0: 5}, frames=frames, outcomes=answered([*frames, frames[2]])).report()
    assert (report.classified, report.duplicates, report.duplicate_ids) == (5, 1, ["b/s1/2"])


def test_a_frame_that_stands_in_the_log_twice_and_is_answered_twice_is_a_duplicate() -> None:
    frames = in_log([0, 1, 1, 2])
    report = Story(3, committed={0: 4}, frames=frames, outcomes=answered(frames)).report()
    assert (report.published, report.duplicates, report.duplicate_ids) == (3, 1, ["a/s1/1"])


def test_the_same_frame_of_two_groups_is_no_duplicate() -> None:
    frames = in_log(range(5))
    story = Story(5, committed={0: 5}, frames=frames, outcomes=answered(frames) + answered(frames, group="h"))
    assert story.report("g").duplicates == story.report("h").duplicates == 0


@pytest.mark.parametrize("captured", [3, 0], ids=["a session of ours", "others"])
def test_after_a_replay_the_last_outcome_counts(captured: int) -> None:
    frames = in_log(range(3))
    again = replayed(frames[1], 3)
    outcomes = answered([frames[1]], "dead-lettered") + answered([frames[0], frames[2], again])
    story = Story(captured, committed={0: 4}, frames=[*frames, again], outcomes=outcomes)
    report = story.report()
    assert (report.published, report.classified, report.dead_lettered) == (3, 3, 0)
    assert (report.duplicates, report.missing, report.in_flight) == (0, 0, 0)


@pytest.mark.parametrize("captured", [3, 0], ids=["a session of ours", "others"])
def test_a_replay_that_waits_is_in_flight_and_one_that_was_swallowed_is_missing(captured: int) -> None:
    frames = in_log(range(3))
    again = replayed(frames[1], 3)
    outcomes = answered([frames[1]], "dead-lettered") + answered([frames[0], frames[2]])
    story = Story(captured, committed={0: 3}, frames=[*frames, again], outcomes=outcomes)
    assert (story.report().published, story.report().in_flight, story.report().missing) == (3, 1, 0)
    story.committed = {0: 4}
    assert (story.report().published, story.report().in_flight, story.report().missing) == (3, 0, 1)


@pytest.mark.parametrize("captured", [3, 0], ids=["a session of ours", "others"])
def test_other_groups_pass_over_a_replay(captured: int) -> None:
    frames = in_log(range(3))
    again = replayed(frames[1], 3, group="h")
    story = Story(captured, committed={0: 4}, frames=[*frames, again], outcomes=answered(frames))
    assert (story.report().published, story.report().classified, story.report().missing) == (3, 3, 0)


@pytest.mark.parametrize("captured", [1, 0], ids=["a session of ours", "others"])
def test_a_frame_that_is_replayed_twice(captured: int) -> None:
    (frame,) = in_log([0])
    first, second = replayed(frame, 1), replayed(frame, 2)
    outcomes = answered([frame, first], "dead-lettered") + answered([second])
    report = Story(captured, committed={0: 3}, frames=[frame, first, second], outcomes=outcomes).report()
    assert (report.published, report.classified, report.dead_lettered, report.duplicates) == (1, 1, 0, 0)


def test_a_repeated_outcome_of_a_replay_is_a_duplicate() -> None:
    (frame,) = in_log([0])
    again = replayed(frame, 1)
    outcomes = answered([frame], "dead-lettered") + answered([again, again])
    report = Story(1, committed={0: 2}, frames=[frame, again], outcomes=outcomes).report()
    assert (report.classified, report.duplicates, report.duplicate_ids) == (1, 1, ["a/s1/0"])


def test_outcomes_of_frames_that_came_during_the_audit_are_left_out() -> None:
    frames = in_log(range(3), camera="b")
    later = answered(in_log([3, 4], camera="b", at=3))
    report = Story(committed={0: 3}, frames=frames, outcomes=answered(frames), late_outcomes=later).report()
    assert (report.published, report.duplicates) == (3, 0)


def test_an_outcome_that_shows_a_moment_after_its_commit_is_not_missing() -> None:
    frames = in_log(range(3))
    report = Story(
        3, committed={0: 3}, frames=frames, outcomes=answered(frames[:2]), late_outcomes=answered(frames[2:])
    ).report()
    assert (report.classified, report.missing) == (3, 0)


def test_accuracy_is_the_share_of_those_with_a_truth() -> None:
    frames = in_log(range(4))
    outcomes = [
        outcome._replace(is_right=is_right)
        for outcome, is_right in zip(answered(frames), (True, False, True, None), strict=True)
    ]
    assert Story(4, frames=frames, outcomes=outcomes).report().accuracy == pytest.approx(2 / 3)
    assert Story(4, frames=frames, outcomes=outcomes[3:]).report().accuracy is None


def test_one_camera_alone() -> None:
    frames = in_log(range(3)) + in_log(range(3), camera="b", at=3)
    story = Story(3, committed={0: 6}, frames=frames, outcomes=answered(frames[:5]))
    report = story.report(camera="a")
    assert ([row.camera for row in report.cameras], report.published, report.missing) == (["a"], 3, 0)


def test_nonsense_from_outside_is_no_outcome() -> None:
    frames = in_log(range(2))
    outcomes = answered(frames)
    nonsense = [
        outcomes[0]._replace(offset=-5),
        outcomes[0]._replace(offset=2**80),
        outcomes[0]._replace(partition=-1),
        outcomes[0]._replace(frame_id="a/s1/007", offset=40, camera="c"),
        OutcomeFact(None, "a", "a/s1/x", "skipped", "r"),
        OutcomeFact(None, "a", "a/s1/", "skipped", "r"),
        OutcomeFact(None, "a", f"a/s1/{'9' * 30}", "skipped", "r"),
        OutcomeFact(None, "z", "", "skipped", "r"),
    ]
    report = Story(2, committed={0: 2}, frames=frames, outcomes=outcomes + nonsense).report(camera="a")
    assert (report.published, report.classified, report.duplicates) == (2, 2, 0)


def test_an_id_that_is_only_like_one_of_ours_is_another_frame() -> None:
    ours = in_log(range(2))
    like = FrameFact("a", "a/s1/00", 0, 2)
    report = Story(2, committed={0: 3}, frames=[*ours, like], outcomes=answered([*ours, like])).report()
    assert (report.published, report.classified, report.duplicates) == (3, 3, 0)


def test_reasons_from_outside_do_not_fill_the_memory() -> None:
    frames = in_log(range(1000))
    outcomes = [
        outcome._replace(reason=f"reason {number}") for number, outcome in enumerate(answered(frames, "skipped"))
    ]
    report = Story(1000, committed={0: 1000}, frames=frames, outcomes=outcomes).report()
    assert report.skipped == 1000
    assert len(report.skipped_reasons) <= 65


def test_a_million_missing_frames_are_a_few_names() -> None:
    report = Story(10**15).report()
    assert (report.missing, len(report.missing_ids)) == (10**15, MAX_NAMED)


def test_interleaved_cameras_stay_ranges() -> None:
    numbers = RangeSet()
    for number in range(0, 1000, 2):
        numbers.add(number)
    for number in range(1, 1000, 2):
        numbers.add(number)
    assert list(numbers.ranges()) == [(0, 1000)]
