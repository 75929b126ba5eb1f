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
#: How seldom, among sites, any partition has more cameras than it is sized for.
_RISK: Final = 0.02
_MIB: Final = 1024 * 1024
#: Source: the usual server's 10 Gbit/s network, and what one NVMe disk writes for hours.
_NETWORK_BYTES_PER_S: Final = 10e9 / 8
_DISK_BYTES_PER_S: Final = 1e9


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

    @property
    def brokers(self) -> int:
        """How many brokers one copy of everything takes."""
        network_bytes_per_s = max(self.network_in_bytes_per_s, self.network_out_bytes_per_s)
        shares = network_bytes_per_s / _NETWORK_BYTES_PER_S, self.disk_write_bytes_per_s / _DISK_BYTES_PER_S
        return max(math.ceil(max(shares)), 1)

    @property
    def warning(self) -> str | None:
        """What one broker does not bear; None where it bears all."""
        if self.brokers == 1:
            return None
        network_gbit_per_s = max(self.network_in_bytes_per_s, self.network_out_bytes_per_s) * 8 / 1e9
        return (
            f"one broker does not bear it: {network_gbit_per_s:.1f} Gbit/s each way and "
            f"{self.disk_write_bytes_per_s / 1e9:.2f} GB/s of writing, where a usual one has "
            f"{_NETWORK_BYTES_PER_S * 8 / 1e9:.0f} Gbit/s and {_DISK_BYTES_PER_S / 1e9:.0f} GB/s: "
            f"divide the topics among {self.brokers} brokers, and more for every further copy"
        )


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
    of_partition = frames_per_s * wish.retention_s / wish.cameras * most_cameras(wish.cameras, partitions)
    return BrokerLoad(
        math.ceil(kept * (1 + _SEGMENT_SHARE)),
        bytes_per_s,
        bytes_per_s,
        bytes_per_s,
        max(math.ceil(of_partition / _MIB), 16) * _MIB,
    )


def most_cameras(cameras: int, partitions: int) -> int:
    """Return so many cameras as hardly ever a partition has more of; their names decide which has which.

    A partition has more in so few cases (binomial) that all partitions together keep `_RISK`: over two standard
    deviations above the even share, and at least one.
    """
    low, high = 0, cameras
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if partitions * _more_than(middle, cameras, partitions) <= _RISK else (middle, high)
    return high


def _more_than(count: int, cameras: int, partitions: int) -> float:
    """Return the probability that a given partition has more cameras than so many; 1 up to the even share."""
    share = 1 / partitions
    if count < cameras * share:
        return 1.0
    if partitions == 1:
        return 0.0
    number = count + 1
    ways = math.lgamma(cameras + 1) - math.lgamma(number + 1) - math.lgamma(cameras - number + 1)
    term = math.exp(ways + number * math.log(share) + (cameras - number) * math.log1p(-share))
    total = 0.0
    while number <= cameras and term > total * 1e-9:
        total += term
        term *= (cameras - number) / (number + 1) * share / (1 - share)
        number += 1
    return total
