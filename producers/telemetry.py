"""The cameras' spans, and how long sending takes. What can be counted in plain numbers is in `metrics.py`."""

import time
from typing import Final, NamedTuple

from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from messaging import telemetry as names
from messaging.frame import Frame
from messaging.trace_context import new_traceparent, traceparent_of

SCOPE: Final = "streamer.producers"


class Sending(NamedTuple):
    """A frame that is being sent."""

    span: Span
    began_s: float


class CameraTelemetry:
    """Makes a `send` span for every sampled frame, and gives every frame its trace context."""

    def __init__(self, topic: str) -> None:
        """Get the tracer and the instruments from whatever SDK is set up at this moment."""
        self._topic = topic
        self._tracer = trace.get_tracer(SCOPE)
        self._attributes = names.operation("send", "send", topic)
        self._duration = names.CLIENT_OPERATION_DURATION.histogram(metrics.get_meter(SCOPE))

    def sending(self, frame: Frame) -> Sending:
        """Begin the `send` span of a frame, and write its context into the frame."""
        attributes = self._attributes | {names.KAFKA_MESSAGE_KEY: frame.camera}
        span = self._tracer.start_span(
            f"send {self._topic}", context=Context(), kind=SpanKind.PRODUCER, attributes=attributes
        )
        frame.traceparent = traceparent_of(span) or new_traceparent()
        return Sending(span, time.monotonic())

    def sent(self, sending: Sending) -> None:
        """End the span: the broker has the frame."""
        sending.span.end()
        self._duration.record(time.monotonic() - sending.began_s, self._attributes)

    def failed(self, sending: Sending, error: BaseException) -> None:
        """End the span: the frame was refused."""
        span = sending.span
        span.set_attribute(names.ERROR_TYPE, type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))
        span.end()
