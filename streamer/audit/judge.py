"""The conservation law: where each frame of one stream ended, for one group."""

from collections.abc import Iterable
from itertools import islice

from streamer.audit.duty import Duty
from streamer.audit.facts import SessionFact
from streamer.audit.ranges import RangeSet
from streamer.audit.report import MAX_NAMED, CameraReport
from streamer.audit.streams import Answers, Replay, Stream, union


def judge(stream: Stream, answers: Answers, duty: Duty, *, has_lost_records: bool) -> CameraReport:
    """Return where the frames of a stream ended.

    Args:
        stream: The frames.
        answers: What the group said of them.
        duty: What the group answers for.
        has_lost_records: Whether retention has removed anything where the stream is kept.
    """
    if stream.session is None:
        return _judge_by_offset(stream, answers, duty)
    return _judge_session(stream, stream.session, answers, duty, has_lost_records=has_lost_records)


def _judge_by_offset(stream: Stream, answers: Answers, duty: Duty) -> CameraReport:
    """Judge frames of other producers and earlier sessions: what is in the log needs an outcome.

    A replay takes the place of the record whose dead letter it is.
    """
    logged, before, beyond = _places(stream, duty)
    last = _last_replays(answers)
    replays = _set(replay.offset for replay in last.values())
    replaced = _set(replay.offset for replay in answers.replays) - replays
    replaced |= _set(
        answers.dead[replay.frame_id]
        for replay in last.values()
        if answers.dead.get(replay.frame_id, replay.offset) < replay.offset
    )
    answered = answers.kinds.all - replaced
    universe = ((logged - before) | replays | answered) - replaced
    open_ = universe - answered
    in_flight = open_ & (beyond | _set(r.offset for r in last.values() if not duty.is_committed(r.partition, r.offset)))
    report = _report(stream, answers, universe, replaced)
    _settle(report, stream, in_flight=in_flight, missing=open_ - in_flight)
    return report


def _judge_session(
    stream: Stream, session: SessionFact, answers: Answers, duty: Duty, *, has_lost_records: bool
) -> CameraReport:
    """Judge a camera's newest session: every sequence below `captured` needs an outcome, in the log or not."""
    logged, before, beyond = _places(stream, duty)
    first = 0 if before.highest is None else before.highest + 1
    unanswered = [r for r in _last_replays(answers).values() if not duty.has_source(r.partition, r.offset)]
    lost_again = _set(r.number for r in unanswered if duty.is_committed(r.partition, r.offset))
    again_in_flight = _set(r.number for r in unanswered) - lost_again
    put_back = lost_again | again_in_flight

    answered = answers.kinds.all - put_back
    skipped = stream.skipped.all.at_least(first) - answered - put_back
    captured = RangeSet([(0, session.captured)])
    universe = (captured | logged).at_least(first) | answered | put_back | skipped
    open_ = universe - answered - skipped
    in_flight = ((open_ & beyond) - lost_again) | again_in_flight
    passed_by = ((open_ & logged) - in_flight) | lost_again
    gap = open_ - logged - put_back
    removed, unsent, never_sent = _explain(gap, logged, stream, session, has_lost_records=has_lost_records)

    report = _report(stream, answers, universe, put_back)
    for (status, reason), numbers in stream.skipped.by_kind.items():
        report.count(status, reason, len(numbers & skipped))
    twice = stream.skipped.all & answers.kinds.all
    report.duplicates += len(twice)
    report.duplicate_ids += stream.ids(twice.first(MAX_NAMED - len(report.duplicate_ids)))
    report.not_checkable = len(removed)
    report.unsent = len(unsent)
    report.unsent_ranges = [f"{stream.name}{start}-{end - 1}" for start, end in islice(unsent.ranges(), MAX_NAMED)]
    _settle(report, stream, in_flight=in_flight, missing=passed_by | never_sent)
    return report


def _explain(
    gap: RangeSet, logged: RangeSet, stream: Stream, session: SessionFact, *, has_lost_records: bool
) -> tuple[RangeSet, RangeSet, RangeSet]:
    """Explain sequences that have no outcome and are not in the log: removed, unsent, or missing.

    A camera's frames stand in the log in order, so what retention removed lies below all that is left. Until a
    camera has said that it ended, frames that the broker never acknowledged may wait in its memory, or have gone
    with it; and so may the word that it gave them up.
    """
    rest, removed, unsent = gap, RangeSet(), RangeSet()
    if has_lost_records:
        removed = rest if logged.lowest is None else rest.below(logged.lowest)
        rest -= removed
    if not session.is_final:
        unacknowledged = max(session.captured - session.sent - len(stream.skipped.all.below(session.captured)), 0)
        unsent = rest if logged.highest is None else rest.at_least(logged.highest + 1)
        if logged.highest is None and has_lost_records:
            unsent = removed.newest(unacknowledged)
            removed -= unsent
        rest -= unsent
        given_up = rest.newest(max(unacknowledged - len(unsent), 0))
        unsent |= given_up
        rest -= given_up
    return removed, unsent, rest


def _places(stream: Stream, duty: Duty) -> tuple[RangeSet, RangeSet, RangeSet]:
    """Return what is in the log: all, where the group was not there yet, and where it has not committed."""
    logged = stream.logged
    return (
        union(logged.values()),
        union(numbers for piece, numbers in logged.items() if not duty.has_begun(piece)),
        union(numbers for piece, numbers in logged.items() if duty.is_in_flight(piece)),
    )


def _last_replays(answers: Answers) -> dict[str, Replay]:
    """Return the newest replay of each frame that was put back."""
    last: dict[str, Replay] = {}
    for replay in answers.replays:  # in the log's order
        last[replay.frame_id] = replay
    return last


def _set(numbers: Iterable[int]) -> RangeSet:
    return RangeSet((number, number + 1) for number in numbers)


def _report(stream: Stream, answers: Answers, universe: RangeSet, without: RangeSet) -> CameraReport:
    """Begin a report with what was answered; `without` are numbers whose answer no longer counts."""
    report = CameraReport(camera=stream.camera, published=len(universe))
    for (status, reason), numbers in answers.kinds.by_kind.items():
        report.count(status, reason, len(numbers - without))
    replayed = {(replay.partition, replay.offset) for replay in answers.replays}
    report.duplicates = answers.repeats.count
    report.duplicate_ids = list(answers.repeats.ids)
    for place, frame_id in answers.elsewhere.items():
        if place not in replayed:
            report.duplicates += 1
            if len(report.duplicate_ids) < MAX_NAMED and frame_id not in report.duplicate_ids:
                report.duplicate_ids.append(frame_id)
    return report


def _settle(report: CameraReport, stream: Stream, *, in_flight: RangeSet, missing: RangeSet) -> None:
    report.in_flight = len(in_flight)
    report.missing = len(missing)
    report.missing_ids = stream.ids(missing.first(MAX_NAMED))
