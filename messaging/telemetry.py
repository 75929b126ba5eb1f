"""The names of spans, metrics and attributes that messaging conventions give, in one place.

The conventions are in "Development", so the names come from the incubating package and nowhere else.
Source: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

from typing import Final

# What opentelemetry.semconv._incubating.attributes.messaging_attributes calls MESSAGING_*; spelt out, because
# importing that package costs start-up, and held to it by a test.
SYSTEM: Final = "messaging.system"
OPERATION_NAME: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION_NAME: Final = "messaging.destination.name"
PARTITION_ID: Final = "messaging.destination.partition.id"
GROUP_NAME: Final = "messaging.consumer.group.name"
BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"
KAFKA_OFFSET: Final = "messaging.kafka.offset"
KAFKA_MESSAGE_KEY: Final = "messaging.kafka.message.key"
ERROR_TYPE: Final = "error.type"

KAFKA_SYSTEM: Final = "kafka"

#: More links than this are cut off by the SDK's default limit.
MAX_LINKS: Final = 128


def operation(name: str, kind: str, destination: str) -> dict[str, str | int]:
    """Return the attributes that every messaging span has.

    Args:
        name: `send`, `poll`, `process` or `commit`.
        kind: The operation type of the conventions: `send`, `receive`, `process` or `settle`.
        destination: The topic.
    """
    return {SYSTEM: KAFKA_SYSTEM, OPERATION_NAME: name, OPERATION_TYPE: kind, DESTINATION_NAME: destination}
