"""Records as kafka-python hands them over, without a broker."""

from collections.abc import Iterable
from typing import Any

from kafka.consumer.fetcher import ConsumerRecord

from messaging.cloudevents import Message

#: 2026-11-21T08:00:00Z.
TIME_US = 1_795_248_000_000_000
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

_DEFAULTS = {
    "topic": "frames",
    "partition": 3,
    "leader_epoch": 0,
    "offset": 1042,
    "timestamp": TIME_US // 1000,
    "timestamp_type": 0,
    "key": b"line-1",
    "value": b"bytes",
    "headers": [],
    "checksum": None,
    "serialized_key_size": -1,
    "serialized_value_size": -1,
    "serialized_header_size": -1,
}


def record(headers: Iterable[tuple[str, bytes | None]] = (), **changes: Any) -> Any:
    return ConsumerRecord(**_DEFAULTS | {"headers": list(headers)} | changes)


def record_of(message: Message, **changes: Any) -> Any:
    """The record that a reader gets of a message."""
    sent = {"key": message.key, "value": message.value, "timestamp": message.timestamp_ms}
    return record(message.headers, **sent | changes)
