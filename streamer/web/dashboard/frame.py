"""The page of one frame: its picture, what it was called, and where its milliseconds went."""

from urllib.parse import quote

from nicegui import ui

from messaging.errors import MessagingError
from messaging.frame import MAX_ID_CHARS
from messaging.kafka import Kafka
from messaging.outcome import LATENCY_PARTS, Classified, LatencyParts
from messaging.timestamps import format_us, is_writable, now_us
from messaging.topics import TopicNames
from messaging.trace_context import trace_id
from streamer.evidence import (
    FRAME_ID_EXAMPLE,
    EvidenceError,
    FrameUnknownError,
    FrameWay,
    PictureGoneError,
    StoredOutcome,
    fetch_picture,
    find_way,
    looks_like_frame_id,
)
from streamer.web import words
from streamer.web.asking import Desk
from streamer.web.dashboard import states
from streamer.web.dashboard.pictures import image_type
from streamer.web.errors import WebError
from streamer.web.parts import SERIES_COLOURS, Prose, Text, empty, panel, tag
from streamer.web.shelf import PictureShelf

#: Failures that a page shows in a line; whatever else is raised is a bug.
ASKING_ERRORS = (MessagingError, EvidenceError, WebError)
#: An id that nobody knows costs a look at everything that is so young.
_LOOK_BACK_H = 24
_LOOK_BACK_US = _LOOK_BACK_H * 3600 * 1_000_000


def address_of(frame_id: str, *, does_look_everywhere: bool = False) -> str:
    """Return the address of a frame's page.

    Args:
        frame_id: Its `ce_id`.
        does_look_everywhere: Look for it in all that is kept; for one that is known to be there, and may be old. So
            it is for one whose id has another form than those of our cameras.
    """
    everywhere = does_look_everywhere or not looks_like_frame_id(frame_id)
    return f"/frame?id={quote(frame_id, safe='')}{'&everywhere=1' if everywhere else ''}"


class FramePage:
    """Draws a field for an id, and what is known of the frame, once it is found."""

    def __init__(
        self,
        kafka: Kafka,
        topics: TopicNames,
        desk: Desk,
        shelf: PictureShelf,
        frame_id: str,
        *,
        does_look_everywhere: bool = False,
    ) -> None:
        """Draw that it is being looked for; the search begins when the browser is connected.

        Args:
            kafka: Where the topics are.
            topics: What they are called.
            desk: Asks Kafka.
            shelf: Keeps the picture for the browser.
            frame_id: The frame's; "" where none was asked for.
            does_look_everywhere: Look through all that is kept, for an id of any form.
        """
        self._kafka, self._topics = kafka, topics
        self._desk, self._shelf = desk, shelf
        self._frame_id = frame_id
        self._does_look_everywhere = does_look_everywhere
        _draw_field(frame_id)
        self._box = ui.element("div").classes("stack")
        with self._box:
            self._draw_start()

    def _draw_start(self) -> None:
        """Look for the frame, or say at once why not."""
        if not self._frame_id:
            empty("image_search", "Which frame?", "Give its id, or choose one of the cameras, results or dead letters.")
        elif len(self._frame_id) > MAX_ID_CHARS:
            empty("search_off", "This is no id", f"Ids look like `{FRAME_ID_EXAMPLE}`, and are never that long.")
        elif not self._does_look_everywhere and not looks_like_frame_id(self._frame_id):
            empty("search_off", "This is no id of a camera's frame", f"Ids look like `{FRAME_ID_EXAMPLE}`.")
            self._draw_way_on("Look for it all the same")
        else:
            with ui.element("div").classes("empty"):
                ui.spinner(size="28px")
                Text("p", "Looking for it in Kafka …")
            ui.timer(0, self._find, once=True)

    def _draw_way_on(self, text: str) -> None:
        ui.link(text, address_of(self._frame_id, does_look_everywhere=True)).classes("cell-link")

    async def _find(self) -> None:
        try:
            way, picture, why = await self._desk.ask(self._look)
        except ASKING_ERRORS as exc:
            self._box.clear()
            with self._box:
                empty("search_off", "Not found", words.sentence(str(exc)))
                if isinstance(exc, FrameUnknownError) and not self._does_look_everywhere:
                    Text("p", f"Only the last {_LOOK_BACK_H} hours were looked through.").classes("muted")
                    self._draw_way_on("Look through everything that is kept")
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
        since_us = None if self._does_look_everywhere else now_us() - _LOOK_BACK_US
        way = find_way(self._kafka, self._topics, self._frame_id, since_us=since_us)
        try:
            return way, fetch_picture(self._kafka, self._topics, way, way.shown()).data, ""
        except PictureGoneError as exc:
            return way, b"", str(exc)

    def _draw_picture(self, way: FrameWay, data: bytes, why: str) -> None:
        kind = image_type(data) if data else ""
        with panel("Picture", words.size(len(data)) if data else ""):
            if not kind:
                empty("hide_image", "No picture", words.sentence(why or "its bytes are no picture"))
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


def _draw_field(frame_id: str) -> None:
    """Draw the field for an id; it leads to the frame's page."""

    def go() -> None:
        if asked := (field.value or "").strip():
            # Of a longer one the page would be asked for by an address that no server takes.
            ui.navigate.to(f"/frame?id={quote(asked[: MAX_ID_CHARS + 1], safe='')}")

    with ui.element("div").classes("toolbar").props('role="search"'):
        field = ui.input(placeholder=f"Id, such as {FRAME_ID_EXAMPLE}", value=frame_id[:MAX_ID_CHARS])
        field.props('dense outlined clearable aria-label="Id of a frame"').classes("id-field")
        field.on("keydown.enter", go)
        ui.button("Find", on_click=go).props("unelevated no-caps")


def _draw_outcome(group: str, outcome: StoredOutcome, count: int) -> None:
    note = f"{count} outcomes, the last counts" if count > 1 else ""
    with panel(group or "Said by the camera itself", note), ui.element("div").classes("stack"):
        with ui.element("div").classes("toolbar"):
            tag(outcome.status, states.outcome_tone(outcome.status))
            if outcome.reason:
                Text("span", outcome.reason)
        if outcome.error:
            Prose("p", outcome.error).classes("muted")
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
    values = {part: getattr(latency, part) for part in LATENCY_PARTS}
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
