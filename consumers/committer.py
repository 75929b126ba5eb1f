"""When offsets are committed: the contiguous watermark, soon enough to keep what a crash repeats small."""

import logging
import time
from collections import deque
from dataclasses import replace
from threading import Event
from typing import Any

import kafka.errors

from consumers.batch import Outgoing
from consumers.events import Events
from consumers.in_flight import InFlight, PendingCommit
from consumers.subscription import FrameSubscription
from consumers.telemetry import ConsumerTelemetry
from messaging.frame import Frame
from messaging.telemetry import MAX_LINKS

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class Committer:
    """Commits for one consumer, one commit at a time. `acknowledged` comes from another thread than the rest."""

    def __init__(
        self,
        frames: FrameSubscription,
        in_flight: InFlight[Outgoing],
        early_frames: int,
        telemetry: ConsumerTelemetry,
        events: Events,
        interval_s: float,
    ) -> None:
        """Remember whose offsets to commit.

        Args:
            frames: Where they are committed.
            in_flight: What may be committed.
            early_frames: So many acknowledged frames wait no longer.
            telemetry: Notes commits.
            events: Notes them too.
            interval_s: Acknowledged frames wait this long for company at the most.
        """
        self._frames = frames
        self._in_flight = in_flight
        self._early_frames = early_frames
        self._telemetry = telemetry
        self._events = events
        self._interval_s = interval_s
        self._is_failing = False
        self._sampled: deque[Frame] = deque(maxlen=MAX_LINKS)
        self._next_s = 0.0
        self._idle = Event()
        self._idle.set()

    def acknowledged(self, frame: Frame) -> None:
        """Remember a sampled frame for the next commit's span."""
        if self._telemetry.wants(frame):
            self._sampled.append(replace(frame, data=b"", headers=()))  # its context is all that is needed

    def commit_if_due(self, now_s: float) -> None:
        """Begin a commit if there is something to commit and it is time, and none is under way."""
        if not self._idle.is_set():
            return
        commits = self._in_flight.pending_commits()
        count = sum(commit.frames for commit in commits.values())
        if commits and (now_s >= self._next_s or count >= self._early_frames):
            self._next_s = now_s + self._interval_s
            self._begin(commits)

    def commit_now(self, timeout_s: float) -> None:
        """Commit what there is, and wait for it."""
        deadline_s = time.monotonic() + timeout_s
        self._idle.wait(timeout_s)
        if commits := self._in_flight.pending_commits():
            self._begin(commits)
            if not self._idle.wait(max(deadline_s - time.monotonic(), 0.0)):
                log.warning("the last offsets were not committed in time; their frames may be classified twice")

    def _begin(self, commits: dict[int, PendingCommit]) -> None:
        self._idle.clear()
        began_ns, began_s = time.time_ns(), time.monotonic()
        sampled = [self._sampled.popleft() for _ in range(len(self._sampled))]
        future = self._frames.commit({partition: commit.offset for partition, commit in commits.items()})
        future.add_callback(self._succeeded, commits, sampled, (began_ns, began_s))
        future.add_errback(self._failed)

    def _succeeded(
        self, commits: dict[int, PendingCommit], sampled: list[Frame], began: tuple[int, float], _: Any
    ) -> None:
        self._in_flight.committed(commits)
        began_ns, began_s = began
        self._telemetry.committed(sampled, began_ns, time.monotonic() - began_s)
        if self._events.are_wanted:
            self._events("committed", offsets={partition: commit.offset for partition, commit in commits.items()})
        if self._is_failing:
            self._is_failing = False
            log.warning("offsets are committed again")
        self._idle.set()

    def _failed(self, exc: BaseException) -> None:
        # The watermark stays pending, so the next commit covers it; after a rebalance it may be another member's.
        if isinstance(exc, kafka.errors.RebalanceInProgressError):
            log.debug("a commit came into a rebalance")  # a cooperative one, under which work goes on
        elif not self._is_failing:  # once for an outage, not at every try
            self._is_failing = True
            log.warning("a commit failed and is tried again until it succeeds: %s", exc)
        self._next_s = time.monotonic() + _RETRY_S
        self._idle.set()
