"""Records of the results and dead-letter topics as facts."""

from typing import Any

from messaging.cloudevents import read_headers
from messaging.dead_letter import read_dead_letter
from messaging.errors import MessageError
from messaging.outcome import Classified, Outcome, Skipped, camera_source, read_outcome
from streamer.audit.facts import OutcomeFact


def dead_letter_fact(record: Any) -> OutcomeFact:
    """Read a record of the dead-letter topic (kafka-python's `ConsumerRecord`).

    Raises:
        MessageError: It does not say whose frame it is.
    """
    letter = read_dead_letter(record)
    if not letter.is_whole:
        raise MessageError("not a dead letter of streamer")
    return OutcomeFact(
        letter.group,
        letter.camera,
        letter.frame_id,
        "dead-lettered",
        letter.reason,
        letter.original_topic,
        letter.original_partition,
        letter.original_offset,
    )


def result_fact(record: Any) -> OutcomeFact:
    """Read a record of the results topic (kafka-python's `ConsumerRecord`).

    Raises:
        MessageError: It is no result, or does not say whose.
    """
    headers = read_headers(record.headers)
    outcome = read_outcome(record.value or b"")
    frame_id = headers.get("ce_id", "")
    reason = outcome.reason if isinstance(outcome, Skipped) else ""
    if outcome.group is None and headers.get("ce_source") == camera_source(outcome.camera).decode():
        return OutcomeFact(None, outcome.camera, frame_id, "skipped", reason)
    source = outcome.source
    if outcome.group is None or source is None or not source.topic or not frame_id:
        raise MessageError("a result that does not say whose it is")
    place = source.topic, source.partition, source.offset
    return OutcomeFact(outcome.group, outcome.camera, frame_id, _status(outcome), reason, *place, _is_right(outcome))


def _status(outcome: Outcome) -> str:
    status = type(outcome).__struct_config__.tag
    assert isinstance(status, str)
    return status


def _is_right(outcome: Outcome) -> bool | None:
    if not isinstance(outcome, Classified) or outcome.truth is None:
        return None
    return outcome.label == outcome.truth
