"""The audit against histories that nobody thought of, and against a count frame by frame."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from messaging.frame import frame_id
from streamer.audit.facts import FrameFact, GroupFact, OutcomeFact, SessionFact
from streamer.audit.ledger import Ledger
from streamer.audit.ranges import RangeSet
from streamer.audit.report import GroupReport

TOPIC = "frames"
NUMBERS = st.integers(0, 40)


@dataclass(frozen=True)
class History:
    """One partition. Every frame that reached it stands in `log`, those below `log_start` are gone.

    `a` is a camera with a status, `b` another producer; `a` gave up `shed`, and its last `unsent` frames never came.
    """

    log: tuple[FrameFact, ...]
    outcomes: tuple[OutcomeFact, ...]
    captured: int
    shed: int
    unsent: int
    is_final: bool
    log_start: int
    first: int
    committed: int

    @property
    def readable(self) -> list[FrameFact]:
        return [frame for frame in self.log if frame.offset >= self.log_start]

    def report(self) -> GroupReport:
        sessions = [SessionFact("a", "s", self.captured, self.captured - self.shed - self.unsent, self.is_final)]
        groups = {"g": GroupFact({0: self.committed}, {0: self.first})}
        ledger = Ledger(sessions, groups, {0: self.log_start}, frames_topic=TOPIC)
        for outcome in self.outcomes:
            ledger.outcome(outcome)
        for frame in self.readable:
            ledger.frame(frame)
        return ledger.report(["g"], {0: self.log_start}).groups[0]


def outcome_of(frame: FrameFact, status: str) -> OutcomeFact:
    reason = "" if status in ("classified", "timed") else status[:1]
    return OutcomeFact("g", frame.camera, frame.frame_id, status, reason, TOPIC, 0, frame.offset)


@st.composite
def histories(draw: st.DrawFn) -> History:
    """Healthy ones: whatever happened, every frame that has to has its outcome, and none has two."""
    kinds = draw(st.lists(st.sampled_from(["a", "a", "a", "shed", "b"]), max_size=40))
    log: list[FrameFact] = []
    notices: list[OutcomeFact] = []
    sequence, offset = 0, 0
    for kind in kinds:
        if kind == "shed":
            notices.append(OutcomeFact(None, "a", frame_id("a", "s", sequence), "skipped", "camera-buffer-full"))
            sequence += 1
            continue
        number = offset if kind == "b" else sequence
        log.append(FrameFact(kind, frame_id(kind, "s", number), 0, offset))
        sequence += kind == "a"
        offset += draw(st.integers(1, 2))  # transactions leave holes
    is_final = draw(st.booleans())
    unsent = 0 if is_final else draw(st.integers(0, 5))
    first, committed = sorted((draw(st.integers(0, offset)), draw(st.integers(0, offset))))
    statuses = st.sampled_from(["classified", "timed", "skipped", "dead-lettered"])
    outcomes = [outcome_of(frame, draw(statuses)) for frame in log if first <= frame.offset < committed]
    return History(
        tuple(log),
        tuple(draw(st.permutations(notices + outcomes))),
        sequence + unsent,
        len(notices),
        unsent,
        is_final,
        draw(st.integers(0, offset)),
        first,
        committed,
    )


def total(report: GroupReport) -> int:
    answered = report.classified + report.timed + report.skipped + report.dead_lettered
    return answered + report.in_flight + report.unsent + report.not_checkable + report.missing


@given(histories())
def test_a_healthy_history_misses_nothing(history: History) -> None:
    report = history.report()
    assert (report.missing, report.duplicates) == (0, 0)
    assert total(report) == report.published
    due = [frame for frame in history.readable if frame.offset >= history.first]
    assert report.in_flight == sum(frame.offset >= history.committed for frame in due)
    if not history.is_final and (history.readable or not history.log_start):
        assert report.unsent == history.unsent


@given(histories(), st.data())
def test_a_dropped_outcome_is_found(history: History, data: st.DataObject) -> None:
    checkable = {
        outcome
        for outcome in history.outcomes
        if outcome.group is not None and outcome.offset >= max(history.log_start, history.first)
    }
    if not checkable:
        return
    dropped = data.draw(st.sets(st.sampled_from(sorted(checkable)), min_size=1))
    report = replace(history, outcomes=tuple(o for o in history.outcomes if o not in dropped)).report()
    assert report.missing == len(dropped)
    names = {outcome.frame_id if outcome.camera == "a" else f"b/{TOPIC}-0/{outcome.offset}" for outcome in dropped}
    assert set(report.missing_ids) <= names
    assert len(report.missing_ids) == min(len(names), 20)
    assert total(report) == report.published


@given(histories(), st.data())
def test_an_extra_outcome_is_a_duplicate(history: History, data: st.DataObject) -> None:
    groups = [
        outcome
        for outcome in history.outcomes
        if outcome.group is not None and (outcome.camera == "a" or outcome.offset >= history.log_start)
    ]
    if not groups:
        return
    extra = data.draw(st.lists(st.sampled_from(groups), min_size=1, max_size=5))
    report = replace(history, outcomes=history.outcomes + tuple(extra)).report()
    assert (report.missing, report.duplicates) == (0, len(extra))
    assert set(report.duplicate_ids) == {outcome.frame_id for outcome in extra}
    assert total(report) == report.published


@given(histories(), st.data())
def test_any_history_adds_up_as_a_count_frame_by_frame_has_it(history: History, data: st.DataObject) -> None:
    kept = tuple(outcome for outcome in history.outcomes if data.draw(st.booleans()))
    history = replace(history, outcomes=kept)
    report = history.report()
    assert total(report) == report.published
    assert {
        "published": report.published,
        "answered": report.classified + report.timed + report.skipped + report.dead_lettered,
        "in flight": report.in_flight,
        "unsent": report.unsent,
        "not checkable": report.not_checkable,
        "missing": report.missing,
    } == count_one_by_one(history)


def count_one_by_one(history: History) -> dict[str, int]:
    """The rules again, without ranges: slow, and easy to check by eye."""
    outcomes = {o.frame_id for o in history.outcomes if o.group is not None}
    duty = min([history.first, *(o.offset for o in history.outcomes if o.group is not None)])
    names = ("answered", "in flight", "unsent", "not checkable", "missing")
    counts = Counter[str]()
    for frame in history.readable:
        if frame.camera == "b" and (frame.offset >= duty or frame.frame_id in outcomes):
            open_ = "in flight" if frame.offset >= history.committed else "missing"
            counts["answered" if frame.frame_id in outcomes else open_] += 1
    counts.update(ends_of_the_camera(history, outcomes, duty))
    return {name: counts[name] for name in names} | {"published": counts.total()}


def ends_of_the_camera(history: History, outcomes: set[str], duty: int) -> Iterator[str]:
    """Say where each frame of `a` ended, the newest first."""
    notices = {o.frame_id for o in history.outcomes if o.group is None}
    log = {frame.frame_id: frame.offset for frame in history.readable}
    here = [int(name.rpartition("/")[2]) for name in log if name.startswith("a/")]
    before = max((number for number in here if log[frame_id("a", "s", number)] < duty), default=-1)
    unacknowledged = 0 if history.is_final else history.unsent + history.shed - len(notices)
    for number in reversed(range(history.captured)):
        name = frame_id("a", "s", number)
        if name in outcomes or (name in notices and number > before):
            yield "answered"
        elif number <= before:
            continue
        elif name in log:
            yield "in flight" if log[name] >= history.committed else "missing"
        elif history.log_start and here and number < here[0]:
            yield "not checkable"
        elif (not history.is_final and (number > here[-1] if here else not history.log_start)) or unacknowledged > 0:
            unacknowledged -= 1
            yield "unsent"
        else:
            yield "not checkable" if history.log_start and not here else "missing"


@given(st.lists(st.tuples(st.booleans(), NUMBERS)), st.sets(NUMBERS), NUMBERS, NUMBERS)
def test_ranges_are_sets(steps: list[tuple[bool, int]], other: set[int], limit: int, count: int) -> None:
    ranges, plain = RangeSet(), set[int]()
    for does_add, number in steps:
        if does_add:
            assert ranges.add(number) == (number not in plain)
            plain.add(number)
        else:
            ranges.discard(number)
            plain.discard(number)
    others = RangeSet((number, number + 1) for number in other)
    assert list(ranges.numbers()) == sorted(plain)
    assert len(ranges) == len(plain)
    assert [number in ranges for number in range(50)] == [number in plain for number in range(50)]
    assert (ranges.lowest, ranges.highest) == (min(plain, default=None), max(plain, default=None))
    for made, expected in (
        (ranges | others, plain | other),
        (ranges & others, plain & other),
        (ranges - others, plain - other),
        (ranges.below(limit), {number for number in plain if number < limit}),
        (ranges.at_least(limit), {number for number in plain if number >= limit}),
        (ranges.newest(count), set(sorted(plain)[max(len(plain) - count, 0) :])),
    ):
        assert list(made.numbers()) == sorted(expected)
        assert len(made) == len(expected)
        assert all(before[1] < after[0] for before, after in pairwise(made.ranges()))
