"""Finding everything that the topics know of one frame."""

import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from messaging.errors import MessageError
from messaging.frame import MAX_ID_CHARS
from messaging.kafka import Kafka, partition_of
from messaging.reader import TopicReader
from messaging.timestamps import now_us
from messaging.topics import TopicNames
from streamer.dead_letters.search import OnProgress, ignore_progress
from streamer.dead_letters.stored import names_of
from streamer.evidence.errors import FrameUnknownError
from streamer.evidence.newest_first import NewestFirst
from streamer.evidence.reading import FrameReading, frame_record, read_reading
from streamer.evidence.stored_outcome import RecordPlace, StoredOutcome, read_stored_dead_letter, read_stored_result
from streamer.evidence.way import FrameWay, by_group
from streamer.terminal import harmless

#: `<camera>/<session>/<sequence>`, or of another producer's frame `<camera>/<topic>-<partition>/<offset>`.
_FRAME_ID = re.compile(r"(?P<camera>.+)/(?P<middle>[^/]+)/(?P<number>\d{1,18})", re.ASCII | re.DOTALL)
_TOPIC_PARTITION = re.compile(r"(?P<topic>.+)-(?P<partition>\d{1,9})", re.ASCII)
#: Records of the first look at a partition; those of frames and dead letters have pictures.
_FIRST_RESULTS, _FIRST_PICTURES = 1000, 50
#: Clocks of cameras and workers differ by less, and so do the groups where a camera's clock is ahead.
_CLOCKS_DIFFER_US = 10 * 60 * 1_000_000
#: A frame has one outcome for each group and replay. Whoever repeats one for ever is not to fill the memory.
_MAX_OUTCOMES = 64
_MAX_READINGS = 16
#: What the id of a camera's frame looks like, for those who gave something else.
FRAME_ID_EXAMPLE = "gate/64b1…/42"


def looks_like_frame_id(text: str) -> bool:
    """Tell whether a text has the form of an id. Other producers may call their frames otherwise."""
    return _FRAME_ID.fullmatch(text) is not None


def find_way(
    cluster: Kafka,
    topics: TopicNames,
    frame_id: str,
    *,
    since_us: int | None = None,
    on_progress: OnProgress = ignore_progress,
) -> FrameWay:
    """Find a frame's outcomes in every group, and the frame.

    It reads backwards, so that a recent frame is found at once: first where the camera's records are, then everywhere.
    Nothing is older than the frame, so that the search ends soon after the first find.

    Args:
        cluster: Where the topics are.
        topics: What they are called.
        frame_id: The frame's `ce_id`, as it is or as it is shown.
        since_us: Look no further back, µs since 1970; None for all that is kept.
        on_progress: Called while reading.

    Raises:
        FrameUnknownError: Nothing is known of it.
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    with ExitStack() as stack:
        readers = [
            stack.enter_context(TopicReader(cluster, topic, from_beginning=False))
            for topic in (topics.results, topics.dead_letters, topics.frames)
        ]
        search = _Search(readers, topics, frame_id, since_us, on_progress)
        way = search.run()
    if not way.groups and not way.readings:
        since = "" if since_us is None else " since then"
        removed = ", or retention has removed them" if looks_like_frame_id(frame_id) else ""
        raise FrameUnknownError(
            f"nothing is known of a frame {harmless(frame_id, MAX_ID_CHARS)}{since}: no topic has it or an outcome of "
            f"it{removed} (ids look like {FRAME_ID_EXAMPLE}; the rows of `streamer results` end with them)"
        )
    return way


class _Search:
    """One search. The id becomes the frame's own with the first find, if it was given as it is shown."""

    def __init__(
        self,
        readers: list[TopicReader],
        topics: TopicNames,
        frame_id: str,
        since_us: int | None,
        on_progress: OnProgress,
    ) -> None:
        self._results, self._dead_letters, self._frames = readers
        self._topics = topics
        self._frame_id = frame_id
        self._wanted = frame_id.encode(errors="replace")
        self._is_escaped = "\\x" in frame_id
        self._since_us = since_us
        self._on_progress = on_progress
        self._outcomes: list[StoredOutcome] = []
        self._readings: dict[RecordPlace, FrameReading] = {}
        self._left_out = 0
        self._done = 0

    def run(self) -> FrameWay:
        match = _FRAME_ID.fullmatch(self._frame_id)
        if match is not None:
            self._look_at_place(match)
            camera = match["camera"].encode(errors="replace")
            self._go_back(lambda count: {partition_of(camera, count)})
            if not self._has_found:  # the camera is called otherwise, or the topic had fewer partitions
                self._go_back(lambda count: set(range(count)) - {partition_of(camera, count)})
        else:
            self._go_back(lambda count: set(range(count)))
        self._trim(_MAX_OUTCOMES)
        self._look_at_sources()
        readings = sorted(self._readings.values(), key=lambda reading: (reading.replay, reading.place))
        return FrameWay(self._frame_id, by_group(self._outcomes), tuple(readings), self._left_out)

    @property
    def _has_found(self) -> bool:
        return bool(self._outcomes or self._readings)

    def _look_at_place(self, match: re.Match[str]) -> None:
        """Look for a frame whose id says where it stands."""
        place = _TOPIC_PARTITION.fullmatch(match["middle"])
        if place is not None and place["topic"] == self._topics.frames:
            at = RecordPlace(place["topic"], int(place["partition"]), int(match["number"]))
            record = frame_record(self._frames, self._topics.frames, at, self._frame_id)
            if not isinstance(record, str):
                self._readings[at] = read_reading(record)

    def _go_back(self, partitions: Callable[[int], set[int]]) -> None:
        """Read those partitions of the three topics backwards; the frames only until something is found."""

        def newest_first(reader: TopicReader, first_piece: int) -> NewestFirst:
            count = len(reader.end_offsets())
            return NewestFirst(reader, partitions(count), first_piece, self._since_us)

        frames = newest_first(self._frames, _FIRST_PICTURES)
        seekers: list[tuple[NewestFirst, Callable[[Any], None]]] = [
            (newest_first(self._results, _FIRST_RESULTS), self._result),
            (newest_first(self._dead_letters, _FIRST_PICTURES), self._dead_letter),
            (frames, self._frame),
        ]
        while any(seeker.left for seeker, _ in seekers):
            for seeker, take in seekers:
                self._read_piece(seeker, take, self._done + sum(other.left for other, _ in seekers))
                if self._has_found:
                    frames.stop()
                    for other, _ in seekers:
                        other.not_before(self._oldest_us())

    def _read_piece(self, seeker: NewestFirst, take: Callable[[Any], None], total: int) -> None:
        for record in seeker.piece():
            self._done += 1
            self._on_progress(self._done, total)
            if self._is_meant(record):
                take(record)

    def _oldest_us(self) -> int:
        """Return since when there may be outcomes of what was found."""
        times = [reading.captured_at_us for reading in self._readings.values()]
        times += [outcome.written_at_us for outcome in self._outcomes]
        times += [outcome.captured_at_us for outcome in self._outcomes if outcome.captured_at_us is not None]
        return min(now_us(), *times) - _CLOCKS_DIFFER_US

    def _is_meant(self, record: Any) -> bool:
        identity = dict(record.headers).get("ce_id")
        if identity == self._wanted:
            return True
        if not self._is_escaped or identity is None:
            return False
        name = identity.decode(errors="replace")
        if self._frame_id not in names_of(name):
            return False
        self._frame_id, self._wanted, self._is_escaped = name, identity, False
        return True

    def _result(self, record: Any) -> None:
        try:
            self._outcomes.append(read_stored_result(record))
        except MessageError:
            return  # anybody may write a result
        self._trim(2 * _MAX_OUTCOMES)

    def _dead_letter(self, record: Any) -> None:
        try:
            self._outcomes.append(read_stored_dead_letter(record))
        except MessageError:
            return
        self._trim(2 * _MAX_OUTCOMES)

    def _frame(self, record: Any) -> None:
        reading = read_reading(record)
        if not reading.missing and len(self._readings) < _MAX_READINGS:
            self._readings[reading.place] = reading

    def _trim(self, above: int) -> None:
        """Keep the newest outcomes where there are more than so many."""
        if len(self._outcomes) > above:
            self._outcomes.sort(key=lambda outcome: outcome.written_at_us)
            self._left_out += len(self._outcomes) - _MAX_OUTCOMES
            del self._outcomes[:-_MAX_OUTCOMES]

    def _look_at_sources(self) -> None:
        """Look for the frame where the outcomes say that they read it."""
        newest_first = sorted(self._outcomes, key=lambda outcome: -outcome.written_at_us)
        for place in dict.fromkeys(outcome.source for outcome in newest_first if outcome.source is not None):
            if place in self._readings or len(self._readings) >= _MAX_READINGS:
                continue
            record = frame_record(self._frames, self._topics.frames, place, self._frame_id)
            self._readings[place] = (
                FrameReading(place, missing=record) if isinstance(record, str) else read_reading(record)
            )
