"""The names of spans, metrics and attributes that messaging conventions give, in one place.

The conventions are in "Development", so the names come from the incubating package and nowhere else.
Source: https://opentelemetry.io/docs/specs/semconv/messaging/kafka/
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal

from opentelemetry.metrics import CallbackOptions, Counter, Histogram, Meter, Observation

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


#: Of durations in seconds. Source: the advice of the messaging conventions.
DURATION_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

Observe = Callable[[CallbackOptions], Iterable[Observation]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: what it is called, what it counts, and in which unit (UCUM).

    Attributes:
        attributes: The names of its attributes, for documents; values are bounded in number.
        buckets: Of a histogram, the upper bounds; None for those that the conventions advise for durations.
    """

    name: str
    kind: Literal["counter", "histogram", "gauge"]
    unit: str
    description: str
    attributes: tuple[str, ...] = ()
    buckets: tuple[float, ...] | None = None

    def counter(self, meter: Meter) -> Counter:
        """Make the counter that is added to."""
        return meter.create_counter(self.name, self.unit, self.description)

    def histogram(self, meter: Meter) -> Histogram:
        """Make the histogram."""
        buckets = self.buckets or DURATION_BUCKETS_S
        return meter.create_histogram(
            self.name, self.unit, self.description, explicit_bucket_boundaries_advisory=buckets
        )

    def observe(self, meter: Meter, observe: Observe) -> None:
        """Have a counter or a gauge looked at whenever metrics are collected, and at no other time."""
        if self.kind == "counter":
            meter.create_observable_counter(self.name, [observe], self.unit, self.description)
        else:
            meter.create_observable_gauge(self.name, [observe], self.unit, self.description)


CLIENT_OPERATION_DURATION: Final = Metric(
    "messaging.client.operation.duration",
    "histogram",
    "s",
    "polls that returned frames, sends up to the acknowledgement (at-least-once: one a micro-batch), commits",
    (OPERATION_NAME, DESTINATION_NAME),
)
CLIENT_SENT_MESSAGES: Final = Metric(
    "messaging.client.sent.messages", "counter", "{message}", "messages that the broker has", (DESTINATION_NAME,)
)
CLIENT_CONSUMED_MESSAGES: Final = Metric(
    "messaging.client.consumed.messages", "counter", "{message}", "messages that were polled", (DESTINATION_NAME,)
)
PROCESS_DURATION: Final = Metric(
    "messaging.process.duration", "histogram", "s", "a micro-batch from decoding to labels", (DESTINATION_NAME,)
)
