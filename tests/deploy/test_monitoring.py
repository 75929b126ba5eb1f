"""Prometheus' files and Grafana's dashboards: their own tools read them, and each metric that they name exists."""

import json
import re
from typing import Any

import pytest

from consumers.metrics import METRICS as OF_CONSUMERS
from engine.telemetry import BACKEND
from engine.telemetry import COUNTS as OF_ENGINE
from messaging.telemetry import Metric
from producers.metrics import METRICS as OF_CAMERAS
from streamer.prometheus import prometheus_name
from streamer.worker_metrics import _Own
from tests.deploy.deployment import DEPLOY, read_yaml, run, tool
from tools.make_dashboards import DASHBOARDS, FOLDER, text

PROMETHEUS = DEPLOY / "prometheus"
GROUPS: list[dict[str, Any]] = read_yaml(PROMETHEUS / "alerts.yaml")["groups"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"]}
PAGES: dict[str, dict[str, Any]] = {name: json.loads((FOLDER / name).read_text("utf-8")) for name in DASHBOARDS}
#: What Prometheus, a resource and an alert add to the attributes of metrics.
_OTHER_LABELS = {"group", "device", "worker", "job", "instance", "le", "alertstate", "alertname"}


def _label(attribute: str) -> str:
    return attribute.replace(".", "_")


def _series(metric: Metric) -> set[str]:
    name = prometheus_name(metric.name, metric.kind, metric.unit)
    return {f"{name}_{part}" for part in ("bucket", "sum", "count")} if metric.kind == "histogram" else {name}


_METRICS = (*OF_CONSUMERS, *OF_CAMERAS)
#: What is counted beside the typed metrics: by the engine, and by the supervisor of workers.
_BESIDE = {
    *(prometheus_name(count.name, "counter", count.unit) for count in OF_ENGINE),
    *(sample.name for family in _Own(2, 2, 0).collect() for sample in family.samples),
}
SERIES = {"up", "ALERTS", *_BESIDE, *(name for metric in _METRICS for name in _series(metric))}
LABELS = (
    _OTHER_LABELS | {_label(BACKEND)} | {_label(attribute) for metric in _METRICS for attribute in metric.attributes}
)


def unknown(expression: str) -> set[str]:
    """Return the metrics and labels of a PromQL expression that nobody has."""
    plain = re.sub(r'"[^"]*"', '""', expression)
    selected = {label for inner in re.findall(r"\{([^}]*)\}", plain) for label in re.findall(r"(\w+)\s*[=!]", inner)}
    grouped = {
        label for inner in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", plain) for label in re.findall(r"\w+", inner)
    }
    rest = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|on)\s*\([^)]*\)", " ", plain)
    # What stands before a parenthesis is a function; the rest that begins like a name is a metric.
    names = set(re.findall(r"\b([a-zA-Z_]\w*)\b(?!\s*\()", rest)) - {"and", "or", "unless", "by", "on", "bool"}
    return (names - SERIES) | ((selected | grouped) - LABELS)


def test_a_metric_or_label_that_nobody_has_is_found() -> None:
    assert not unknown('sum by (group, le) (rate(streamer_frames_total{outcome="x", group=~"$group"}[5m])) > 0 and up')
    assert unknown("rate(streamer_frames[5m])") == {"streamer_frames"}
    assert unknown("sum by (camara) (streamer_camera_running)") == {"camara"}
    assert unknown('streamer_camera_running{camara="x"}') == {"camara"}
    assert unknown("streamer_batch_size") == {"streamer_batch_size"}  # a histogram has no series of its own name


def test_prometheus_takes_its_files() -> None:
    promtool = tool("promtool", "prometheus")
    run(promtool, "check", "config", PROMETHEUS / "prometheus.yaml")
    assert f"{len(ALERTS)} rules found" in run(promtool, "check", "rules", PROMETHEUS / "alerts.yaml")


def test_alerts_fire_when_they_should() -> None:
    run(tool("promtool", "prometheus"), "test", "rules", PROMETHEUS / "alerts.test.yaml")


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_says_what_to_do_and_is_tried(name: str) -> None:
    rule = ALERTS[name]
    assert set(rule["annotations"]) == {"summary", "description", "action"}
    assert rule["labels"]["severity"] in ("critical", "warning")
    assert not unknown(rule["expr"])
    tests = (PROMETHEUS / "alerts.test.yaml").read_text(encoding="utf-8")
    assert f'"{name}"' in tests or f"alertname: {name}\n" in tests


def test_alerts_watch_jobs_that_there_are() -> None:
    jobs = {each["job_name"] for each in read_yaml(PROMETHEUS / "prometheus.yaml")["scrape_configs"]}
    named = {job for rule in ALERTS.values() for job in re.findall(r'job="([^"]*)"', rule["expr"])}
    assert named
    assert named <= jobs


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_what_its_generator_makes(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == text(DASHBOARDS[name]()), (
        "run `python -m tools.make_dashboards`"
    )


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_shows_metrics_that_there_are(name: str) -> None:
    page = PAGES[name]
    expressions = [target["expr"] for panel in page["panels"] for target in panel.get("targets", ())]
    assert expressions
    for expression in expressions:
        assert not unknown(expression), expression
    for variable in page["templating"]["list"]:
        if variable["type"] == "query":
            inner, _, label = variable["query"]["query"].removeprefix("label_values(").rstrip(")").rpartition(", ")
            assert not unknown(inner)
            assert label in LABELS
    for alert in re.findall(r"alert (\w+) begins", json.dumps(page)):
        assert alert in ALERTS


@pytest.mark.parametrize("name", DASHBOARDS)
def test_prometheus_understands_each_line_of_a_dashboard(name: str, tmp_path: Any) -> None:
    promtool = tool("promtool", "prometheus")
    values = {"$__rate_interval": "1m", "$__range": "1h", "$group": ".+", "$device": ".+", "$camera": ".+"}
    rules: list[dict[str, str]] = []
    for panel in PAGES[name]["panels"]:
        for target in panel.get("targets", ()):
            expression = target["expr"]
            for variable, value in values.items():
                expression = expression.replace(variable, value)
            rules.append({"record": f"line:{len(rules)}", "expr": expression})
    file = tmp_path / "rules.json"  # which is YAML, too
    file.write_text(json.dumps({"groups": [{"name": "lines", "rules": rules}]}), encoding="utf-8")
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", file)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_stand_beside_each_other(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    panels = PAGES[name]["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & taken, panel["title"]
        taken |= cells
        if panel["type"] != "row":
            assert panel["description"], panel["title"]


def test_every_metric_is_shown_somewhere() -> None:
    shown = json.dumps(PAGES)
    typed = [prometheus_name(metric.name, metric.kind, metric.unit) for metric in _METRICS]
    assert not [name for name in (*typed, *_BESIDE) if name not in shown]


def test_exemplars_lead_to_jaeger() -> None:
    sources = read_yaml(DEPLOY / "grafana" / "provisioning" / "datasources" / "datasources.yaml")["datasources"]
    by_uid = {source["uid"]: source for source in sources}
    (way,) = by_uid["prometheus"]["jsonData"]["exemplarTraceIdDestinations"]
    assert by_uid[way["datasourceUid"]]["type"] == "jaeger"
    assert way["name"] == "trace_id", "the label that our exemplars have"
    services = read_yaml(DEPLOY / "compose.yaml")["services"]
    for source in sources:
        host, port = source["url"].removeprefix("http://").split(":")
        assert any(port == mapping.split(":")[-1] for mapping in services[host]["ports"])
    assert any('"exemplar": true' in json.dumps(page) for page in PAGES.values())


def test_grafana_finds_the_dashboards_and_lets_nobody_change_them() -> None:
    (provider,) = read_yaml(DEPLOY / "grafana" / "provisioning" / "dashboards" / "dashboards.yaml")["providers"]
    grafana = read_yaml(DEPLOY / "compose.yaml")["services"]["grafana"]
    mounted = {mount.split(":")[1] for mount in grafana["volumes"]}
    assert {f"{provider['options']['path']}/{name}" for name in DASHBOARDS} <= mounted
    assert grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in mounted
    assert grafana["environment"]["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not provider["allowUiUpdates"]
