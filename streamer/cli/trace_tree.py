"""A frame's way as a tree: where it was, when, and for how long."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from messaging.outcome import LATENCY_PARTS, Classified, Timed
from messaging.timestamps import format_us
from streamer.cli.way_formats import own_span_id, picture_line, said, who
from streamer.terminal import harmless

if TYPE_CHECKING:
    from streamer.evidence import FrameWay, StoredOutcome

_MIN_BAR, _MAX_BAR = 10, 60
#: What stands before a bar: branches, the part's name and its time.
_BEFORE_BAR = 31
_EIGHTHS = " ▏▎▍▌▋▊▉"
_MAX_CLASSES = 5
_MAX_EARLIER = 20


@dataclass(slots=True)
class Node:
    """A line, and the lines under it."""

    text: str
    children: list["Node"] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """Yield the lines of the tree, this one first."""
        yield self.text
        for child in self.children:
            is_last = child is self.children[-1]
            for number, line in enumerate(child.lines()):
                branch = ("└─ " if is_last else "├─ ") if number == 0 else ("   " if is_last else "│  ")
                yield branch + line


def tree_of(way: "FrameWay", width: int) -> Node:
    """Return a frame's way: what the frame is, then a branch for each group.

    Args:
        way: What is known of the frame.
        width: Of the terminal, in characters; bars take what is left.
    """
    root = Node(f"frame {harmless(way.frame_id, 1000)}")
    captured = f", captured {format_us(way.captured_at_us)}" if way.captured_at_us is not None else ""
    root.children.append(Node(f"camera {harmless(way.camera)}{captured}"))
    for reading in way.readings:
        root.children.append(Node(picture_line(reading)))
        if reading.appended_at_us is not None:
            after = _after(reading.captured_at_us, reading.appended_at_us)
            root.children[-1].children.append(Node(f"appended {format_us(reading.appended_at_us)}{after}"))
    if way.trace_id:
        root.children.append(Node(f"trace {way.trace_id}"))
    for group, outcomes in way.groups.items():
        root.children.append(_group(way, group, outcomes, min(max(width - _BEFORE_BAR, _MIN_BAR), _MAX_BAR)))
    if not way.groups:
        root.children.append(Node("no group has an outcome of it yet"))
    if way.left_out:
        root.children.append(Node(f"{way.left_out} older outcomes are not shown"))
    return root


def _group(way: "FrameWay", group: str, outcomes: "tuple[StoredOutcome, ...]", bar: int) -> Node:
    last = outcomes[-1]
    node = Node(f"{who(group)}: {said(last)}")
    for outcome in outcomes[-1 - _MAX_EARLIER : -1]:
        is_repeated = outcome.source == last.source
        why = "repeated" if is_repeated else "before it was put back"
        node.children.append(Node(f"{why}: {said(outcome)}, {_where(outcome)}"))
    if last.answer is not None:
        node.children += _parts(last, last.answer, bar)
        node.children += _made_by(last.answer)
    node.children.append(Node(_where(last)))
    if span := own_span_id(way, last):
        node.children.append(Node(f"span {span}"))
    return node


def _where(outcome: "StoredOutcome") -> str:
    kind = "dead letter" if outcome.status == "dead-lettered" else "result"
    return f"{kind} {harmless(str(outcome.place), 300)}, written {format_us(outcome.written_at_us)}"


def _parts(outcome: "StoredOutcome", answer: Classified | Timed, bar: int) -> Iterator[Node]:
    """Yield the parts of the latency with bars one after the other, their sum, and what came after that."""
    latency, held_ms, until = answer.latency_ms, 0, ""
    if outcome.made_at_us is not None:
        # A record's time is in whole ms; with exactly-once it waits for its transaction.
        held_ms = max((outcome.written_at_us - outcome.made_at_us) // 1000, 0)
        until = f"until {format_us(outcome.made_at_us)}"
    times_ms = {name: float(getattr(latency, name)) for name in LATENCY_PARTS}
    whole_ms, done_ms = sum(max(time_ms, 0.0) for time_ms in times_ms.values()) + held_ms, 0.0
    for name, time_ms in times_ms.items():
        drawn = _bar(done_ms, time_ms, whole_ms, bar) if time_ms >= 0 else "the camera's clock is ahead"
        yield _part(name, time_ms, drawn)
        done_ms += max(time_ms, 0.0)
    yield _part("total", latency.total, until)
    if held_ms:
        yield _part("hand_over", held_ms, _bar(done_ms, held_ms, whole_ms, bar))


def _part(name: str, time_ms: float, beside: str) -> Node:
    return Node(f"{name:<12}{_ms(time_ms):>11}  {beside}".rstrip())


def _made_by(answer: Classified | Timed) -> Iterator[Node]:
    if isinstance(answer, Classified):
        classes = ", ".join(f"{harmless(each.label, 60)} {each.score:.3f}" for each in answer.classes[:_MAX_CLASSES])
        yield Node(f"classes {classes}" + (" …" if len(answer.classes) > _MAX_CLASSES else ""))
    yield Node(f"model {harmless(answer.model)}, {harmless(answer.model_digest)}")
    marks = [name for name in ("simulated", "degraded") if getattr(answer, name)]
    device = f"device {harmless(answer.device)} ({', '.join([harmless(answer.backend), *marks])})"
    yield Node(f"{device}, batch of {answer.batch.size} in {answer.batch.capacity} places")


def _bar(begin_ms: float, time_ms: float, whole_ms: float, width: int) -> str:
    """Return a bar that begins where the parts before it end; whatever took time has one."""
    if time_ms <= 0:
        return ""
    begin = min(int(begin_ms / whole_ms * width), width - 1)
    eighths = max(round(time_ms / whole_ms * width * 8), 1)
    return " " * begin + "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _ms(time_ms: float) -> str:
    return f"{time_ms:.1f} ms" if abs(time_ms) < 100_000 else f"{time_ms / 1000:.0f} s"


def _after(before_us: int, after_us: int) -> str:
    return f", {_ms((after_us - before_us) / 1000)} after the capture"
