"""Whether a Kafka broker answers: one request over one socket, with nothing left behind when it does not."""

import socket
import struct
from dataclasses import dataclass
from typing import Any

from messaging.broker.properties import HOST

_LENGTH = struct.Struct(">i")
_LARGEST_ANSWER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """What a broker says of its cluster.

    Attributes:
        cluster_id: The id that the storage was formatted with.
        nodes: The brokers that serve clients.
    """

    cluster_id: str
    nodes: frozenset[int]


def ask_cluster(port: int, timeout_s: float) -> ClusterAnswer | None:
    """Ask the broker on a port of this machine for its cluster; None where it does not answer, or not yet.

    kafka-python's admin client is not used: one that cannot connect leaves its thread and sockets behind.

    Args:
        port: The broker's port for clients.
        timeout_s: For connecting, and again for each part of the answer, in s.
    """
    from kafka.protocol.admin import DescribeClusterRequest, DescribeClusterResponse

    request: Any = DescribeClusterRequest(include_cluster_authorized_operations=False)
    request.with_header(correlation_id=1, client_id="aic-streamer-readiness")
    try:
        with socket.create_connection((HOST, port), timeout_s) as connection, connection.makefile("rb") as reader:
            connection.sendall(request.encode(version=0, header=True, framed=True))
            (length,) = _LENGTH.unpack(reader.read(_LENGTH.size))
            if not 0 < length <= _LARGEST_ANSWER_BYTES:
                return None
            answer: Any = DescribeClusterResponse.decode(reader.read(length), version=0, header=True)
    except (OSError, struct.error, ValueError):
        return None
    if answer.error_code:
        return None
    return ClusterAnswer(str(answer.cluster_id), frozenset(int(broker.broker_id) for broker in answer.brokers))
