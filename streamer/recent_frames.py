"""The newest pictures of the frames topic."""

from collections.abc import Mapping

from messaging.errors import TopicError
from messaging.frame import read_frame
from messaging.kafka import Kafka
from messaging.reader import TopicReader


def recent_frames(cluster: Kafka, topic: str, count: int) -> list[bytes]:
    """Return the encoded pictures of the newest frames, as evenly from the topic's partitions as they have them.

    Args:
        cluster: Where the topic is.
        topic: The frames topic.
        count: How many, at the most; fewer where the topic holds fewer.

    Raises:
        TopicError: There is no such topic, or no frame in it.
        BrokerUnavailableError: No broker answers.
    """
    with TopicReader(cluster, topic, from_beginning=True) as reader:
        first, ends = reader.start_offsets(), reader.end_offsets()
        starts = starts_of(first, ends, count)
        pictures = [
            frame.data
            for record in reader.read_between(starts, {number: ends[number] for number in starts})
            if (frame := read_frame(record)).data and frame.unread is None
        ]
    if not pictures:
        raise TopicError(f"there is no frame in topic {topic}: start a camera, such as `streamer produce`")
    return pictures[-count:]


def starts_of(first: Mapping[int, int], ends: Mapping[int, int], count: int) -> dict[int, int]:
    """Return where to begin, by partition, so that the newest `count` offsets follow, shared as evenly as can be."""
    starts = dict(ends)
    left = count
    while left and (has_more := [number for number in starts if starts[number] > first[number]]):
        share = max(1, left // len(has_more))
        for number in has_more[:left]:
            taken = min(share, starts[number] - first[number])
            starts[number] -= taken
            left -= taken
    return {number: start for number, start in starts.items() if start < ends[number]}
