"""Metrics as Prometheus reads them, with exemplars, which OpenTelemetry's own exporter leaves out.

Names follow OpenTelemetry's rules: `streamer.queue.size` in `By` is `streamer_queue_size_bytes`, a counter ends in
`_total`. Source: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData
    from prometheus_client.metrics_core import Metric as Family

_UNITS: Final = {"s": "seconds", "By": "bytes", "1": "ratio"}
#: What tells one process's figures from another's, of the resource's attributes, and what the label is called.
_SHARED_LABELS: Final = {"streamer.group": "group", "streamer.device": "device", "streamer.worker": "worker"}


def prometheus_name(name: str, kind: str, unit: str) -> str:
    """Return what a metric is called in Prometheus; a histogram's series add `_bucket`, `_sum` and `_count`."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", name)
    suffix = _UNITS.get(unit, "")
    if suffix and not plain.endswith(f"_{suffix}"):
        plain = f"{plain}_{suffix}"
    return f"{plain}_total" if kind == "counter" else plain


@dataclass(frozen=True, slots=True)
class Exposition:
    """What one process has measured, in the form that prometheus_client prints."""

    data: "MetricsData | None"

    def collect(self) -> Iterator["Family"]:
        """Yield the families."""
        if self.data is None:
            return
        families: dict[str, list[tuple[Metric, Mapping[str, str]]]] = {}
        for resource in self.data.resource_metrics:
            attributes = resource.resource.attributes
            shared = {label: str(attributes[key]) for key, label in _SHARED_LABELS.items() if key in attributes}
            yield _target_info(attributes)
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    families.setdefault(metric.name, []).append((metric, shared))
        for metrics in families.values():
            yield from _family(metrics)

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its content type, in the format that a client accepts; OpenMetrics has exemplars."""
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(accept)
        return encoder(self), content_type


def _target_info(attributes: Mapping[str, Any]) -> "Family":
    from prometheus_client.metrics_core import InfoMetricFamily

    labels = {_label(key): str(value) for key, value in attributes.items()}
    return InfoMetricFamily("target", "what the process says about itself", labels)


def _family(metrics: Sequence[tuple["Metric", Mapping[str, str]]]) -> Iterator["Family"]:
    """Make the family of metrics with one name: two scopes may have one each."""
    from opentelemetry.sdk.metrics.export import Histogram, Sum
    from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    rows: list[tuple[dict[str, str], Any]] = [
        ({**shared} | {_label(key): str(value) for key, value in (point.attributes or {}).items()}, point)
        for metric, shared in metrics
        for point in metric.data.data_points
    ]
    if not rows:
        return
    first = metrics[0][0]
    labels = sorted({label for row, _ in rows for label in row})
    values = [([row.get(label, "") for label in labels], point) for row, point in rows]
    about = first.description or first.name
    about = about[0].upper() + about[1:]
    if isinstance(first.data, Histogram):
        histogram = HistogramMetricFamily(_name(first, "histogram"), about, labels=labels)
        for row, point in values:
            histogram.add_metric(row, buckets=list(_buckets(point)), sum_value=point.sum)
        yield histogram
    elif isinstance(first.data, Sum) and first.data.is_monotonic:
        counter = CounterMetricFamily(_name(first, "counter"), about, labels=labels)
        for row, point in values:
            counter.add_metric(row, point.value)
        yield counter
    else:
        gauge = GaugeMetricFamily(_name(first, "gauge"), about, labels=labels)
        for row, point in values:
            gauge.add_metric(row, point.value)
        yield gauge


def _name(metric: "Metric", kind: str) -> str:
    return prometheus_name(metric.name, kind, metric.unit or "")


def _label(key: str) -> str:
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)


def _buckets(point: "HistogramDataPoint") -> Iterator[tuple[str, float, Any]]:
    """Yield upper bound, cumulative count and newest exemplar of each bucket."""
    from prometheus_client.samples import Exemplar

    total, lower = 0, float("-inf")
    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        total += count
        inside = [each for each in point.exemplars if lower < each.value <= bound and each.trace_id]
        newest = max(inside, key=lambda each: each.time_unix_nano, default=None)
        exemplar = newest and Exemplar(
            {"trace_id": f"{newest.trace_id:032x}", "span_id": f"{newest.span_id or 0:016x}"},
            newest.value,
            newest.time_unix_nano / 1e9,
        )
        yield "+Inf" if bound == float("inf") else str(float(bound)), total, exemplar
        lower = bound


def merge(texts: Sequence[bytes]) -> bytes:
    """Return the text of several processes as one: each family once, with the samples of all."""
    about: dict[str, list[bytes]] = {}
    samples: dict[str, list[bytes]] = {}
    end = b""
    for text in texts:
        family = ""
        known: set[str] = set()
        for line in text.splitlines():
            if line == b"# EOF":
                end = line + b"\n"
            elif line.startswith(b"# "):
                family = line.split(b" ", 3)[2].decode()
                if family not in about or family in known:
                    about.setdefault(family, []).append(line)
                    known.add(family)
            elif line:
                samples.setdefault(family, []).append(line)
    lines = [line for family, head in about.items() for line in (*head, *samples.get(family, ()))]
    return b"\n".join(lines) + b"\n" + end
