"""Write docs/metrics.md: each metric, its name in Prometheus, its unit and what it means.

python tools/make_metrics_page.py
"""

from collections.abc import Iterator
from pathlib import Path

from consumers.metrics import METRICS as CONSUMER_METRICS
from engine.telemetry import BACKEND, COUNTS
from messaging.telemetry import Metric
from producers.metrics import METRICS as CAMERA_METRICS
from streamer.prometheus import prometheus_name
from streamer.worker_metrics import OWN

PATH = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"

_HEAD = """# Metrics

`--metrics-port 9464` on `streamer consume` and `streamer produce` serves `/metrics` for Prometheus, and `/healthz` and
`/readyz` for whoever starts processes; `OTEL_EXPORTER_OTLP_ENDPOINT` sends the same by OTLP over HTTP.
[How to look at it all](observing.md). This page is made from the code by `python tools/make_metrics_page.py`.

In Prometheus, whatever a consumer measures has the labels `group`, `device` and `worker` too, and histograms have the
series `_bucket`, `_sum` and `_count`. Counters stand at 0 from the start.
"""

_COLUMNS = """
| in Prometheus | in OpenTelemetry | kind | unit | labels | what it says |
|---|---|---|---|---|---|
"""


def tables() -> Iterator[tuple[str, list[Metric]]]:
    """Yield each table's title and its metrics."""
    yield "Of a consumer", list(CONSUMER_METRICS)
    yield "Of the engine in it", [Metric(each.name, "counter", *each[1:], (BACKEND,)) for each in COUNTS]
    yield "Of a consumer with several workers", list(OWN)
    yield "Of cameras", list(CAMERA_METRICS)


def names() -> set[str]:
    """Return the names of every series in Prometheus."""
    found = {"target_info", "up"}
    for _, metrics in tables():
        for metric in metrics:
            name = prometheus_name(metric.name, metric.kind, metric.unit)
            found |= {f"{name}_{end}" for end in ("bucket", "sum", "count")} if metric.kind == "histogram" else {name}
    return found


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    for title, metrics in tables():
        parts += [f"\n## {title}\n", _COLUMNS]
        for metric in metrics:
            name = prometheus_name(metric.name, metric.kind, metric.unit)
            labels = ", ".join(f"`{attribute.replace('.', '_')}`" for attribute in metric.attributes)
            unit = f"`{metric.unit}`" if metric.unit else ""
            parts.append(f"| `{name}` | `{metric.name}` | {metric.kind} | {unit} | {labels} | {metric.description} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
