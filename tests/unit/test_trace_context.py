import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN

from messaging.trace_context import (
    is_sampled,
    is_traceparent,
    new_traceparent,
    span_context,
    trace_id,
    traceparent_of,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", True),
        (f"00-{TRACE}-{SPAN}-ff", True),
        # A later version may say more; the first four parts count.
        (f"01-{TRACE}-{SPAN}-01", True),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"cc-{TRACE}-{SPAN}-01.what", False),
        (f"00-{TRACE}-{SPAN}-01-extra", False),
        (f"00-{TRACE}-{SPAN}-01-", False),
        (f"ff-{TRACE}-{SPAN}-01", False),
        (f"00-{'0' * 32}-{SPAN}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN.upper()}-01", False),
        (f"00-{TRACE[:-1]}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}0-01", False),
        (f"00-{TRACE}-{SPAN}-1", False),
        (f"00-{TRACE}-{SPAN}", False),
        (f"0-{TRACE}-{SPAN}-01", False),
        (f"00_{TRACE}_{SPAN}_01", False),
        (f" 00-{TRACE}-{SPAN}-01", False),
        (f"00-{TRACE}-{SPAN}-01\n", False),
        (f"00-{TRACE.replace('0', '٠')}-{SPAN}-01", False),
        ("", False),
    ],
)
def test_validity_by_the_standard(text: str, is_valid: bool) -> None:
    assert is_traceparent(text) is is_valid


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_the_sampled_flag(flags: str, sampled: bool) -> None:
    traceparent = f"00-{TRACE}-{SPAN}-{flags}"
    assert is_sampled(traceparent) is sampled
    assert span_context(traceparent).trace_flags.sampled is sampled


def test_a_new_trace_is_valid_unsampled_and_its_own() -> None:
    traces = {new_traceparent() for _ in range(100)}
    assert len(traces) == 100
    assert all(is_traceparent(text) and not is_sampled(text) for text in traces)


def test_it_becomes_a_remote_parent() -> None:
    context = span_context(f"00-{TRACE}-{SPAN}-01", "vendor=1,other=2")
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, SPAN)
    assert context.is_valid
    assert context.is_remote
    assert dict(context.trace_state) == {"vendor": "1", "other": "2"}
    assert trace_id(f"00-{TRACE}-{SPAN}-01") == TRACE


def test_a_long_tracestate_loses_whole_members() -> None:
    members = [f"k{number}={'v' * 60}" for number in range(20)]
    context = span_context(f"00-{TRACE}-{SPAN}-01", ",".join(members))
    kept = [f"{key}={value}" for key, value in context.trace_state.items()]
    assert kept == members[: len(kept)]
    assert len(kept) == 8  # 8 of 63 or 64 characters with their commas are under 512, 9 are not


@pytest.mark.parametrize("tracestate", [None, "", "no member", "é=1", "a=b,,"])
def test_a_tracestate_that_cannot_be_read_leaves_the_trace_whole(tracestate: str | None) -> None:
    assert span_context(f"00-{TRACE}-{SPAN}-01", tracestate).is_valid


def test_a_span_becomes_a_traceparent_and_back() -> None:
    span = TracerProvider(shutdown_on_exit=False).get_tracer("test").start_span("a")
    text = traceparent_of(span)
    assert text is not None
    assert is_traceparent(text)
    assert span_context(text).span_id == span.get_span_context().span_id
    assert traceparent_of(INVALID_SPAN) is None
