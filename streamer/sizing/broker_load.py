"""What a stream asks of the Kafka brokers. Pure."""

import math
from dataclasses import dataclass
from typing import Final

from messaging.topics import TopicPlan
from streamer.sizing.wish import Wish

#: Of a frame beside its picture: key, headers, Kafka's own share; and a result with its headers and five classes.
#: Measured, with names of 15 characters.
_FRAME_HEADER_BYTES: Final = 330
_RESULT_BYTES: Final = 1140
#: The segment that is being written, which is no part of the retention.
_SEGMENT_SHARE: Final = 1 / 6
#: A partition's share of the cameras is no even one.
_UNEVEN: Final = 1.5
_MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class BrokerLoad:
    """Of one copy of everything; more copies take as much again, each.

    Attributes:
        disk_bytes: What is kept of frames and results, the segments that are being written included.
        disk_write_bytes_per_s: What is written.
        network_in_bytes_per_s: From cameras and workers.
        network_out_bytes_per_s: To one group, and to one reader of the results.
        retention_bytes: What a partition of frames must be allowed to hold.
    """

    disk_bytes: int
    disk_write_bytes_per_s: float
    network_in_bytes_per_s: float
    network_out_bytes_per_s: float
    retention_bytes: int


def broker_load(wish: Wish, partitions: int) -> BrokerLoad:
    """Return what the brokers have to bear."""
    frames_per_s = wish.total_fps * (wish.frame_bytes + _FRAME_HEADER_BYTES)
    bytes_per_s = frames_per_s + wish.total_fps * _RESULT_BYTES
    results = TopicPlan()
    kept_of_results = min(
        wish.total_fps * _RESULT_BYTES * results.results_retention.total_seconds(),
        partitions * results.results_retention_bytes,
    )
    kept = frames_per_s * wish.retention_s + kept_of_results
    of_partition = frames_per_s * wish.retention_s / partitions * (_UNEVEN if partitions > 1 else 1.0)
    return BrokerLoad(
        math.ceil(kept * (1 + _SEGMENT_SHARE)),
        bytes_per_s,
        bytes_per_s,
        bytes_per_s,
        max(math.ceil(of_partition / _MIB), 16) * _MIB,
    )
