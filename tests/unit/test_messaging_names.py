from opentelemetry.semconv._incubating.attributes import messaging_attributes as conventions
from opentelemetry.semconv.attributes import error_attributes

from messaging import telemetry


def test_the_names_are_those_of_the_conventions() -> None:
    assert telemetry.SYSTEM == conventions.MESSAGING_SYSTEM
    assert telemetry.OPERATION_NAME == conventions.MESSAGING_OPERATION_NAME
    assert telemetry.OPERATION_TYPE == conventions.MESSAGING_OPERATION_TYPE
    assert telemetry.DESTINATION_NAME == conventions.MESSAGING_DESTINATION_NAME
    assert telemetry.PARTITION_ID == conventions.MESSAGING_DESTINATION_PARTITION_ID
    assert telemetry.GROUP_NAME == conventions.MESSAGING_CONSUMER_GROUP_NAME
    assert telemetry.BATCH_MESSAGE_COUNT == conventions.MESSAGING_BATCH_MESSAGE_COUNT
    assert telemetry.KAFKA_OFFSET == conventions.MESSAGING_KAFKA_OFFSET
    assert telemetry.KAFKA_MESSAGE_KEY == conventions.MESSAGING_KAFKA_MESSAGE_KEY
    assert telemetry.ERROR_TYPE == error_attributes.ERROR_TYPE
    assert conventions.MessagingSystemValues.KAFKA.value == telemetry.KAFKA_SYSTEM


def test_an_operation_is_named_by_what_the_conventions_know() -> None:
    attributes = telemetry.operation("poll", "receive", "frames")
    assert attributes == {
        conventions.MESSAGING_SYSTEM: "kafka",
        conventions.MESSAGING_OPERATION_NAME: "poll",
        conventions.MESSAGING_OPERATION_TYPE: conventions.MessagingOperationTypeValues.RECEIVE.value,
        conventions.MESSAGING_DESTINATION_NAME: "frames",
    }
