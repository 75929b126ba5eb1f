"""The books of an audit: outcomes and frames go in, in any number; the report comes out. No input or output."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from messaging.kafka import partition_of
from streamer.audit.duty import Duty, Marks
from streamer.audit.facts import LARGEST, FrameFact, GroupFact, OutcomeFact, SessionFact
from streamer.audit.judge import judge
from streamer.audit.ranges import RangeSet
from streamer.audit.report import MAX_NAMED, AuditReport, CameraReport, GroupReport
from streamer.audit.streams import Answers, Replay, Stream, StreamKey

#: Dead letters of frames that are told apart by offset, remembered so that a replay can take their place.
_MAX_DEAD = 100_000


@dataclass(slots=True)
class _Group:
    """What one group said.

    Attributes:
        sources: The offsets that it has outcomes for, by partition; `lowest` is the least one ever seen.
    """

    sources: dict[int, RangeSet] = field(default_factory=dict)
    lowest: dict[int, int] = field(default_factory=dict)
    answers: dict[StreamKey, Answers] = field(default_factory=dict)
    judged: int = 0
    right: int = 0


class Ledger:
    """Collects facts in an order that makes a live system's audit sound.

    First what the groups had committed, then the statuses (both for the constructor), then outcomes, then frames, then
    the outcomes that came meanwhile: so a frame below a commit has its outcome among those that are read.
    Memory grows with gaps and repetitions, not with frames.
    """

    def __init__(
        self,
        sessions: Collection[SessionFact],
        groups: Mapping[str, GroupFact],
        log_starts: Mapping[int, int],
        *,
        frames_topic: str,
        camera: str | None = None,
    ) -> None:
        """Open the books.

        Args:
            sessions: The newest status of each camera.
            groups: What is known of groups besides their outcomes.
            log_starts: The oldest offset left in each partition of the frames topic.
            frames_topic: Names frames that are told apart by their offset.
            camera: Count this camera alone.
        """
        self._facts = groups
        self._log_starts = log_starts
        self._topic = frames_topic
        self._camera = camera
        self._groups: dict[str, _Group] = {}
        self._marks: Marks | None = None
        self._ends: dict[int, int] = {}
        self._duties: dict[str, GroupFact] = {}
        self._streams: dict[StreamKey, Stream] = {}
        self._own: dict[str, tuple[StreamKey, str]] = {}
        for session in sessions:
            if camera in (None, session.camera) and 0 <= session.captured <= LARGEST:
                key, name = (session.camera, session.session), f"{session.camera}/{session.session}/"
                self._streams[key] = Stream(session.camera, name, session)
                self._own[session.camera] = key, name

    @property
    def groups(self) -> set[str]:
        """The groups that have outcomes."""
        return {name for name, group in self._groups.items() if group.sources}

    def outcome(self, fact: OutcomeFact) -> None:
        """Enter a result or a dead letter. The cameras' own, and each group's in the order of its topic."""
        if fact.group is None:
            number = self._own_number(fact.camera, fact.frame_id)
            if number is not None:
                self._streams[self._own[fact.camera][0]].skipped.put(number, (fact.status, fact.reason))
        elif 0 <= fact.partition <= LARGEST and 0 <= fact.offset <= LARGEST and not self._is_later(fact):
            group = self._groups.setdefault(fact.group, _Group())
            group.lowest[fact.partition] = min(group.lowest.get(fact.partition, fact.offset), fact.offset)
            is_first_of_source = group.sources.setdefault(fact.partition, RangeSet()).add(fact.offset)
            if self._camera in (None, fact.camera):
                self._answer(group, fact, is_first_of_source=is_first_of_source)

    def _answer(self, group: _Group, fact: OutcomeFact, *, is_first_of_source: bool) -> None:
        key, number = self._place(fact.camera, fact.frame_id, fact.partition, fact.offset)
        stream = self._streams[key]
        if stream.session is None and fact.offset < self._log_starts.get(fact.partition, 0):
            return  # retention has removed the frame, and nobody's status names it
        answers = group.answers.setdefault(key, Answers())
        if fact.status == "dead-lettered" and stream.session is None and len(answers.dead) < _MAX_DEAD:
            answers.dead.setdefault(fact.frame_id, fact.offset)
        if answers.kinds.put(number, (fact.status, fact.reason)):
            if fact.is_right is not None:
                group.judged += 1
                group.right += fact.is_right
        elif is_first_of_source:
            answers.elsewhere[fact.partition, fact.offset] = fact.frame_id
        else:
            answers.repeats.note(fact.frame_id, MAX_NAMED)

    def frame(self, fact: FrameFact) -> None:
        """Enter a record of the frames topic; each partition's in order."""
        if self._marks is None:
            self._marks = self._begin_frames()
        self._ends[fact.partition] = fact.offset + 1
        if self._camera not in (None, fact.camera):
            return
        key, number = self._place(fact.camera, fact.frame_id, fact.partition, fact.offset)
        if fact.replay_for is not None:
            answers = self._groups.setdefault(fact.replay_for, _Group()).answers.setdefault(key, Answers())
            answers.replays.append(Replay(fact.frame_id, number, fact.partition, fact.offset))
            return
        piece = self._marks.piece(fact.partition, fact.offset)
        self._streams[key].logged.setdefault(piece, RangeSet()).add(number)

    def report(self, groups: Collection[str], log_starts: Mapping[int, int], *, unreadable: int = 0) -> AuditReport:
        """Return what became of the frames.

        Args:
            groups: Those to report on.
            log_starts: The oldest offset left in each partition, asked for after the frames were read.
            unreadable: Records that were left out.
        """
        marks = self._marks or self._begin_frames()
        return AuditReport(
            groups=[self._group_report(name, marks, log_starts) for name in sorted(groups)], unreadable=unreadable
        )

    def _group_report(self, name: str, marks: Marks, log_starts: Mapping[int, int]) -> GroupReport:
        group = self._groups.get(name, _Group())
        duty = Duty(self._duties.get(name, GroupFact()), marks, group.sources)
        cameras: dict[str, CameraReport] = {}
        for key, stream in self._streams.items():
            partitions = {partition for partition, _ in stream.logged}
            if not partitions and log_starts:
                partitions = {partition_of(stream.camera.encode(), len(log_starts))}
            has_lost_records = any(log_starts.get(partition, 0) > 0 for partition in partitions)
            judged = judge(stream, group.answers.get(key, Answers()), duty, has_lost_records=has_lost_records)
            if judged.published or judged.duplicates:
                cameras.setdefault(stream.camera, CameraReport(camera=stream.camera)).add(judged)
        report = GroupReport(
            group=name,
            accuracy=group.right / group.judged if group.judged else None,
            cameras=[cameras[camera] for camera in sorted(cameras)],
        )
        for row in report.cameras:
            report.add(row)
        return report

    def _begin_frames(self) -> Marks:
        """Fix what each group answers for.

        Its workers say where it began; an outcome further down shows that they forgot.
        """
        for name, fact in self._facts.items():
            lowest = self._groups[name].lowest if name in self._groups else {}
            first = {p: min(offset, lowest.get(p, offset)) for p, offset in fact.first_offsets.items()}
            self._duties[name] = GroupFact(fact.committed, first)
        return Marks(self._duties.values())

    def _is_later(self, fact: OutcomeFact) -> bool:
        """Tell whether an outcome is of a frame that came after the frames were read."""
        return self._marks is not None and fact.offset >= self._ends.get(fact.partition, 0)

    def _own_number(self, camera: str, frame_id: str) -> int | None:
        """Return the sequence of a frame of a camera's newest session; None for any other frame."""
        own = self._own.get(camera)
        if own is None or not frame_id.startswith(own[1]):
            return None
        text = frame_id[len(own[1]) :]
        if not (text.isascii() and text.isdigit()) or len(text) > 18 or (text[0] == "0" and text != "0"):
            return None
        return int(text)

    def _place(self, camera: str, frame_id: str, partition: int, offset: int) -> tuple[StreamKey, int]:
        """Return the stream that a frame belongs to, and its number there."""
        sequence = self._own_number(camera, frame_id)
        if sequence is not None:
            return self._own[camera][0], sequence
        key = (camera, partition)
        if key not in self._streams:
            self._streams[key] = Stream(camera, f"{camera}/{self._topic}-{partition}/")
        return key, offset
