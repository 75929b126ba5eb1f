"""The verdict: a fresh reader of committed records, from the beginning, and the invariants that have to hold."""

import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from messaging.dead_letter import read_dead_letter
from messaging.errors import BrokerUnavailableError
from messaging.frame import read_frame
from messaging.kafka import Kafka
from messaging.outcome import Classified, Skipped, group_source, read_outcome
from messaging.reader import TopicReader
from messaging.topics import TopicNames
from tests.faults.ledger import Ledger
from tests.faults.worker import WorkerEvent

Place = tuple[int, int]
_SHOWN = 8


@dataclass(frozen=True)
class SeenOutcome:
    """What a reader found out about one frame.

    Attributes:
        camera: With its session: what numbers its frames.
        label: The class; None for a dead letter.
        reason: Why it is a dead letter; None for a result.
        source: Partition and offset of the frame.
        logged_at_ms: When the broker wrote it down.
    """

    frame_id: str
    camera: str
    sequence: int | None
    label: str | None
    reason: str | None
    source: Place
    logged_at_ms: int


@dataclass
class Findings:
    """What is wrong, by invariant; empty where nothing is.

    Attributes:
        lost: How many acknowledged frames have no outcome.
        duplicates: How many outcomes are there twice.
    """

    wrong: dict[str, str] = field(default_factory=dict)
    frames: int = 0
    outcomes: int = 0
    lost: int = 0
    duplicates: int = 0

    def require_none(self) -> None:
        """Fail with all that is wrong."""
        assert not self.wrong, "\n".join(f"{name}: {what}" for name, what in self.wrong.items())


class Verifier:
    """Reads what one group said about the frames of a test.

    Its topics have to be in the broker's own time (`message.timestamp.type=LogAppendTime`), but for the frames.
    """

    def __init__(self, cluster: Kafka, topics: TopicNames, group: str) -> None:
        self._cluster = cluster
        self._topics = topics
        self._group = group
        self.outcomes: list[SeenOutcome] = []
        self._readers: list[tuple[TopicReader, bool]] = []

    def open(self) -> None:
        """Begin to read results and dead letters, from their beginning."""
        for topic, is_results in ((self._topics.results, True), (self._topics.dead_letters, False)):
            reader = TopicReader(self._cluster, topic, from_beginning=True)
            reader.open()
            self._readers.append((reader, is_results))

    def close(self) -> None:
        """Let the connections go; closing twice is harmless."""
        for reader, _ in self._readers:
            reader.close()
        self._readers.clear()

    def begin_again(self) -> None:
        """Read everything, with fresh readers."""
        self.close()
        self.outcomes.clear()
        self.open()
        self.read()

    def read(self) -> None:
        """Read what is new."""
        for reader, is_results in self._readers:
            for record in reader.read_to_end():
                seen = self._result(record) if is_results else self._dead_letter(record)
                if seen is not None:
                    self.outcomes.append(seen)

    def wait_until_accounted(self, ledger: Ledger, deadline_s: float) -> None:
        """Wait until every acknowledged frame has an outcome and is committed; what is missing by then `check` says."""
        acknowledged = {frame.frame_id for frame in ledger.frames.values() if frame.state == "ok"}

        def is_accounted() -> bool:
            try:
                if not self._readers:
                    self.begin_again()
                self.read()
                return acknowledged <= {seen.frame_id for seen in self.outcomes} and not self.lag()
            except BrokerUnavailableError:  # some of its partitions may be without a leader yet
                self.close()
                return False

        until_s = time.monotonic() + deadline_s
        while not is_accounted() and time.monotonic() < until_s:
            Event().wait(0.1)  # leaves the machine to those who are waited for

    def lag(self) -> dict[int, tuple[int | None, int]]:
        """Return, for each partition that is not committed to its end, what is committed and the end."""
        admin = self._cluster.admin()
        try:
            offsets = admin.list_group_offsets(self._group)[self._group]
        finally:
            admin.close()
        committed = {tp.partition: entry.offset for tp, entry in offsets.items() if tp.topic == self._topics.frames}
        with TopicReader(self._cluster, self._topics.frames, from_beginning=True) as reader:
            ends = reader.end_offsets()
        return {
            partition: (committed.get(partition), end)
            for partition, end in ends.items()
            if end and committed.get(partition) != end
        }

    def check(self, ledger: Ledger, events: Iterable[WorkerEvent], *, most_duplicates: int) -> Findings:
        """Check I1 to I7.

        Args:
            ledger: What was sent.
            events: Of all workers.
            most_duplicates: How many outcomes may be there twice.
        """
        self.begin_again()
        findings = Findings()
        sent = ledger.frames
        in_log = self._frames_in_log()
        places = {frame_id: place for place, frame_id in in_log.items()}
        acknowledged = [frame for frame in sent.values() if frame.state == "ok"]
        counted = Counter(seen.frame_id for seen in self.outcomes)
        first: dict[str, SeenOutcome] = {}
        for seen in self.outcomes:
            first.setdefault(seen.frame_id, seen)
        findings.frames, findings.outcomes = len(acknowledged), len(counted)

        lost = [frame.frame_id for frame in acknowledged if frame.frame_id not in counted]
        findings.lost = len(lost)
        if lost:
            described = [f"{frame_id} at {places.get(frame_id, 'no place: the broker lost it')}" for frame_id in lost]
            findings.wrong["I1"] = f"{_some(described)} of {len(acknowledged)} acknowledged frames have no outcome"
        twice = {frame_id: count for frame_id, count in counted.items() if count > 1}
        findings.duplicates = sum(twice.values()) - len(twice)
        if findings.duplicates > most_duplicates:
            findings.wrong["I2"] = f"{findings.duplicates} duplicates, more than {most_duplicates}: {_some(twice)}"
        if disorder := _disorder(first.values()):
            findings.wrong["I3"] = f"out of order: {_some(disorder)}"
        wrong_labels = [
            f"{seen.frame_id} is {sent[seen.frame_id].truth or 'fatal'} and was called {seen.label or seen.reason}"
            for seen in self.outcomes
            if seen.frame_id in sent and seen.label != sent[seen.frame_id].truth
        ]
        if wrong_labels:
            findings.wrong["I4"] = _some(wrong_labels)
        if early := _early_commits(in_log, first, events):
            findings.wrong["I5"] = f"committed before the outcome was there: {_some(early)}"
        if lag := self.lag():
            findings.wrong["I6"] = f"not committed to the end (partition: committed, end): {lag}"
        unknown = [
            seen.frame_id
            for seen in self.outcomes
            if seen.frame_id not in sent
            or sent[seen.frame_id].state == "fail"
            or in_log.get(seen.source) != seen.frame_id
        ]
        if unknown:
            findings.wrong["I7"] = f"outcomes of frames that were never sent: {_some(unknown)}"
        return findings

    def _frames_in_log(self) -> dict[Place, str]:
        with TopicReader(self._cluster, self._topics.frames, from_beginning=True) as reader:
            return {(record.partition, record.offset): read_frame(record).frame_id for record in reader.read_to_end()}

    def _result(self, record: Any) -> SeenOutcome | None:
        headers = dict(record.headers)
        if headers["ce_source"] != group_source(self._group):
            return None
        outcome = read_outcome(record.value)
        assert outcome.source is not None
        assert outcome.source.topic == self._topics.frames
        frame_id = headers["ce_id"].decode()
        return SeenOutcome(
            frame_id,
            frame_id.rpartition("/")[0],
            outcome.sequence,
            outcome.label if isinstance(outcome, Classified) else None,
            outcome.reason if isinstance(outcome, Skipped) else None,
            (outcome.source.partition, outcome.source.offset),
            record.timestamp,
        )

    def _dead_letter(self, record: Any) -> SeenOutcome | None:
        letter = read_dead_letter(record)
        if letter.group != self._group:
            return None
        return SeenOutcome(
            letter.frame_id,
            letter.frame_id.rpartition("/")[0],
            None,
            None,
            letter.reason,
            (letter.original_partition, letter.original_offset),
            record.timestamp,
        )


def _disorder(first: Iterable[SeenOutcome]) -> list[str]:
    """Return where a camera's first outcomes do not rise; dead letters are in a topic of their own."""
    newest: dict[str, int] = defaultdict(lambda: -1)
    found = []
    for seen in first:
        if seen.sequence is None:
            continue
        if seen.sequence < newest[seen.camera]:
            found.append(f"{seen.frame_id} after {newest[seen.camera]}")
        newest[seen.camera] = max(newest[seen.camera], seen.sequence)
    return found


def _early_commits(in_log: dict[Place, str], first: dict[str, SeenOutcome], events: Iterable[WorkerEvent]) -> list[str]:
    """Return the commits below which an outcome was not yet in the broker's log when they were made."""
    offsets: dict[int, list[int]] = defaultdict(list)
    latest: dict[int, list[tuple[float, str]]] = defaultdict(list)
    for (partition, offset), frame_id in sorted(in_log.items()):
        seen = first.get(frame_id)
        logged = (float(seen.logged_at_ms) if seen is not None else float("inf"), frame_id)
        before = latest[partition][-1] if latest[partition] else (0.0, "")
        offsets[partition].append(offset)
        latest[partition].append(max(before, logged))
    found = []
    for event in events:
        if event.kind != "committed":
            continue
        for partition, offset in event.offsets.items():
            below = bisect_left(offsets[partition], offset)
            if not below:
                continue
            logged_at_ms, frame_id = latest[partition][below - 1]
            if logged_at_ms > event.at * 1000:
                late = (
                    "is missing"
                    if logged_at_ms == float("inf")
                    else f"came {logged_at_ms - event.at * 1000:.0f} ms later"
                )
                found.append(f"partition {partition} up to {offset}: the outcome of {frame_id} {late}")
    return found


def _some(what: Sequence[object] | dict[str, int]) -> str:
    items = list(what.items()) if isinstance(what, dict) else list(what)
    shown = ", ".join(str(item) for item in items[:_SHOWN])
    return f"{len(items)} ({shown}{', …' if len(items) > _SHOWN else ''})"
