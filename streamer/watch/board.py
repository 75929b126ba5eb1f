"""All that was seen, put together as pages ask for it. Knows no Kafka and no clock."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from messaging.errors import MessageError
from messaging.frame import Frame, read_frame
from producers.image_type import content_type_of
from streamer.dead_letters.stored import read_stored
from streamer.watch.options import SiteOptions
from streamer.watch.outcomes import RecentOutcomes, view_dead_letter, view_result
from streamer.watch.pictures import Pictures
from streamer.watch.roster import Roster
from streamer.watch.statuses import Statuses
from streamer.watch.tallies import CameraTallies
from streamer.watch.timeline import Timeline
from streamer.watch.views import (
    CameraView,
    DeadLetterView,
    OutcomeView,
    PictureView,
    SecondView,
    TotalsView,
    WorkerView,
)

#: A record (kafka-python's `ConsumerRecord`), and when it was written as far as that is known, s since 1970.
Seen = tuple[Any, float]


class Board:
    """Takes records in, and answers. Not thread-safe; times are s since 1970."""

    def __init__(self, frames_topic: str, options: SiteOptions, since_s: float) -> None:
        """Begin with nothing seen.

        Args:
            frames_topic: What the frames topic is called; outcomes of another one's frames belong to no picture.
            options: The bounds.
            since_s: Outcomes that are older are not counted.
        """
        self._frames_topic = frames_topic
        self._since_s = since_s
        self._statuses = Statuses(options.cameras, options.workers)
        self._pictures = Pictures(options.picture_bytes)
        self._tallies: Roster[CameraTallies] = Roster(options.cameras, CameraTallies, self._pictures.drop)
        self._groups: Roster[Timeline] = Roster(options.groups, Timeline, self._drop_group)
        self._recent = RecentOutcomes(options.outcomes)
        self._dead_letters: deque[DeadLetterView] = deque(maxlen=options.dead_letters)
        self._number = 0
        self._outcomes: Counter[str] = Counter()
        self._unreadable = 0

    def take_statuses(self, seen: Iterable[Seen], _now_s: float) -> None:
        """Take in records of the status topic."""
        for record, at_s in seen:
            try:
                self._statuses.take(record, at_s)
            except MessageError:
                self._unreadable += 1

    def take_results(self, seen: Iterable[Seen], now_s: float) -> None:
        """Take in records of the results topic."""
        for record, at_s in seen:
            self._take_outcome(view_result, record, at_s, now_s)

    def take_dead_letters(self, seen: Iterable[Seen], now_s: float) -> None:
        """Take in records of the dead-letter topic."""
        for record, at_s in seen:
            try:
                stored = read_stored(record)
            except MessageError:
                self._unreadable += 1
                continue
            letter = stored.letter
            self._dead_letters.append(
                DeadLetterView(
                    place=str(stored.place),
                    camera=letter.camera,
                    frame_id=letter.frame_id,
                    group=letter.group,
                    reason=letter.reason,
                    error=letter.error,
                    dead_lettered_at_us=stored.written_at_us,
                    size_bytes=stored.size_bytes,
                )
            )
            self._take_outcome(view_dead_letter, record, at_s, now_s)

    def _take_outcome(self, view: Callable[[Any, int], OutcomeView], record: Any, at_s: float, now_s: float) -> None:
        if at_s < self._since_s:
            return
        try:
            outcome = view(record, self._number + 1)
        except MessageError:
            self._unreadable += 1
            return
        tallies = self._tallies.hear(outcome.camera, now_s)
        timeline = self._groups.hear(outcome.group, now_s) if outcome.group else None
        if tallies is None or (timeline is None and outcome.group):
            return  # there is no room, which is counted
        self._number += 1
        self._outcomes[outcome.status] += 1
        self._recent.add(outcome)
        tallies.take(outcome, now_s)
        if timeline is not None:
            timeline.take(outcome, at_s, now_s)
            if outcome.topic == self._frames_topic:
                self._pictures.label(outcome, now_s)

    def take_frames(self, seen: Iterable[Seen], now_s: float) -> None:
        """Take in records of the frames topic, of each camera the last one that is a picture and no replay."""
        newest: dict[str, Frame] = {}
        for record, _ in seen:
            frame = read_frame(record)
            if content_type_of(frame.data) is not None and frame.replay_for is None:
                newest[frame.camera] = frame
        for camera, frame in newest.items():
            if self._tallies.hear(camera, now_s) is None:
                continue
            self._pictures.take(frame, now_s)
            for outcome in self._recent.of_frame((frame.partition, frame.offset)):
                if outcome.topic == self._frames_topic:
                    self._pictures.label(outcome, now_s)

    def drop_pictures(self) -> None:
        """Let all pictures go."""
        self._pictures.clear()

    def _drop_group(self, group: str) -> None:
        for tallies in self._tallies.values():
            tallies.drop(group)

    def cameras(self, group: str, now_s: float) -> list[CameraView]:
        """Return all cameras by name; outcome and picture are those of a group, or of all where that is ""."""
        return [self._camera(name, group, now_s) for name in sorted({*self._tallies, *self._statuses.cameras})]

    def _camera(self, name: str, group: str, now_s: float) -> CameraView:
        said, tallies = self._statuses.cameras.get(name), self._tallies.get(name)
        return CameraView(
            name=name,
            status=said.status if said else None,
            status_age_s=max(now_s - said.at_s, 0.0) if said else None,
            outcome=tallies.newest(group) if tallies else None,
            picture_number=self._pictures.number(name, group, now_s),
            ledgers=tallies.ledgers() if tallies else {},
        )

    def pictures(
        self, numbers: Mapping[str, int], limit_bytes: int, group: str, now_s: float
    ) -> dict[str, PictureView]:
        """Return the pictures, by camera, whose number is greater than the one given, and one at least of them."""
        found: dict[str, PictureView] = {}
        size_bytes = 0
        for camera, number in numbers.items():
            picture = self._pictures.newest(camera, group, now_s)
            if picture is None or picture.number <= number:
                continue
            size_bytes += len(picture.data)
            if found and size_bytes > limit_bytes:
                break
            found[camera] = picture
        return found

    def outcomes(self, limit: int, after: int) -> list[OutcomeView]:
        """Return the newest outcomes, newest first; see `RecentOutcomes.newest`."""
        return self._recent.newest(limit, after)

    def groups(self) -> list[str]:
        """Return the groups that said something about a frame, by name."""
        return sorted(self._groups)

    def seconds(self, group: str, now_s: float) -> list[SecondView]:
        """Return a group's last five minutes; see `Timeline.view`."""
        timeline = self._groups.get(group)
        return [] if timeline is None else timeline.view(now_s)

    def workers(self, now_s: float) -> list[WorkerView]:
        """Return the workers by name."""
        return [
            WorkerView(name, said.status, max(now_s - said.at_s, 0.0))
            for name, said in sorted(self._statuses.workers.items())
            if said.status is not None
        ]

    def dead_letters(self, limit: int) -> list[DeadLetterView]:
        """Return the newest dead letters, newest first."""
        return [letter for letter, _ in zip(reversed(self._dead_letters), range(limit), strict=False)]

    def totals(self, passed_over: int) -> TotalsView:
        """Return what was seen in all; `passed_over` is what was not read."""
        return TotalsView(
            outcomes=dict(self._outcomes),
            unreadable=self._unreadable,
            passed_over=passed_over,
            cameras_left_out=max(self._tallies.left_out, self._statuses.cameras.left_out),
            groups_left_out=self._groups.left_out,
            workers_left_out=self._statuses.workers.left_out,
        )
