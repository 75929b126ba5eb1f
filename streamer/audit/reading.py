"""Reading an audit's facts from Kafka."""

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing
from typing import Any

import kafka.errors
from kafka import TopicPartition

from messaging.errors import BrokerUnavailableError, MessageError, MessagingError
from messaging.frame import read_frame
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import CameraStatus, WorkerStatus, read_status
from messaging.topics import TopicNames
from streamer.audit.errors import CameraNotFoundError, GroupNotFoundError
from streamer.audit.facts import FrameFact, GroupFact, OutcomeFact, SessionFact
from streamer.audit.ledger import Ledger
from streamer.audit.records import dead_letter_fact, result_fact
from streamer.audit.report import AuditReport
from streamer.terminal import harmless

#: Told how many records were read, and how many there are.
OnProgress = Callable[[int, int], None]


def ignore_progress(done: int, total: int) -> None:
    """Show nothing."""
    del done, total


def audit(
    cluster: Kafka,
    topics: TopicNames,
    groups: Collection[str] | None = None,
    *,
    camera: str | None = None,
    on_progress: OnProgress = ignore_progress,
) -> AuditReport:
    """Check that every frame has exactly one outcome, for each group. It may run beside live cameras and workers.

    Args:
        cluster: Where the topics are.
        topics: What they are called.
        groups: The groups to check; None for every one that has results, dead letters, or workers with commits.
        camera: Check this camera alone.
        on_progress: Called while reading.

    Raises:
        GroupNotFoundError: A group of `groups` is found nowhere.
        CameraNotFoundError: `camera` is found nowhere.
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    try:
        return _Audit(cluster, topics, on_progress).run(groups, camera)
    except kafka.errors.KafkaTimeoutError as exc:
        raise BrokerUnavailableError.at(cluster.bootstrap_servers) from exc
    except kafka.errors.KafkaError as exc:
        raise MessagingError(f"cannot read the topics at {cluster.bootstrap_servers}: {exc}") from exc


class _Audit:
    """One audit. The order of reading is what makes it sound beside a live system; see `Ledger`."""

    def __init__(self, cluster: Kafka, topics: TopicNames, on_progress: OnProgress) -> None:
        self._cluster = cluster
        self._topics = topics
        self._on_progress = on_progress
        self._unreadable = 0
        self._done = 0
        self._total = 0

    def run(self, groups: Collection[str] | None, camera: str | None) -> AuditReport:
        topics = self._topics
        with ExitStack() as stack:
            frames, dead_letters, results = (
                stack.enter_context(TopicReader(self._cluster, topic, from_beginning=True))
                for topic in (topics.frames, topics.dead_letters, topics.results)
            )
            starts = frames.start_offsets()
            commits = self._commits(set(groups or ()), sorted(starts))
            sessions, duties = self._statuses()
            facts = {
                group: GroupFact(commits.get(group, {}), duties.get(group, {})) for group in commits.keys() | duties
            }
            for reader in (frames, dead_letters, results):
                self._total += sum(reader.end_offsets().values()) - sum(reader.start_offsets().values())
            ledger = Ledger(sessions, facts, starts, frames_topic=topics.frames, camera=camera)
            self._outcomes(ledger, dead_letters, results)
            for record in self._read(frames):
                frame = read_frame(record)
                ledger.frame(FrameFact(frame.camera, frame.frame_id, frame.partition, frame.offset, frame.replay_for))
            # What came meanwhile: a transaction shows its commits a moment before its results.
            self._outcomes(ledger, dead_letters, results)
            known = ledger.groups | {group for group in duties if facts[group].committed}
            wanted = _require_known(groups, known | {group for group, fact in facts.items() if fact != GroupFact()})
            report = ledger.report(
                known if wanted is None else wanted, frames.start_offsets(), unreadable=self._unreadable
            )
        if camera is not None and not any(group.cameras for group in report.groups):
            raise CameraNotFoundError(f"camera {harmless(camera)} is found in none of the topics")
        return report

    def _statuses(self) -> tuple[list[SessionFact], dict[str, dict[int, int]]]:
        """Return each camera's newest session, and each group's first offsets."""
        cameras: dict[str, CameraStatus] = {}
        first_offsets: dict[str, dict[int, int]] = {}
        with TopicReader(self._cluster, self._topics.status, from_beginning=True) as reader:
            for record in reader.read_to_end():
                if record.value is None:
                    continue  # a status that was deleted
                try:
                    status = read_status(record.value)
                except MessageError:
                    self._unreadable += 1
                    continue
                if isinstance(status, CameraStatus):
                    cameras[status.camera] = status
                elif status.frames_topic == self._topics.frames:
                    _note_first_offsets(first_offsets.setdefault(status.group, {}), status)
        sessions = [
            SessionFact(camera.camera, camera.session, camera.captured, camera.sent, camera.is_final)
            for camera in cameras.values()
        ]
        return sessions, first_offsets

    def _commits(self, wanted: set[str], partitions: list[int]) -> dict[str, dict[int, int]]:
        """Return what every group in the cluster has committed of the frames topic: which are ours shows later."""
        topic_partitions = [TopicPartition(self._topics.frames, partition) for partition in partitions]
        with closing(self._cluster.admin()) as admin:
            listed = {group["group_id"] for group in admin.list_groups() if group["protocol_type"] in ("consumer", "")}
            names = sorted(listed | wanted)
            offsets = admin.list_group_offsets(dict.fromkeys(names, topic_partitions)) if names else {}
        return {
            name: {tp.partition: entry.offset for tp, entry in offsets.get(name, {}).items() if entry.offset >= 0}
            for name in names
        }

    def _outcomes(self, ledger: Ledger, dead_letters: TopicReader, results: TopicReader) -> None:
        """Read what there is. Dead letters first: a result of the same frame is the later one."""
        for record in self._read(dead_letters):
            self._enter(ledger, record, dead_letter_fact)
        for record in self._read(results):
            self._enter(ledger, record, result_fact)

    def _enter(self, ledger: Ledger, record: Any, read: Callable[[Any], OutcomeFact]) -> None:
        try:
            fact = read(record)
        except MessageError:
            self._unreadable += 1
            return
        if fact.topic in ("", self._topics.frames):
            ledger.outcome(fact)

    def _read(self, reader: TopicReader) -> Iterator[Any]:
        """Yield what was not yielded before."""
        for record in reader.read_to_end():
            self._done += 1
            self._on_progress(self._done, max(self._total, self._done))
            yield record


def _note_first_offsets(known: dict[int, int], status: WorkerStatus) -> None:
    for text, offset in status.first_offsets.items():
        if text.isascii() and text.isdigit() and offset >= 0:
            known[int(text)] = min(known.get(int(text), offset), offset)


def _require_known(wanted: Collection[str] | None, known: Collection[str]) -> Collection[str] | None:
    for group in wanted or ():
        if group not in known:
            there = ", ".join(harmless(name) for name in sorted(known)) or "none"
            raise GroupNotFoundError(
                f"group {harmless(group)} has no results, dead letters or commits here; groups that have: {there}"
            )
    return wanted
