"""Which frames a replay puts back: those whose last outcome is a dead letter."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from messaging.errors import MessageError
from messaging.kafka import Kafka, partition_of
from messaging.outcome import group_source, read_outcome
from messaging.reader import TopicReader
from messaging.topics import TopicNames
from streamer.dead_letters.search import DeadLetterReader, OnProgress, ignore_progress
from streamer.dead_letters.stored import Filters, StoredDeadLetter

#: Results are looked for from this long before the dead letter: two workers' clocks may differ.
_CLOCKS_DIFFER_US = 60 * 1_000_000


@dataclass(slots=True)
class ReplayPlan:
    """What a replay would do.

    Attributes:
        letters: The dead letters whose frames are to be put back, one for each frame and group.
        highest: How many times the frames of these ids were put back already, where they were.
        answered: Dead letters left out, because their group has a result of the frame by now.
        not_found: Ids that were asked for and are no dead letter's.
        filtered_out: Ids that were asked for, and whose dead letters the filters leave out.
        seen: How many dead letters there are in all.
    """

    letters: list[StoredDeadLetter] = field(default_factory=list)
    highest: dict[str, int] = field(default_factory=dict)
    answered: list[StoredDeadLetter] = field(default_factory=list)
    not_found: list[str] = field(default_factory=list)
    filtered_out: list[str] = field(default_factory=list)
    seen: int = 0

    def number_of(self, letter: StoredDeadLetter) -> int:
        """Return how many times the frame is put back with the next time."""
        return self.highest.get(letter.letter.frame_id, 0) + 1


def plan_replay(
    cluster: Kafka,
    topics: TopicNames,
    filters: Filters,
    *,
    again: bool = False,
    on_progress: OnProgress = ignore_progress,
) -> ReplayPlan:
    """Choose what to put back. It reads the dead letters, and the results since the oldest of those; it writes nothing.

    Of several dead letters of one frame and group the newest alone is chosen: it is the frame's outcome. The filters
    are about that one; the ids may be those of older ones.

    Args:
        cluster: Where the topics are.
        topics: What they are called.
        filters: Which dead letters.
        again: Put back also frames that the group has a result of by now; then the results are not read.
        on_progress: Called while reading, for each topic from the beginning.

    Raises:
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    plan, last = ReplayPlan(), dict[tuple[str, str], StoredDeadLetter]()
    asked, found = set(filters.ids), dict[str, set[tuple[str, str]]]()
    reader = DeadLetterReader(cluster, topics, on_progress)
    # Whatever the filters say: a newer one may have come that they do not want.
    for stored in reader.read(Filters()):
        if stored.letter.replay:
            frame_id = stored.letter.frame_id
            plan.highest[frame_id] = max(plan.highest.get(frame_id, 0), stored.letter.replay)
        for identity in asked.intersection(stored.identities):
            found.setdefault(identity, set()).add(stored.outcome)
        known = last.get(stored.outcome)
        if known is None:
            if filters.wants(stored):
                last[stored.outcome] = stored
        elif stored.is_newer_than(known):
            last[stored.outcome] = stored
    plan.seen = reader.seen
    plan.not_found = sorted(asked - found.keys())
    by_outcome = replace(filters, ids=())
    plan.letters = [stored for stored in last.values() if by_outcome.wants(stored)]
    plan.letters.sort(key=lambda stored: stored.place)
    chosen = {stored.outcome for stored in plan.letters}
    plan.filtered_out = sorted(identity for identity, outcomes in found.items() if chosen.isdisjoint(outcomes))
    if not again and plan.letters:
        answered = _answered(cluster, topics, plan.letters, on_progress)
        plan.answered = [stored for stored in plan.letters if stored.outcome in answered]
        plan.letters = [stored for stored in plan.letters if stored.outcome not in answered]
    return plan


def _answered(
    cluster: Kafka, topics: TopicNames, letters: Collection[StoredDeadLetter], on_progress: OnProgress
) -> set[tuple[str, str]]:
    """Return those of the outcomes that a result has taken the place of.

    A result stands in its camera's partition, and is younger than the dead letter: no more than that is read.
    """
    wanted = {(group_source(stored.letter.group), stored.letter.frame_id.encode()): stored for stored in letters}
    since_us = min(stored.written_at_us for stored in letters) - _CLOCKS_DIFFER_US
    answered = set[tuple[str, str]]()
    with TopicReader(cluster, topics.results, from_beginning=False) as reader:
        starts, ends = reader.seek_to_time(since_us), reader.end_offsets()
        of_cameras = {partition_of(stored.letter.camera.encode(), len(ends)) for stored in letters}
        for partition in ends.keys() - of_cameras:
            reader.seek(partition, ends[partition])
        total = sum(ends[partition] - starts[partition] for partition in of_cameras)
        for done, record in enumerate(reader.read_to_end(), 1):
            on_progress(done, max(total, done))
            headers = dict(record.headers)
            stored = wanted.get((headers.get("ce_source", b""), headers.get("ce_id", b"")))
            if stored is not None and _is_after(record.value, stored):
                answered.add(stored.outcome)
    return answered


def _is_after(result: bytes | None, stored: StoredDeadLetter) -> bool:
    """Tell whether a result is of the same reading of the frame as the dead letter, or of a later one."""
    try:
        source = read_outcome(result or b"").source
    except MessageError:
        return False
    letter = stored.letter
    if source is None or source.topic != letter.original_topic:
        return False
    return source.partition != letter.original_partition or source.offset >= letter.original_offset
