"""Records of outcomes as pages show them, and the newest of them."""

from collections import deque
from typing import Any

import msgspec

from messaging.cloudevents import read_headers
from messaging.errors import MessageError
from messaging.frame import MAX_CAMERA_CHARS, MAX_ID_CHARS, MAX_TOPIC_CHARS, read_frame
from messaging.outcome import Classified, LatencyParts, Skipped, read_outcome
from messaging.timestamps import parse_us
from messaging.trace_context import is_traceparent, trace_id
from streamer.audit.facts import OutcomeFact
from streamer.audit.records import dead_letter_fact, result_fact
from streamer.watch.views import OutcomeView

#: A result of 1,000 classes takes a tenth of it.
_MAX_RESULT_BYTES = 1024 * 1024
_MAX_REASON_CHARS = 50
_MAX_LABEL_CHARS = 200
#: As many digits as a frame's own sequence may have.
_MAX_SEQUENCE = 10**18
#: Eleven days; beyond that nobody measured anything.
_MAX_LATENCY_MS = 1e9

#: Partition and offset of a frame.
Place = tuple[int, int]


def view_result(record: Any, number: int) -> OutcomeView:
    """Read a record of the results topic (kafka-python's `ConsumerRecord`).

    Args:
        record: The record.
        number: That of the outcome in this program.

    Raises:
        MessageError: It is no result, does not say whose, or has names or a sequence that are too long.
    """
    if len(record.value or b"") > _MAX_RESULT_BYTES:
        raise MessageError("a result that is too large to be one of streamer's")
    fact, outcome = result_fact(record), read_outcome(record.value or b"")
    traceparent = read_headers(record.headers).get("traceparent", "")
    label, score, latency_ms, device, is_degraded = "", None, None, "", False
    truth = None if isinstance(outcome, Skipped) else outcome.truth
    if not isinstance(outcome, Skipped):
        latency_ms, device, is_degraded = _believed(outcome.latency_ms), outcome.device, outcome.degraded
    if isinstance(outcome, Classified):
        label, score = outcome.label[:_MAX_LABEL_CHARS], outcome.score if 0 <= outcome.score <= 1 else None
    try:
        captured_at_us = parse_us(outcome.captured_at)
    except (ValueError, OverflowError) as exc:
        raise MessageError("a result whose capture time is none") from exc
    if abs(outcome.sequence) >= _MAX_SEQUENCE:
        raise MessageError("a result whose sequence is too large to be streamer's")
    _check_names(fact)
    return OutcomeView(
        frame_id=fact.frame_id,
        camera=fact.camera,
        sequence=outcome.sequence,
        group=fact.group or "",
        status=fact.status,
        label=label,
        score=score,
        reason=fact.reason[:_MAX_REASON_CHARS],
        truth=(truth or "")[:_MAX_LABEL_CHARS],
        is_degraded=is_degraded,
        device=device[:_MAX_LABEL_CHARS],
        captured_at_us=captured_at_us,
        latency_ms=latency_ms,
        trace_id=trace_id(traceparent) if is_traceparent(traceparent) else "",
        topic=fact.topic,
        partition=fact.partition,
        offset=fact.offset,
        number=number,
    )


def view_dead_letter(record: Any, number: int) -> OutcomeView:
    """Read a record of the dead-letter topic as an outcome; otherwise as `view_result`."""
    fact = dead_letter_fact(record)
    frame = read_frame(record._replace(topic=fact.topic, partition=fact.partition, offset=fact.offset))
    return OutcomeView(
        frame_id=fact.frame_id,
        camera=fact.camera,
        sequence=frame.sequence,
        group=fact.group or "",
        status=fact.status,
        label="",
        score=None,
        reason=fact.reason,
        truth=frame.truth or "",
        is_degraded=False,
        device="",
        captured_at_us=frame.captured_at_us,
        latency_ms=None,
        trace_id=trace_id(frame.traceparent) if frame.has_remote_context else "",
        topic=fact.topic,
        partition=fact.partition,
        offset=fact.offset,
        number=number,
    )


def _believed(parts: LatencyParts) -> LatencyParts | None:
    return parts if all(abs(part) <= _MAX_LATENCY_MS for part in msgspec.structs.astuple(parts)) else None


def _check_names(fact: OutcomeFact) -> None:
    if (
        len(fact.camera) > MAX_CAMERA_CHARS
        or len(fact.topic) > MAX_TOPIC_CHARS
        or max(len(fact.group or ""), len(fact.frame_id)) > MAX_ID_CHARS
    ):
        raise MessageError("a result whose names are too long to be streamer's")


class RecentOutcomes:
    """The newest outcomes, and which of them belong to a frame."""

    def __init__(self, limit: int) -> None:
        """Begin with none; no more than `limit` are kept."""
        self._limit = limit
        self._outcomes: deque[OutcomeView] = deque()
        self._by_place: dict[Place, list[OutcomeView]] = {}

    def add(self, outcome: OutcomeView) -> None:
        """Add the newest one; the oldest goes where there is no room."""
        if len(self._outcomes) >= self._limit:
            self._forget(self._outcomes.popleft())
        self._outcomes.append(outcome)
        self._by_place.setdefault((outcome.partition, outcome.offset), []).append(outcome)

    def _forget(self, outcome: OutcomeView) -> None:
        place = (outcome.partition, outcome.offset)
        of_frame = self._by_place[place]
        of_frame.pop(0)  # each place has its own in their order
        if not of_frame:
            del self._by_place[place]

    def newest(self, limit: int, after: int = 0) -> list[OutcomeView]:
        """Return the newest ones, newest first.

        Args:
            limit: How many at the most.
            after: Only those with a greater number.
        """
        found: list[OutcomeView] = []
        for outcome in reversed(self._outcomes):
            if outcome.number <= after or len(found) >= limit:
                break
            found.append(outcome)
        return found

    def of_frame(self, place: Place) -> list[OutcomeView]:
        """Return the outcomes of the frame at a place, in the order in which they came."""
        return self._by_place.get(place, [])
