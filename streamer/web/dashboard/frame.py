"""The page of one frame: its picture, what it was called, and where its milliseconds went."""

from urllib.parse import quote

from nicegui import ui

from messaging.errors import MessagingError
from messaging.kafka import Kafka
from messaging.outcome import Classified, LatencyParts
from messaging.timestamps import format_us, is_writable
from messaging.topics import TopicNames
from messaging.trace_context import trace_id
from streamer.evidence import EvidenceError, FrameWay, PictureGoneError, StoredOutcome, fetch_picture, find_way
from streamer.web import words
from streamer.web.asking import Desk
from streamer.web.dashboard import states
from streamer.web.dashboard.pictures import image_type
from streamer.web.errors import WebError
from streamer.web.parts import SERIES_COLOURS, Text, empty, panel, tag
from streamer.web.shelf import PictureShelf

#: In the order of a frame's way; they tile the total.
_PARTS = ("transport", "batch_wait", "decode", "device_wait", "inference", "order_wait")
#: Failures that a page shows in a line; whatever else is raised is a bug.
ASKING_ERRORS = (MessagingError, EvidenceError, WebError)


def address_of(frame_id: str) -> str:
    """Return the address of a frame's page."""
    return f"/frame?id={quote(frame_id, safe='')}"


class FramePage:
    """Draws what is known of one frame, once it is found."""

    def __init__(self, kafka: Kafka, topics: TopicNames, desk: Desk, shelf: PictureShelf, frame_id: str) -> None:
        """Draw that it is being looked for; the search begins when the browser is connected."""
        self._kafka, self._topics = kafka, topics
        self._desk, self._shelf = desk, shelf
        self._frame_id = frame_id
        Text("p", frame_id).classes("mono")
        self._box = ui.element("div").classes("stack")
        with self._box, ui.element("div").classes("empty"):
            ui.spinner(size="28px")
            Text("p", "Looking for it in Kafka …")
        ui.timer(0, self._find, once=True)

    async def _find(self) -> None:
        try:
            way, picture, why = await self._desk.ask(self._look)
        except ASKING_ERRORS as exc:
            self._box.clear()
            with self._box:
                empty("search_off", "Not found", f"{exc}.")
            return
        self._box.clear()
        with self._box, ui.element("div").classes("frame-page"):
            self._draw_picture(way, picture, why)
            with ui.element("div").classes("stack"):
                self._draw_facts(way)
                for group, outcome in way.last.items():
                    _draw_outcome(group, outcome, len(way.groups[group]))

    def _look(self) -> tuple[FrameWay, bytes, str]:
        """Find the frame, and its picture, or why there is none; this blocks."""
        way = find_way(self._kafka, self._topics, self._frame_id)
        try:
            return way, fetch_picture(self._kafka, self._topics, way, way.shown()).data, ""
        except PictureGoneError as exc:
            return way, b"", str(exc)

    def _draw_picture(self, way: FrameWay, data: bytes, why: str) -> None:
        kind = image_type(data) if data else ""
        with panel("Picture", words.size(len(data)) if data else ""):
            if not kind:
                empty("hide_image", "No picture", f"{why or 'Its bytes are no picture'}.")
                return
            image = ui.element("img").classes("frame-picture")
            image.props["src"] = f"/api/picture/{self._shelf.put(data, kind)}"
            image.props["alt"] = f"Frame {way.frame_id}"

    def _draw_facts(self, way: FrameWay) -> None:
        captured_us = way.captured_at_us
        facts = {
            "Camera": way.camera,
            "Captured": format_us(captured_us) if captured_us is not None and is_writable(captured_us) else "unknown",
            "Trace id": way.trace_id or "none",
        }
        for reading in way.readings:
            facts["Put back at" if reading.replay else "Stands at"] = str(reading.place)
        with panel("Frame"):
            _draw_list(facts)


def _draw_outcome(group: str, outcome: StoredOutcome, count: int) -> None:
    note = f"{count} outcomes, the last counts" if count > 1 else ""
    with panel(group or "said by the camera itself", note), ui.element("div").classes("stack"):
        with ui.element("div").classes("toolbar"):
            tag(outcome.status, states.outcome_tone(outcome.status))
            if outcome.reason:
                Text("span", outcome.reason)
        if outcome.error:
            Text("p", outcome.error).classes("muted")
        answer = outcome.answer
        if isinstance(answer, Classified):
            _draw_classes(answer)
        if answer is not None:
            _draw_latency(answer.latency_ms)
            made_by = f"{answer.device} on {answer.backend}{', simulated' if answer.simulated else ''}"
            facts = {
                "Model": answer.model,
                "Device": f"{made_by}{', the standby' if answer.degraded else ''}",
                "Micro-batch": f"{answer.batch.size} of {answer.batch.capacity} frames",
                "Result": str(outcome.place),
                "Trace": trace_id(outcome.traceparent) if outcome.traceparent else "none",
            }
        else:
            facts = {"Stands at": str(outcome.place)}
        _draw_list(facts)


def _draw_classes(answer: Classified) -> None:
    with ui.element("div").classes("classes"):
        for each in answer.classes:
            Text("span", each.label)
            with ui.element("span").classes("meter").props('aria-hidden="true"'):
                fill = ui.element("span").classes("meter-fill")
                fill.style(f"width: {min(max(each.score, 0.0), 1.0) * 100:.1f}%")
            Text("span", words.percent(each.score))
    if answer.truth is not None:
        is_right = answer.truth == answer.label
        Text("p", f"{'Right' if is_right else 'Wrong'}: it is {answer.truth}").classes("muted")


def _draw_latency(latency: LatencyParts) -> None:
    """Draw the parts in proportion, and name each with its time and share."""
    values = {part: getattr(latency, part) for part in _PARTS}
    whole = sum(max(value, 0.0) for value in values.values()) or 1.0
    Text("h3", f"{words.milliseconds(latency.total)} from capture to hand-over").classes("panel-title")
    with ui.element("div").classes("way").props('aria-hidden="true"'):
        for colour, value in zip(SERIES_COLOURS, values.values(), strict=False):
            ui.element("div").classes("way-part").style(
                f"width: {max(value, 0.0) / whole * 100:.2f}%; background: {colour}"
            )
    with ui.element("div").classes("way-list"):
        for colour, (part, value) in zip(SERIES_COLOURS, values.items(), strict=False):
            ui.element("span").classes("way-dot").style(f"background: {colour}").props('aria-hidden="true"')
            Text("span", part.replace("_", " "))
            Text("span", words.milliseconds(value))
            Text("span", words.percent(max(value, 0.0) / whole)).classes("muted")


def _draw_list(facts: dict[str, str]) -> None:
    with ui.element("dl").classes("facts"):
        for name, value in facts.items():
            Text("dt", name)
            Text("dd", value)
