"""A site as pages see it: what Kafka knows of cameras, workers and frames, followed by one thread."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock, Thread
from typing import Self

from messaging.kafka import Kafka
from messaging.topics import TopicNames
from streamer.watch.board import Board, Seen
from streamer.watch.follower import Follower, Following
from streamer.watch.options import SiteOptions
from streamer.watch.reading import Reading, Source
from streamer.watch.views import (
    CameraView,
    DeadLetterView,
    OutcomeView,
    PictureView,
    SecondView,
    StateView,
    TotalsView,
    WorkerView,
)

log = logging.getLogger(__name__)

#: A page shows something at once, and does not wait for the next minute.
_PAST_S = 60.0
_RESULTS = Following(age_s=_PAST_S, records=5000, behind_s=120.0)
#: Cameras of one frame in five seconds are there at once, too.
_FRAMES = Following(age_s=5.0, records=500, behind_s=5.0)
_STATUS = Following()
_CLOSE_S = 30.0
_BROKEN_REST_S = 5.0


class Site:
    """Follows the topics, beside all others, without a group; writes nothing.

    Frames are read only while somebody looks at pictures (`watching`). All methods may be called by any thread, and
    none waits for Kafka.
    """

    def __init__(self, kafka: Kafka, topics: TopicNames, options: SiteOptions | None = None) -> None:
        """Remember what to follow; `start` (or `with`) begins. A closed site may not be started again."""
        options = options or SiteOptions()
        self._linger_s = options.linger_s
        self._board = Board(topics.frames, options, time.time() - _PAST_S)
        self._lock = Lock()
        self._wake = Event()
        self._is_closing = False
        self._watchers = 0
        self._watched_until_s = 0.0
        board = self._board
        dead_letters = Following(records=options.dead_letters)
        self._reading = Reading(
            [
                Source(Follower(kafka, topics.frames, _FRAMES), self._locked(board.take_frames), self._is_watched),
                Source(Follower(kafka, topics.results, _RESULTS), self._locked(board.take_results)),
                Source(Follower(kafka, topics.status, _STATUS), self._locked(board.take_statuses)),
                Source(Follower(kafka, topics.dead_letters, dead_letters), self._locked(board.take_dead_letters)),
            ],
            time.time,
            kafka.bootstrap_servers,
        )
        self._thread = Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to follow; a broker that is not there yet is waited for."""
        self._thread.start()

    def close(self) -> None:
        """Stop; closing twice is harmless."""
        self._is_closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_CLOSE_S)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._wake.wait(self._turn())
                self._wake.clear()
        finally:
            self._reading.close()

    def _turn(self) -> float:
        try:
            return self._reading.turn()
        except Exception as exc:  # whatever it is, pages say so, and reading begins anew
            log.warning("reading from Kafka broke off: %s", exc, exc_info=log.isEnabledFor(logging.DEBUG))
            self._reading.break_off(f"reading from Kafka broke off and begins anew: {exc}")
            return _BROKEN_REST_S

    def _locked(self, take: Callable[[list[Seen], float], None]) -> Callable[[list[Seen], float], None]:
        def take_locked(seen: list[Seen], now_s: float) -> None:
            with self._lock:
                take(seen, now_s)

        return take_locked

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have frames read while this lasts, and some seconds longer; else there are no pictures.

        A page that asks once a second may do so for each question alone.
        """
        was_watched = self._is_watched(time.time())
        with self._lock:
            self._watchers += 1
        if not was_watched:
            self._wake.set()
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= 1
                self._watched_until_s = time.time() + self._linger_s

    def _is_watched(self, now_s: float) -> bool:
        with self._lock:
            is_watched = self._watchers > 0 or 0 < self._watched_until_s - now_s <= self._linger_s
            if not is_watched:
                self._board.drop_pictures()
        return is_watched

    @property
    def state(self) -> StateView:
        """Whether Kafka can be read, and what is wrong."""
        return self._reading.state

    @property
    def totals(self) -> TotalsView:
        """What was seen in all."""
        with self._lock:
            return self._board.totals(self._reading.passed_over)

    def cameras(self, group: str = "") -> list[CameraView]:
        """Return all cameras by name; outcome and picture are those of a group, or of all groups where that is ""."""
        with self._lock:
            return self._board.cameras(group, time.time())

    def pictures(self, numbers: Mapping[str, int], limit_bytes: int, group: str = "") -> dict[str, PictureView]:
        """Return, by camera, the newest pictures of those asked for.

        Args:
            numbers: The cameras, and the number of the picture that each shows already, 0 for none; only pictures
                with a greater one are returned.
            limit_bytes: Stop before there are more; one picture is returned whatever its size.
            group: Whose outcomes are wanted, "" for any group's. Another group's numbers are others.
        """
        with self._lock:
            return self._board.pictures(numbers, limit_bytes, group, time.time())

    def outcomes(self, limit: int, after: int = 0) -> list[OutcomeView]:
        """Return the newest outcomes, newest first, `limit` at the most, and only those with a number over `after`."""
        with self._lock:
            return self._board.outcomes(limit, after)

    def groups(self) -> list[str]:
        """Return the consumer groups that said something about a frame, by name."""
        with self._lock:
            return self._board.groups()

    def seconds(self, group: str) -> list[SecondView]:
        """Return what a group did in each of the last 300 seconds that are over, from the first that is known."""
        with self._lock:
            return self._board.seconds(group, time.time())

    def workers(self) -> list[WorkerView]:
        """Return the workers by name."""
        with self._lock:
            return self._board.workers(time.time())

    def dead_letters(self, limit: int) -> list[DeadLetterView]:
        """Return the newest dead letters, newest first, `limit` at the most."""
        with self._lock:
            return self._board.dead_letters(limit)
