"""The building blocks of Grafana dashboards: panels, their queries, and where they stand.

Source: the JSON model of dashboards, schema version 39, https://grafana.com/docs/grafana/latest/dashboards/.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

_COLUMNS = 24
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """A line of a panel.

    Attributes:
        expr: PromQL.
        legend: What a series is called, with its labels in braces.
        has_exemplars: Whether points that lead to a trace are shown.
        is_instant: Whether the value now is wanted, and not the way there.
        format: `time_series`, `table` or `heatmap`.
    """

    expr: str
    legend: str = ""
    has_exemplars: bool = False
    is_instant: bool = False
    format: str = "time_series"

    def json(self, letter: str) -> Json:
        """Return it as Grafana has it."""
        return {
            "refId": letter,
            "datasource": _DATASOURCE,
            "expr": self.expr,
            "legendFormat": self.legend or "__auto",
            "exemplar": self.has_exemplars,
            "instant": self.is_instant,
            "range": not self.is_instant,
            "format": self.format,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of any type.

    Attributes:
        kind: Grafana's name of the type.
        title: What it shows.
        description: How to read it.
        unit: Grafana's name of the unit.
        width: Of 24 columns.
        thresholds: Colours by the value from which they count; None stands for the lowest.
        limits: The ends of the axis; None leaves an end open.
        custom: Of `fieldConfig.defaults.custom`.
        options: Of the type.
        mappings: Values that are shown as words.
        overrides: For some series alone.
        transformations: Of a table.
    """

    kind: str
    title: str
    queries: Sequence[Query]
    description: str
    unit: str = "short"
    width: int = 8
    thresholds: Sequence[tuple[float | None, str]] = ((None, "green"),)
    limits: tuple[float | None, float | None] = (None, None)
    custom: Json = field(default_factory=dict)
    options: Json = field(default_factory=dict)
    mappings: Sequence[Json] = ()
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()

    def json(self, number: int, place: Json) -> Json:
        """Return it as Grafana has it."""
        low, high = self.limits
        defaults: Json = {
            "unit": self.unit,
            "custom": self.custom,
            "mappings": list(self.mappings),
            "color": {"mode": "thresholds" if self.kind != "timeseries" else "palette-classic"},
            "thresholds": {
                "mode": "absolute",
                "steps": [{"value": value, "color": color} for value, color in self.thresholds],
            },
        }
        defaults |= {name: value for name, value in (("min", low), ("max", high)) if value is not None}
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": _DATASOURCE,
            "gridPos": place,
            "fieldConfig": {"defaults": defaults, "overrides": list(self.overrides)},
            "options": self.options,
            "targets": [query.json(chr(ord("A") + index)) for index, query in enumerate(self.queries)],
            "transformations": list(self.transformations),
        }


def stat(
    title: str,
    query: Query,
    description: str,
    unit: str = "short",
    thresholds: Sequence[tuple[float | None, str]] = ((None, "green"),),
    **rest: Any,
) -> Panel:
    """Make a panel of one large number with its way there behind it."""
    options = {
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }
    return Panel("stat", title, [query], description, unit, 4, thresholds, options=options, **rest)


def lines(
    title: str,
    queries: Sequence[Query],
    description: str,
    unit: str = "short",
    *,
    is_stacked: bool = False,
    marks: Sequence[tuple[float | None, str]] = (),
    **rest: Any,
) -> Panel:
    """Make a panel of lines over time, from 0; `marks` draws thresholds."""
    custom = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1,
        "fillOpacity": 60 if is_stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if is_stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if marks else "off"},
    }
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "calcs": ["mean", "max", "lastNotNull"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    rest.setdefault("limits", (0, None))
    return Panel(
        "timeseries",
        title,
        queries,
        description,
        unit,
        thresholds=marks or ((None, "green"),),
        custom=custom,
        options=options,
        **rest,
    )


def states(title: str, query: Query, description: str, words: tuple[str, str], **rest: Any) -> Panel:
    """Make a panel of bars that say over time whether something was so: the words for 0 and for 1."""
    return Panel(
        "state-timeline",
        title,
        [query],
        description,
        thresholds=((None, "red"), (1, "green")),
        limits=(0, 1),
        custom={"fillOpacity": 70, "lineWidth": 0},
        options={
            "mergeValues": True,
            "showValue": "never",
            "rowHeight": 0.8,
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "single"},
        },
        mappings=[
            {
                "type": "value",
                "options": {
                    "0": {"text": words[0], "color": "red", "index": 0},
                    "1": {"text": words[1], "color": "green", "index": 1},
                },
            }
        ],
        **rest,
    )


def heatmap(title: str, query: Query, description: str, unit: str, **rest: Any) -> Panel:
    """Make a panel of a histogram's buckets over time."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Turbo", "steps": 64},
        "cellGap": 1,
        "yAxis": {"unit": unit},
        "tooltip": {"mode": "single", "yHistogram": False},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "legend": {"show": True},
    }
    return Panel("heatmap", title, [query], description, unit, options=options, **rest)


@dataclass(frozen=True, slots=True)
class Line:
    """Panels beside each other; an empty title belongs to the heading above.

    Attributes:
        height: In Grafana's rows of 30 pixels.
    """

    title: str
    panels: Sequence[Panel]
    height: int = 8


def variable(name: str, label: str, query: str, description: str) -> Json:
    """Make a choice of several values of a label, all at first."""
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard(uid: str, title: str, description: str, variables: Sequence[Json], body: Sequence[Line]) -> Json:
    """Put a dashboard together: each line of panels below the one before.

    Raises:
        ValueError: A line is wider than the page.
    """
    panels: list[Json] = []
    top = 0
    for line in body:
        if line.title:
            place = {"x": 0, "y": top, "w": _COLUMNS, "h": 1}
            panels.append(
                {"id": len(panels) + 1, "type": "row", "title": line.title, "gridPos": place, "collapsed": False}
                | {"panels": []}
            )
            top += 1
        left = 0
        for panel in line.panels:
            place = {"x": left, "y": top, "w": panel.width, "h": line.height}
            panels.append(panel.json(len(panels) + 1, place))
            left += panel.width
        if left > _COLUMNS:
            raise ValueError(f"{title}: the line with {line.panels[0].title} is {left} columns wide, of {_COLUMNS}")
        top += line.height
    source = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}}
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["streamer"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "timezone": "browser",
        "links": [
            {"type": "dashboards", "title": "streamer", "tags": ["streamer"], "keepTime": True, "asDropdown": False}
        ],
        "templating": {"list": [source, *variables]},
        "annotations": {"list": [_alerts()]},
        "panels": panels,
    }


def _alerts() -> Json:
    """Mark when an alert began to fire."""
    return {
        "name": "alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertstate="firing", severity="critical", alertname=~".+"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{group}} {{camera}} {{instance}}",
        "step": "60s",
    }
