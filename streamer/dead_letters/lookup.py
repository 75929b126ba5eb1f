"""Looking for the frame that a dead letter is about."""

from typing import Any

from messaging.dead_letter import DeadLetter
from messaging.frame import read_frame
from messaging.reader import TopicReader
from streamer.dead_letters.errors import FrameGoneError


def original_of(letter: DeadLetter, frames: TopicReader, frames_topic: str) -> Any:
    """Return the record of the frame that a dead letter is about.

    Args:
        letter: The dead letter.
        frames: Looks in the frames topic.
        frames_topic: What that is called; no other is looked into, whatever the dead letter says.

    Raises:
        FrameGoneError: It is not there, or not any more, or cannot be read.
        BrokerUnavailableError: No broker answers.
    """
    where = f"{letter.original_topic}-{letter.original_partition} offset {letter.original_offset}"
    record = None
    if letter.original_topic == frames_topic:
        record = frames.record_at(letter.original_partition, letter.original_offset)
    frame = None if record is None else read_frame(record)
    if frame is not None and frame.unread is not None:
        raise FrameGoneError(f"its bytes cannot be had at {where}: {frame.unread}")
    if frame is None or frame.frame_id != letter.frame_id:
        raise FrameGoneError(f"its bytes are gone: the dead letter has none, and the frame is no more at {where}")
    return record
