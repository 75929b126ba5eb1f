"""W3C Trace Context as it travels in the `traceparent` and `tracestate` headers.

Frames carry a trace id whether or not anything is sampled or exported, so that a result, a dead letter and a log
line about one frame can always be brought together. Nothing here needs the OpenTelemetry SDK.

Source: https://www.w3.org/TR/trace-context/
"""

import random
import re

from opentelemetry.trace import Span, SpanContext, TraceFlags, TraceState

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MAX_TRACESTATE_CHARS = 512


def new_traceparent() -> str:
    """Begin an unsampled trace of its own, for a frame that nobody traces."""
    return f"00-{random.getrandbits(128) or 1:032x}-{random.getrandbits(64) or 1:016x}-00"


def is_traceparent(text: str) -> bool:
    """Tell whether `text` is a valid `traceparent`: known layout, version not ff, ids not all zero."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        return False
    return match[2].strip("0") != "" and match[3].strip("0") != ""


def is_sampled(traceparent: str) -> bool:
    """Tell whether the sampled flag of a valid `traceparent` is set."""
    return int(traceparent[53:55], 16) & 1 == 1


def trace_id(traceparent: str) -> str:
    """Return the trace id of a valid `traceparent`, 32 hex digits."""
    return traceparent[3:35]


def log_context(traceparent: str) -> dict[str, str]:
    """Return what a log line about a frame carries beside its text, for `extra`."""
    return {"trace_id": trace_id(traceparent), "span_id": traceparent[36:52]}


def span_context(traceparent: str, tracestate: str | None = None) -> SpanContext:
    """Read a valid `traceparent` and its `tracestate` as the remote parent or link of a span."""
    return SpanContext(
        trace_id=int(traceparent[3:35], 16),
        span_id=int(traceparent[36:52], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(traceparent[53:55], 16) & TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([_whole_members(tracestate)]) if tracestate else None,
    )


def _whole_members(tracestate: str) -> str:
    """Return what the standard promises to carry, 512 characters; a member that does not fit goes as a whole."""
    if len(tracestate) <= _MAX_TRACESTATE_CHARS:
        return tracestate
    return tracestate[: _MAX_TRACESTATE_CHARS + 1].rpartition(",")[0]


def traceparent_of(span: Span) -> str | None:
    """Write the `traceparent` that makes `span` the parent; None where no SDK made the span."""
    context = span.get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
