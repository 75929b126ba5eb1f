"""The dashboard of the cameras."""

from tools.grafana.panels import Json, Line, Panel, Query, dashboard, lines, stat, states, variable
from tools.grafana.promql import increase, rate

_CHOSEN = 'camera=~"$camera"'
_CAPTURED = rate("streamer_camera_captured_total", _CHOSEN)


def cameras() -> Json:
    """Return the dashboard: does each camera run, how much does it deliver, what is given up."""
    choice = variable(
        "camera", "Camera", "label_values(streamer_camera_running, camera)", "Cameras whose process answers"
    )
    return dashboard(
        "streamer-cameras",
        "streamer: cameras",
        "Every camera: does it run, how much does it deliver, what is given up.",
        [choice],
        [_glance(), _frames(), _losses(), _connections(), Line("Each camera", [_table()], 10)],
    )


def _glance() -> Line:
    panels = [
        stat("Running", Query(f"sum(streamer_camera_running{{{_CHOSEN}}})", "running"), "Cameras that give pictures."),
        stat(
            "Not running",
            Query(f"count(streamer_camera_running{{{_CHOSEN}}} == 0) or vector(0)", "not running"),
            "Cameras whose source cannot be opened, or broke off; they are tried again by themselves.",
            thresholds=((None, "green"), (1, "red")),
        ),
        stat("Delivered", Query(f"sum({_CAPTURED})", "delivered"), "Frames per second of all cameras.", "cps"),
        stat(
            "Of what was declared",
            Query(f"sum({_CAPTURED}) / sum(streamer_camera_fps_declared{{{_CHOSEN}}})", "share"),
            "Under 1 a camera, its network or its process is too slow.",
            "percentunit",
            ((None, "red"), (0.8, "orange"), (0.95, "green")),
        ),
        stat(
            "Given up",
            Query(f"sum(increase(streamer_camera_shed_total{{{_CHOSEN}}}[$__range]))", "shed"),
            "Frames that the broker did not take in time, in the whole range shown.",
            thresholds=((None, "green"), (1, "red")),
        ),
        stat(
            "Waiting to be sent",
            Query("sum(streamer_camera_buffer_size_bytes)", "unsent"),
            "What the broker does not have yet; at --buffer-bytes (64 MiB a process) the oldest is given up.",
            "bytes",
            ((None, "green"), (16 * 2**20, "orange"), (56 * 2**20, "red")),
        ),
    ]
    return Line("At a glance", panels, 4)


def _frames() -> Line:
    declared = f"sum by (camera) (streamer_camera_fps_declared{{{_CHOSEN}}})"
    panels = [
        lines(
            "Delivered by camera",
            [Query(f"sum by (camera) ({_CAPTURED})", "{{camera}}")],
            "Frames per second that each camera gave.",
            "cps",
            width=12,
        ),
        lines(
            "Share of the declared rate",
            [Query(f"sum by (camera) ({_CAPTURED}) / {declared}", "{{camera}}")],
            "1 is all that was declared; the alert CameraSlow begins under 0.8.",
            "percentunit",
            marks=((None, "red"), (0.8, "transparent")),
            width=12,
        ),
    ]
    return Line("Frames", panels, 9)


def _losses() -> Line:
    shed, sent = rate("streamer_camera_shed_total", _CHOSEN), rate("streamer_camera_sent_total", _CHOSEN)
    panels = [
        lines(
            "Given up by camera",
            [Query(f"sum by (camera, reason) ({shed})", "{{camera}}: {{reason}}")],
            "Frames per second that were shed. Each has a result `skipped` with this reason.",
            "cps",
            is_stacked=True,
        ),
        lines(
            "Captured and not sent yet",
            [Query(f"sum by (camera) ({_CAPTURED}) - sum by (camera) ({sent})", "{{camera}}")],
            "Frames per second. Above 0 for long, the broker is behind.",
            "cps",
            limits=(None, None),
        ),
        lines(
            "Waiting to be sent",
            [Query("sum by (instance) (streamer_camera_buffer_size_bytes)", "{{instance}}")],
            "Bytes of each process of cameras.",
            "bytes",
        ),
    ]
    return Line("Losses", panels)


def _connections() -> Line:
    reconnects = increase("streamer_camera_reconnects_total", _CHOSEN)
    panels = [
        states(
            "Running",
            Query(f"max by (camera) (streamer_camera_running{{{_CHOSEN}}})", "{{camera}}"),
            "Red: the source gave no pictures.",
            ("not running", "running"),
            width=16,
        ),
        lines(
            "Reconnects",
            [Query(f"sum by (camera) ({reconnects})", "{{camera}}")],
            "Times that a source failed and was tried again.",
            is_stacked=True,
        ),
    ]
    return Line("Connections", panels)


def _table() -> Panel:
    """Make a table with a line for each camera."""
    columns = {
        "Running": f"max by (camera) (streamer_camera_running{{{_CHOSEN}}})",
        "Declared": f"max by (camera) (streamer_camera_fps_declared{{{_CHOSEN}}})",
        "Delivered": f"max by (camera) (streamer_camera_fps_delivered{{{_CHOSEN}}})",
        "Captured": f"sum by (camera) (streamer_camera_captured_total{{{_CHOSEN}}})",
        "Sent": f"sum by (camera) (streamer_camera_sent_total{{{_CHOSEN}}})",
        "Given up": f"sum by (camera) (streamer_camera_shed_total{{{_CHOSEN}}})",
        "Reconnects": f"sum by (camera) (streamer_camera_reconnects_total{{{_CHOSEN}}})",
    }
    renamed = {f"Value #{chr(ord('A') + index)}": title for index, title in enumerate(columns)}
    words = {"0": {"text": "no", "color": "red", "index": 0}, "1": {"text": "yes", "color": "green", "index": 1}}
    red_from_1 = {"mode": "absolute", "steps": [{"value": None, "color": "text"}, {"value": 1, "color": "red"}]}
    coloured = {"type": "color-text"}
    return Panel(
        "table",
        "Each camera now",
        [Query(expr, is_instant=True, format="table") for expr in columns.values()],
        "Counts are since the start of its process; rates are frames per second.",
        width=24,
        custom={"align": "auto", "filterable": True},
        options={"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": "Running", "desc": False}]},
        overrides=[
            _override("Running", mappings=[{"type": "value", "options": words}], cellOptions=coloured),
            _override("Declared", unit="cps", decimals=1),
            _override("Delivered", unit="cps", decimals=1),
            _override("Given up", thresholds=red_from_1, cellOptions=coloured),
        ],
        transformations=[
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {"excludeByName": {"Time": True}, "renameByName": {"camera": "Camera"} | renamed},
            },
        ],
    )


def _override(title: str, **properties: object) -> Json:
    """Show one column in another way than the rest."""
    of_table = {"cellOptions": "custom.cellOptions"}
    return {
        "matcher": {"id": "byName", "options": title},
        "properties": [{"id": of_table.get(name, name), "value": value} for name, value in properties.items()],
    }
