"""How `streamer frame` and `streamer trace` say what became of a frame: lines for people, facts for programs."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import TYPE_CHECKING, Any

import msgspec

from messaging.outcome import Classified
from messaging.timestamps import format_us
from messaging.trace_context import is_sampled, span_context
from streamer.cli.command import moment_us
from streamer.terminal import harmless

if TYPE_CHECKING:
    from streamer.evidence import FrameReading, FrameWay, StoredOutcome

_NAME_CHARS = 80


def add_way_flags(parser: ArgumentParser) -> None:
    """Add what names a frame, and how it is sought."""
    parser.add_argument(
        "id",
        type=_identity,
        metavar="CE_ID",
        help="the frame's id: at the end of the rows of `streamer results`, in `streamer dlq list`, on the dashboard",
    )
    parser.add_argument(
        "--since", type=moment_us, metavar="TIME", help="look no further back: 10m (ago), or 2026-11-21T08:00:00Z"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object, on the last line")


def _identity(text: str) -> str:
    if not text:
        raise ArgumentTypeError("it is empty")
    return text


def note_other_form(frame_id: str) -> None:
    """Say before a search of everything that an id is none of a camera's; another producer's frame may have it."""
    from streamer.evidence import FRAME_ID_EXAMPLE, looks_like_frame_id

    if not looks_like_frame_id(frame_id):
        name = harmless(frame_id, _NAME_CHARS)
        print(
            f"cameras' ids look like {FRAME_ID_EXAMPLE}, and {name} does not: looking through all that is kept, since "
            "another producer may have sent it (Ctrl-C ends that)",
            file=sys.stderr,
            flush=True,
        )


def who(group: str) -> str:
    """Name whose outcome it is."""
    return f"group {harmless(group, _NAME_CHARS)}" if group else "the camera"


def said(outcome: "StoredOutcome") -> str:
    """Return in a few words what was said about the frame."""
    answer = outcome.answer
    if isinstance(answer, Classified):
        text = f"classified as {harmless(answer.label, _NAME_CHARS)}, {answer.score:.3f}"
        if answer.truth is not None and answer.truth != answer.label:
            text += f" (the truth is {harmless(answer.truth, _NAME_CHARS)})"
    elif answer is not None:
        text = "timed"
    else:
        text = f"{outcome.status}, {harmless(outcome.reason, _NAME_CHARS)}"
        text += f": {harmless(outcome.error, 500)}" if outcome.error else ""
    return text


def picture_line(reading: "FrameReading") -> str:
    """Say in a line where the frame stands, and what its picture is."""
    place = harmless(str(reading.place), 300)
    if reading.missing:
        return f"{place}: gone, {harmless(reading.missing, 300)}"
    header, again = reading.header, ""
    kind = f"{header.format} {header.width_px}×{header.height_px}" if header is not None else "no picture"
    if reading.replay_for:
        again = f", put back for {who(reading.replay_for)} (replay {reading.replay})"
    return f"{place}: {kind}, {reading.size_bytes} bytes{again}"


def facts_of(way: "FrameWay") -> dict[str, Any]:
    """Return what a program wants to know of a frame's way."""
    return {
        "frame_id": way.frame_id,
        "camera": way.camera,
        "captured_at": _time(way.captured_at_us),
        "trace_id": way.trace_id,
        "frames": [_reading_facts(reading) for reading in way.readings],
        "groups": [
            {
                "group": group or None,
                "outcome": _outcome_facts(outcomes[-1]),
                "earlier": [_outcome_facts(outcome) for outcome in outcomes[:-1]],
            }
            for group, outcomes in way.groups.items()
        ],
        "left_out": way.left_out,
    }


def _reading_facts(reading: "FrameReading") -> dict[str, Any]:
    place = {**reading.place._asdict(), "missing": reading.missing or None}
    if reading.missing:
        return place
    header = reading.header
    return place | {
        "size_bytes": reading.size_bytes,
        "format": header.format if header is not None else None,
        "width_px": header.width_px if header is not None else None,
        "height_px": header.height_px if header is not None else None,
        "appended_at": _time(reading.appended_at_us),
        "replay": reading.replay,
        "replay_for": reading.replay_for or None,
    }


def _outcome_facts(outcome: "StoredOutcome") -> dict[str, Any]:
    facts: dict[str, Any] = msgspec.to_builtins(outcome.answer) if outcome.answer is not None else {}
    return facts | {
        "status": outcome.status,
        "reason": outcome.reason or None,
        "error": outcome.error or None,
        "made_at": _time(outcome.made_at_us),
        "written_at": _time(outcome.written_at_us),
        "place": outcome.place._asdict(),
        "source": outcome.source._asdict() if outcome.source is not None else None,
        "span_id": span_id(outcome) or None,
        "replay": outcome.replay,
    }


def span_id(outcome: "StoredOutcome") -> str:
    """Return the span that an outcome came with, 16 hexadecimal digits; "" where there is none."""
    return f"{span_context(outcome.traceparent).span_id:016x}" if outcome.traceparent else ""


def own_span_id(way: "FrameWay", outcome: "StoredOutcome") -> str:
    """Return the span that wrote an outcome; "" where nothing was traced: then it bears the span of the frame."""
    is_own = bool(outcome.traceparent) and is_sampled(outcome.traceparent)
    is_frames = outcome.traceparent in [reading.traceparent for reading in way.readings]
    return span_id(outcome) if is_own and not is_frames else ""


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else format_us(time_us)
