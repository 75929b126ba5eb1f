"""Dead letters: the picture, the reason, and a button that puts the frame back."""

from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

from messaging.errors import MessagingError
from messaging.kafka import Kafka
from messaging.timestamps import format_us, is_writable
from messaging.topics import TopicNames
from streamer.dead_letters import (
    DeadLetterError,
    Filters,
    WholeDeadLetter,
    find_dead_letter,
    frame_bytes,
    plan_replay,
    put_back,
)
from streamer.watch.site import Site
from streamer.watch.views import DeadLetterView
from streamer.web import words
from streamer.web.asking import Desk
from streamer.web.dashboard.frame import address_of
from streamer.web.dashboard.pictures import image_type
from streamer.web.errors import WebError
from streamer.web.parts import Column, LiveTable, Prose, Text, empty, panel
from streamer.web.shelf import PictureShelf

_INTERVAL_S = 1.0
_LISTED = 500
_ERRORS = (MessagingError, DeadLetterError, WebError)
#: Where there is no room beside the list, the chosen one stands below it, out of sight.
_SCROLL = "getHtmlElement(%d).scrollIntoView({block: innerWidth > 1100 ? 'nearest' : 'start'})"
_COLUMNS = (
    Column("place", "", kind="button", is_sortable=False),
    Column("camera", "Camera"),
    Column("reason", "Reason", kind="tag"),
    Column("error", "Error"),
    Column("time", "Given up"),
    Column("group", "Group"),
    Column("size", "Size", kind="number"),
)


class DeadLettersPage:
    """Draws the list, and the dead letter that was chosen from it."""

    def __init__(self, site: Site, kafka: Kafka, topics: TopicNames, desk: Desk, shelf: PictureShelf) -> None:
        """Draw it."""
        self._site = site
        self._kafka, self._topics = kafka, topics
        self._desk, self._shelf = desk, shelf
        with ui.element("div").classes("toolbar") as self._toolbar:
            find = ui.input(placeholder="Camera, reason, error or group").props(
                'dense outlined clearable aria-label="Filter"'
            )
        with ui.element("div").classes("letter") as self._both:
            self._table = LiveTable(_COLUMNS, key="place", page_rows=25, label="Dead letters, newest first")
            self._chosen = ui.element("div").classes("letter-chosen")
            with self._chosen:
                empty("touch_app", "Choose a dead letter", "Its picture and its reason are shown here.")
        find.bind_value_to(self._table.table, "filter", forward=lambda text: text or "")
        self._table.on_button(self._open)
        self._empty = empty(
            "mark_email_read", "No dead letters", "Every frame so far could be classified, or none was sent yet."
        )
        self._look()
        ui.timer(_INTERVAL_S, self._look)

    def _look(self) -> None:
        rows = [row_of(letter) for letter in self._site.dead_letters(_LISTED)]
        self._table.show(rows)
        self._both.set_visibility(bool(rows))
        self._toolbar.set_visibility(bool(rows))
        self._empty.set_visibility(not rows)

    async def _open(self, event: GenericEventArguments) -> None:
        place = str(event.args)
        self._chosen.clear()
        with self._chosen:
            ui.spinner(size="28px")
        try:
            found, data, why = await self._desk.ask(self._fetch, place)
        except _ERRORS as exc:
            self._chosen.clear()
            with self._chosen:
                empty("search_off", "Not found", words.sentence(str(exc)))
            return
        self._chosen.clear()
        with self._chosen:
            self._draw(found, data, why)
        ui.run_javascript(_SCROLL % self._chosen.id)

    def _fetch(self, place: str) -> tuple[WholeDeadLetter, bytes, str]:
        """Read a dead letter and its bytes, or why there are none; this blocks."""
        found = find_dead_letter(self._kafka, self._topics, place)
        try:
            return found, frame_bytes(self._kafka, self._topics, found), ""
        except DeadLetterError as exc:
            return found, b"", str(exc)

    def _draw(self, found: WholeDeadLetter, data: bytes, why: str) -> None:
        letter = found.stored.letter
        kind = image_type(data) if data else ""
        with (
            panel(f"Dead letter {found.stored.place}", words.size(len(data)) if data else ""),
            ui.element("div").classes("stack"),
        ):
            if kind:
                image = ui.element("img").classes("frame-picture")
                image.props["src"] = f"/api/picture/{self._shelf.put(data, kind)}"
                image.props["alt"] = f"Frame {letter.frame_id}"
            else:
                Prose("p", words.sentence(why or "its bytes cannot be shown as a picture")).classes("muted")
            with ui.element("dl").classes("facts"):
                for name, value in (
                    ("Reason", letter.reason),
                    ("Error", letter.error),
                    ("Camera", letter.camera),
                    ("Group", letter.group),
                    ("Read at", f"{letter.original_topic}-{letter.original_partition} offset {letter.original_offset}"),
                    ("Put back before", f"{letter.replay} times" if letter.replay else "never"),
                ):
                    Text("dt", name)
                    Text("dd", value)
            said = Prose("p").classes("muted")
            said.props('role="status" aria-live="polite"')
            with ui.element("div").classes("toolbar"):
                button = ui.button("Put back").props("unelevated no-caps")
                link = ui.link("All about the frame", address_of(letter.frame_id, does_look_everywhere=True))
                link.classes("cell-link")
                button.on_click(lambda: self._ask_first(found, button, said, link))

    async def _ask_first(self, found: WholeDeadLetter, button: ui.button, said: Prose, link: ui.link) -> None:
        letter = found.stored.letter
        with ui.dialog() as dialog, ui.element("div").classes("dialog-card"):
            Text("h2", "Put this frame back?").classes("panel-title")
            Text("p", f"It goes to {self._topics.frames} once more, for {letter.group} alone. Its last outcome counts.")
            with ui.element("div").classes("toolbar"):
                ui.element("div").classes("toolbar-rest")
                ui.button("Cancel", on_click=lambda: dialog.submit("")).props("flat no-caps")
                ui.button("Put back", on_click=lambda: dialog.submit("yes")).props("unelevated no-caps autofocus")
        answer = await dialog
        dialog.delete()
        if answer != "yes":
            return
        button.disable()
        said.show("Putting it back …")
        is_done = False
        try:
            is_done, text = await self._desk.ask(self._replay, str(found.stored.place))
        except _ERRORS as exc:
            text = words.sentence(str(exc))
        said.show(text)
        if is_done:
            link.set_text("See what becomes of it")  # once more would put back another copy
        else:
            button.enable()

    def _replay(self, place: str) -> tuple[bool, str]:
        """Put one frame back; return whether it was, and in a line what came of it; this blocks."""
        plan = plan_replay(self._kafka, self._topics, Filters(ids=[place]))
        if plan.answered:
            return False, "Nothing was put back: its group has a result of this frame by now."
        if not plan.letters:
            return False, "Nothing was put back: a newer dead letter of this frame has taken its place."
        report = put_back(self._kafka, self._topics, plan)
        if report.failures:
            return False, words.sentence(f"it could not be put back: {report.failures[0].error}")
        return True, f"Put back on {self._topics.frames}."


def row_of(letter: DeadLetterView) -> dict[str, Any]:
    """Return a dead letter's line."""
    at_us = letter.dead_lettered_at_us
    return {
        "place": letter.place,
        "time": format_us(at_us)[:19].replace("T", " ") if is_writable(at_us) else "",
        "camera": letter.camera,
        "reason": letter.reason,
        "reason_tone": "bad",
        "error": letter.error,
        "group": letter.group,
        "size": words.size(letter.size_bytes),
    }
