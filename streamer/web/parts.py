"""The parts that pages are made of. Text from outside goes in as text alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from streamer.web import words

_TAG_SLOT = """
<q-td :props="props"><span :class="'tag is-' + (props.row[props.col.name + '_tone'] || 'plain')">{{ props.value
  }}</span></q-td>
"""
_LINK_SLOT = """
<q-td :props="props"><a v-if="props.row[props.col.name + '_link']" class="cell-link"
  :href="props.row[props.col.name + '_link']">{{ props.value }}</a><span v-else>{{ props.value }}</span></q-td>
"""
_BUTTON_SLOT = """
<q-td :props="props"><q-btn flat dense no-caps color="primary" :aria-label="'Show ' + props.value" label="Show"
  @click="$parent.$emit('row-button', props.value)" /></q-td>
"""
_BAR_SLOT = """
<q-td :props="props"><span v-if="props.value" class="meter" aria-hidden="true"><span class="meter-fill"
  :style="{ width: (props.row[props.col.name + '_percent'] || 0) + '%' }"></span></span><span
  class="meter-text">{{ props.value }}</span></q-td>
"""


class Text(TextElement):
    """Text in an element of its meaning, such as `h2`."""

    def __init__(self, tag: str, text: str = "") -> None:
        """Make the element."""
        super().__init__(tag=tag, text=text)

    def show(self, text: str) -> None:
        """Change the text; where it stays the same, nothing is sent."""
        if self.text != text:
            self.set_text(text)


class Prose(Element):
    """A sentence or more, with a capital letter; what stands between backticks is set as code."""

    def __init__(self, tag: str = "p", text: str = "") -> None:
        """Make the element."""
        super().__init__(tag)
        self._shown = ""
        self.show(text)

    def show(self, text: str) -> None:
        """Change the text; where it stays the same, nothing is sent."""
        if text == self._shown:
            return
        self._shown = text
        self.clear()
        with self:
            for piece, is_code in words.pieces(words.capitalised(text)):
                Text("code" if is_code else "span", piece)


class Figure:
    """One large number, what it is, and a word below it."""

    def __init__(self, name: str) -> None:
        """Draw it, without a value yet."""
        with ui.element("div").classes("figure").props('role="group"') as box:
            Text("span", name).classes("figure-name")
            self._value = Text("span", "–").classes("figure-value")
            self._note = Text("span", "").classes("figure-note")
        self._box = box

    def show(self, value: str, note: str = "", tone: str = "plain") -> None:
        """Change it; `tone` is plain, good, warn or bad, and never the only sign: the note says it in words."""
        self._value.show(value)
        self._note.show(note)
        self._box.classes(replace=f"figure is-{tone}")


def empty(icon: str, title: str, what_to_do: str, command: str = "") -> ui.element:
    """Draw what stands where nothing is yet: why, and what to do about it."""
    with ui.element("div").classes("empty") as box:
        ui.icon(f"o_{icon}").props('aria-hidden="true"')
        Text("h2", title)
        Prose("p", what_to_do)
        if command:
            Text("code", command).classes("command")
    return box


def tag(text: str, tone: str = "plain") -> Text:
    """Draw a word with a colour."""
    return Text("span", text).classes(f"tag is-{tone}")


class Column:
    """A column of a table."""

    def __init__(self, name: str, title: str, *, kind: str = "text", is_sortable: bool = True) -> None:
        """Describe it.

        Args:
            name: The key of its cells in a row.
            title: Above it.
            kind: `text`, `number`, `tag`, `link`, `bar` or `button`. A tag's colour stands in the row as
                `<name>_tone`, a link's address as `<name>_link`, a bar's width as `<name>_percent`.
            is_sortable: Whether a click on the title sorts.
        """
        self.name = name
        self.kind = kind
        self.described: dict[str, Any] = {
            "name": name,
            "label": title,
            "field": name,
            "sortable": is_sortable,
            "align": "right" if kind == "number" else "left",
            "classes": "is-number" if kind == "number" else "",
        }


class LiveTable:
    """A table whose rows change while somebody looks at it."""

    def __init__(self, columns: Sequence[Column], *, key: str = "id", page_rows: int = 25, label: str = "") -> None:
        """Draw it, empty.

        Args:
            columns: From left to right.
            key: Tells rows apart.
            page_rows: Rows on a page of it.
            label: What it is, for those who hear it.
        """
        self._rows: list[dict[str, Any]] = []
        self.table = ui.table(
            rows=[],
            columns=[column.described for column in columns],
            row_key=key,
            pagination={"rowsPerPage": page_rows},
        )
        self.table.classes("live-table").props(
            'flat dense :rows-per-page-options="[10, 25, 50, 100]" binary-state-sort'
        )
        self.table.props["aria-label"] = label
        slots = {"tag": _TAG_SLOT, "link": _LINK_SLOT, "bar": _BAR_SLOT, "button": _BUTTON_SLOT}
        for column in columns:
            if column.kind in slots:
                self.table.add_slot(f"body-cell-{column.name}", slots[column.kind])

    def show(self, rows: list[dict[str, Any]]) -> None:
        """Change the rows; where they stay the same, nothing is sent."""
        if rows != self._rows:
            self._rows = rows
            self.table.rows = rows
        self.table.set_visibility(bool(rows))

    def on_button(self, handler: Callable[[GenericEventArguments], Awaitable[None]]) -> None:
        """Call `handler` when a button in a row is pressed; its `args` are the cell's value."""
        self.table.on("row-button", handler)


#: Readable on dark and on light ground.
SERIES_COLOURS = ("#4c8dff", "#2fb380", "#e0a33a", "#c678dd", "#e5646e", "#3fb6c6", "#8a93a6", "#b58863")
_AXIS = "#8a93a0"
_LINES = "rgba(138, 147, 160, 0.18)"
_SPAN_MS = 300_000


class TimeChart:
    """Values by time, as lines or as areas on top of one another."""

    def __init__(self, title: str, unit: str, names: Sequence[str], *, stacked: Sequence[str] = ()) -> None:
        """Draw it, empty.

        Args:
            title: Above it.
            unit: At the axis, such as `ms`.
            names: Of the series; ours, never text from outside.
            stacked: Those that are areas on top of one another; the others are lines.
        """
        self._names = tuple(names)
        with panel(title, unit):
            self._chart = ui.echart(_chart_options(self._names, frozenset(stacked)), renderer="canvas").classes("chart")

    def show(self, times_ms: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> None:
        """Change the values; the axis is always five minutes long, and ends with the last of them.

        Args:
            times_ms: Of the points, ms since 1970; at least one.
            values: For each series a value for each point; None leaves a gap.
        """
        self._chart.options["xAxis"] |= {"min": times_ms[-1] - _SPAN_MS, "max": times_ms[-1]}
        for number, name in enumerate(self._names):
            points = [[at, value] for at, value in zip(times_ms, values[name], strict=True)]
            self._chart.options["series"][number]["data"] = points
        self._chart.update()


def panel(title: str, note: str = "") -> ui.element:
    """Draw a box with a title; use it in a `with` block."""
    box = ui.element("section").classes("panel")
    box.props["aria-label"] = title
    with box, ui.element("div").classes("panel-head"):
        Text("h2", title).classes("panel-title")
        if note:
            Text("span", note).classes("panel-note")
    return box


def _chart_options(names: Sequence[str], stacked: frozenset[str]) -> dict[str, Any]:
    return {
        "animation": False,
        "color": list(SERIES_COLOURS),
        "textStyle": {"fontFamily": "Inter, ui-sans-serif, system-ui, sans-serif"},
        "grid": {"left": 8, "right": 12, "top": 36, "bottom": 4, "containLabel": True},
        "legend": {
            "type": "scroll",
            "top": 0,
            "left": 0,
            "itemWidth": 10,
            "itemHeight": 10,
            "icon": "roundRect",
            "textStyle": {"color": _AXIS, "fontSize": 12},
        },
        # Drawn on the canvas, where text cannot be markup.
        "tooltip": {"trigger": "axis", "renderMode": "richText", "order": "valueDesc"},
        "xAxis": {
            "type": "time",
            "minInterval": 60_000,
            # The ends lie between two minutes, and would bear the label of the one before.
            "axisLabel": {
                "color": _AXIS,
                "hideOverlap": True,
                "formatter": "{HH}:{mm}",
                "showMinLabel": False,
                "showMaxLabel": False,
            },
            "axisLine": {"lineStyle": {"color": _LINES}},
            "axisTick": {"show": False},
            "splitLine": {"show": False},
        },
        "yAxis": {
            "type": "value",
            "min": 0,
            "axisLabel": {"color": _AXIS},
            "splitLine": {"lineStyle": {"color": _LINES}},
        },
        "series": [
            {
                "name": name,
                "type": "line",
                "showSymbol": False,
                "sampling": "lttb",
                # Without lines: those of parts that are zero would lie on the others'.
                "lineStyle": {"width": 0 if name in stacked else 2},
                **({"stack": "all", "areaStyle": {"opacity": 0.65}} if name in stacked else {}),
                "data": [],
            }
            for name in names
        ],
    }
