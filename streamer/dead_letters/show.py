"""Looking at one dead letter."""

from dataclasses import dataclass
from typing import Any

from messaging.dead_letter import read_dead_letter
from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.topics import TopicNames
from streamer.dead_letters.errors import DeadLetterError, DeadLetterNotFoundError
from streamer.dead_letters.lookup import original_of
from streamer.dead_letters.search import DeadLetterReader, OnProgress, ignore_progress
from streamer.dead_letters.stored import Filters, Place, StoredDeadLetter, read_stored
from streamer.terminal import harmless

#: So many others of the same frame are named.
_MAX_OTHERS = 20


@dataclass(frozen=True, slots=True)
class WholeDeadLetter:
    """A dead letter with everything that it has.

    Attributes:
        record: As it was read (kafka-python's `ConsumerRecord`), bytes included.
        others: Where other, older dead letters of the same frame stand, newest last; the last 20 of them.
    """

    stored: StoredDeadLetter
    record: Any
    others: tuple[Place, ...] = ()


def find_dead_letter(
    cluster: Kafka, topics: TopicNames, identity: str, on_progress: OnProgress = ignore_progress
) -> WholeDeadLetter:
    """Find a dead letter by its place, else the newest one of a frame.

    Args:
        cluster: Where the topics are.
        topics: What they are called.
        identity: A place, `<partition>:<offset>`, or a frame's id.
        on_progress: Called while reading.

    Raises:
        DeadLetterNotFoundError: There is none.
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    with TopicReader(cluster, topics.dead_letters, from_beginning=False) as lookup:
        place = Place.read(identity)
        if place is not None and (found := _at(lookup, place)) is not None:
            return found
        places: list[StoredDeadLetter] = []
        for stored in DeadLetterReader(cluster, topics, on_progress).read(Filters(ids=[identity])):
            places = [*places[-_MAX_OTHERS:], stored]
        places.sort(key=lambda stored: (stored.written_at_us, stored.place))
        while places:
            found = _at(lookup, places[-1].place, tuple(stored.place for stored in places[:-1]))
            if found is not None:
                return found
            places.pop()  # retention was faster
    raise DeadLetterNotFoundError.of(identity)


def frame_bytes(cluster: Kafka, topics: TopicNames, found: WholeDeadLetter) -> bytes:
    """Return the encoded picture that a dead letter is about, from where the frame stands if need be.

    Raises:
        DeadLetterError: The frame is empty, or its bytes are gone.
        TopicError: A topic is missing.
        BrokerUnavailableError: No broker answers.
    """
    letter = read_dead_letter(found.record)
    if not letter.has_bytes:
        with TopicReader(cluster, topics.frames, from_beginning=False) as frames:
            data: bytes = original_of(letter, frames, topics.frames).value or b""
    else:
        data = letter.data
    if not data:
        raise DeadLetterError(f"frame {harmless(letter.frame_id)} is empty: it has no bytes to write")
    return data


def _at(lookup: TopicReader, place: Place, others: tuple[Place, ...] = ()) -> WholeDeadLetter | None:
    record = lookup.record_at(*place)
    if record is None:
        return None
    try:
        return WholeDeadLetter(read_stored(record), record, others)
    except MessageError:
        return None
