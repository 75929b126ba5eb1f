"""The spans of one frame in its own trace, written when its outcome has arrived, with their true times."""

from typing import Final

from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags, Tracer, set_span_in_context

from consumers.batch import Outgoing
from messaging import telemetry as names
from messaging.frame import Frame
from messaging.outcome import LATENCY_PARTS
from messaging.trace_context import span_context

#: The span of a frame in a consumer, from its capture to its acknowledged outcome.
FRAME: Final = "frame"
#: The last of its parts: from the hand-over to the producer to the acknowledgement, or the commit.
PUBLISH: Final = "publish"

CAMERA: Final = "streamer.camera"
SEQUENCE: Final = "streamer.sequence"
FRAME_ID: Final = "cloudevents.event_id"
OUTCOME: Final = "streamer.outcome"
REASON: Final = "streamer.reason"
DEVICE: Final = "streamer.device"
BATCH_SIZE: Final = "streamer.batch.size"
#: Of the model that the frame's batch has.
MODEL_DIGEST: Final = "streamer.model.digest"
#: Set where the camera had not sampled the frame: its own span, the parent of these, was never written.
IS_CAMERA_SPAN_MISSING: Final = "streamer.camera_span_missing"


class FrameSpans:
    """Writes a frame's span, and below it one for each part of its latency. They tile it."""

    def __init__(self, tracer: Tracer, frames_topic: str, group: str) -> None:
        """Remember what every span says."""
        self._tracer = tracer
        self._shared = {names.DESTINATION_NAME: frames_topic, names.GROUP_NAME: group}

    def write(self, outgoing: Outgoing, finished_at_ns: int, *, is_sampled: bool) -> Context:
        """Write the spans of a frame.

        Args:
            outgoing: What became of it.
            finished_at_ns: When its outcome arrived, wall clock.
            is_sampled: Whether its camera had it sampled, and so has written a span of its own.

        Returns:
            The context of the frame's span: a figure that is recorded with it becomes an exemplar.
        """
        frame, latency = outgoing.frame, outgoing.latency
        # A camera's clock may be ahead; from the poll on all times are of this machine.
        transport_ns = int(latency.transport * 1e6) if latency is not None else 0
        polled_ns = frame.captured_at_us * 1000 + transport_ns
        began_ns = min(polled_ns - max(transport_ns, 0), finished_at_ns)
        attributes: dict[str, str | int | bool] = {
            **self._shared,
            names.PARTITION_ID: str(frame.partition),
            names.KAFKA_OFFSET: frame.offset,
            CAMERA: frame.camera,
            SEQUENCE: frame.sequence,
            FRAME_ID: frame.frame_id,
            OUTCOME: outgoing.kind,
        }
        if outgoing.reason:
            attributes[REASON] = outgoing.reason
        if outgoing.batch is not None:
            attributes[BATCH_SIZE] = len(outgoing.batch.frames)
            if outgoing.batch.model is not None:
                attributes[MODEL_DIGEST] = outgoing.batch.model.spec.digest
        if not is_sampled:
            attributes[IS_CAMERA_SPAN_MISSING] = True
        span = self._tracer.start_span(
            FRAME, sampled_context(frame), SpanKind.CONSUMER, attributes, start_time=began_ns
        )
        inside = set_span_in_context(span, Context())
        if latency is not None:
            at_ns = began_ns
            for part in LATENCY_PARTS:
                until_ns = at_ns + max(int(getattr(latency, part) * 1e6), 0)
                self._tracer.start_span(part, inside, start_time=at_ns).end(until_ns)
                at_ns = until_ns
            self._tracer.start_span(PUBLISH, inside, start_time=at_ns).end(max(finished_at_ns, at_ns))
        span.end(finished_at_ns)
        return inside


def sampled_context(frame: Frame) -> Context:
    """Return the frame's trace context with the sampled flag set: what is below it is recorded."""
    found = span_context(frame.traceparent, frame.tracestate)
    sampled = SpanContext(
        found.trace_id,
        found.span_id,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=found.trace_state,
    )
    return set_span_in_context(NonRecordingSpan(sampled), Context())
