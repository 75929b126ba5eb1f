"""The cameras' spans and metrics."""

from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from messaging import telemetry as names
from messaging.frame import Frame
from messaging.trace_context import new_traceparent, traceparent_of

SCOPE: Final = "streamer.producers"
#: Frames that the broker has acknowledged, by `messaging.destination.name`. Source: the messaging conventions.
SENT_MESSAGES: Final = "messaging.client.sent.messages"
#: Frames that were given up, by `reason`.
SHED: Final = "streamer.camera.shed"


class CameraTelemetry:
    """Makes a `send` span for every sampled frame, and gives every frame its trace context."""

    def __init__(self, topic: str) -> None:
        """Get the tracer and the instruments from whatever SDK is set up at this moment."""
        self._topic = topic
        self._tracer = trace.get_tracer(SCOPE)
        meter = metrics.get_meter(SCOPE)
        self._sent = meter.create_counter(SENT_MESSAGES, unit="{message}", description="frames that the broker has")
        self._shed = meter.create_counter(SHED, unit="{frame}", description="frames that a camera gave up")

    def sending(self, frame: Frame) -> Span:
        """Begin the `send` span of a frame, and write its context into the frame."""
        attributes = names.operation("send", "send", self._topic) | {names.KAFKA_MESSAGE_KEY: frame.camera}
        span = self._tracer.start_span(
            f"send {self._topic}", context=Context(), kind=SpanKind.PRODUCER, attributes=attributes
        )
        frame.traceparent = traceparent_of(span) or new_traceparent()
        return span

    def sent(self, span: Span, camera: str) -> None:
        """End the span: the broker has the frame."""
        span.end()
        self._sent.add(1, {names.DESTINATION_NAME: self._topic, "camera": camera})

    def failed(self, span: Span, error: BaseException) -> None:
        """End the span: the frame was refused."""
        span.set_attribute(names.ERROR_TYPE, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()

    def shed(self, camera: str, reason: str) -> None:
        """Count a frame that was given up."""
        self._shed.add(1, {"camera": camera, "reason": reason})
