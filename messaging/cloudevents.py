"""CloudEvents 1.0 in Kafka's binary mode: the attributes are headers, the value is the data alone.

Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

#: Kafka's own type for headers: order kept, names may repeat.
Headers = list[tuple[str, bytes]]

SPEC_VERSION = b"1.0"
FRAME_TYPE = "streamer.frame.v1"
CLASSIFICATION_TYPE = "streamer.classification.v1"
DEAD_LETTER_TYPE = "streamer.dead-letter.v1"
STATUS_TYPE = "streamer.status.v1"
JSON_CONTENT_TYPE = b"application/json"


class Message(NamedTuple):
    """One record, ready for a producer. `timestamp_ms` None means now."""

    key: bytes
    value: bytes
    headers: Headers
    timestamp_ms: int | None = None


def read_headers(headers: Iterable[tuple[str, bytes | None]]) -> dict[str, str]:
    """Read headers as text; of a repeated name the last one counts, and what is not UTF-8 is left out."""
    texts: dict[str, str] = {}
    for name, value in headers:
        if value is None:
            texts.pop(name, None)
            continue
        try:
            texts[name] = value.decode()
        except UnicodeDecodeError:
            texts.pop(name, None)
    return texts


def replace_headers(headers: Iterable[tuple[str, bytes | None]], changes: Mapping[str, bytes]) -> Headers:
    """Return `headers` with each name in `changes` set once to its new value.

    Headers without a value cannot be sent; where the last one of a name has none, the earlier ones go, too, since they
    do not count.
    """
    headers = list(headers)
    gone = changes.keys() | {name for name, value in dict(headers).items() if value is None}
    kept = [(name, value) for name, value in headers if value is not None and name not in gone]
    return kept + list(changes.items())
