"""The OpenTelemetry SDK, set up by the standard `OTEL_*` variables. Everything below this module uses the API alone.

Exporters: `otlp` (HTTP with protobuf), `console` and `none`, by `OTEL_TRACES_EXPORTER` and `OTEL_METRICS_EXPORTER`,
and `otlp` where only an endpoint is given. With neither an exporter nor an endpoint nothing is exported, and the SDK
is not even imported.
"""

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import Attributes

log = logging.getLogger(__name__)

_SHUTDOWN_TIMEOUT_S = 5.0
_EXPORTERS = ("otlp", "console", "none")
_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class TelemetryError(Exception):
    """An `OTEL_*` variable asks for something that is not here."""

    exit_code = 2


class Role(StrEnum):
    """What the process is; the default of `OTEL_SERVICE_NAME`."""

    CAMERA = "streamer-camera"
    CONSUMER = "streamer-consumer"
    WORKER = "streamer-worker"


def _exporter(signal: str) -> str:
    """Return the exporter that the environment names for `TRACES` or `METRICS`; an empty variable names nothing."""
    if _is_disabled():
        return "none"
    variable = f"OTEL_{signal}_EXPORTER"
    named = _variable(variable)
    if not named:
        has_endpoint = _variable(_ENDPOINT) or _variable(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
        named = "otlp" if has_endpoint else "none"
    if named not in _EXPORTERS:
        raise TelemetryError(f"{variable}={named}: there are {', '.join(_EXPORTERS)}")
    if named == "otlp":
        for variable in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
            protocol = _variable(variable)
            if protocol and protocol != "http/protobuf":
                raise TelemetryError(f"{variable}={protocol}: only http/protobuf is here")
            if protocol:
                break
    return named


def _is_disabled() -> bool:
    return _variable("OTEL_SDK_DISABLED").lower() == "true"


def _variable(name: str) -> str:
    return os.environ.get(name, "").strip()


class Prometheus:
    """What this process has measured, for its metrics port; nothing until `telemetry` has set it up."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._reader: InMemoryMetricReader | None = None
        self._lock = threading.Lock()

    def reader(self) -> "MetricReader":
        """Return what the SDK hands its figures to."""
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader

        self._reader = InMemoryMetricReader()
        return self._reader

    def text(self, accept: str) -> tuple[bytes, str]:
        """Return the figures and their content type, for an `Accept` header. Any thread."""
        from streamer.prometheus import Exposition

        with self._lock:  # the reader keeps one answer
            data = self._reader.get_metrics_data() if self._reader is not None else None
        return Exposition(data).text(accept)


@contextmanager
def telemetry(role: Role, attributes: Mapping[str, str], prometheus: Prometheus | None = None) -> Iterator[None]:
    """Set up what the environment asks for, and export what is left at the end, for a few seconds at the most.

    Args:
        role: What this process is.
        attributes: What else to say about it in every span and metric; no secrets.
        prometheus: Takes the metrics too, whatever exporter the environment names.

    Raises:
        TelemetryError: A variable asks for something that is not here.
    """
    traces, metrics = _exporter("TRACES"), _exporter("METRICS")
    if prometheus is not None and _is_disabled():
        raise TelemetryError("OTEL_SDK_DISABLED leaves nothing to serve at --metrics-port: leave one of them out")
    providers: list[Any] = []
    try:
        if traces != "none" or metrics != "none" or prometheus is not None:
            resource = _resource(role, attributes)
            try:
                if traces != "none":
                    providers.append(_set_up_traces(resource, _span_exporter(traces)))
                readers = [] if metrics == "none" else [_metric_reader(metrics)]
                if prometheus is not None:
                    readers.append(prometheus.reader())
                if readers:
                    providers.append(_set_up_metrics(resource, readers))
            except ValueError as exc:
                raise TelemetryError(f"an OTEL_* variable has a bad value: {exc}") from exc
        yield
    finally:
        _shut_down(providers)


def _resource(role: Role, attributes: Mapping[str, str]) -> "Resource":
    """Describe the process; what the user's `OTEL_*` variables call it counts for more."""
    from opentelemetry.sdk.resources import Resource

    from streamer import __version__

    instance = {"service.version": __version__, "service.instance.id": f"{socket.gethostname()}-{os.getpid()}"}
    resource = Resource.create(instance | dict(attributes))
    if str(resource.attributes.get("service.name", "")).startswith("unknown_service"):
        return resource.merge(Resource({"service.name": role.value}))
    return resource


def _shut_down(providers: Sequence[Any]) -> None:
    """Export what is left. Where nobody takes it the SDK would try for a quarter of a minute; nobody waits so long."""
    threads = [threading.Thread(target=provider.shutdown, daemon=True) for provider in providers]
    for thread in threads:
        thread.start()
    deadline_s = time.monotonic() + _SHUTDOWN_TIMEOUT_S
    for thread in threads:
        thread.join(max(deadline_s - time.monotonic(), 0.0))
    if any(thread.is_alive() for thread in threads):
        log.warning("the last spans or metrics were not taken within %.0f s and are lost", _SHUTDOWN_TIMEOUT_S)


def _span_exporter(kind: str) -> "SpanExporter":
    if kind == "console":
        import sys

        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    return OTLPSpanExporter()


def _metric_reader(kind: str) -> "MetricReader":
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

    if kind == "console":
        import sys

        return PeriodicExportingMetricReader(ConsoleMetricExporter(out=sys.stderr))
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    return PeriodicExportingMetricReader(OTLPMetricExporter())


def _set_up_traces(resource: "Resource", exporter: "SpanExporter") -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = TracerProvider(shutdown_on_exit=False).sampler  # by OTEL_TRACES_SAMPLER
    provider = TracerProvider(resource=resource, sampler=link_sampler(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return provider


def _set_up_metrics(resource: "Resource", readers: Sequence["MetricReader"]) -> Any:
    from opentelemetry import metrics
    from opentelemetry.sdk.metrics import MeterProvider

    provider = MeterProvider(readers, resource=resource, shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return provider


def link_sampler(inner: "Sampler") -> "Sampler":
    """Wrap the sampler that `OTEL_TRACES_SAMPLER` names so that what belongs to something sampled is sampled.

    A batch span has no parent but links, which the stock samplers ignore: under a ratio of 0.01 it would be dropped
    although one of its frames is sampled, and the frame's way would end there. And what stands below a sampled span
    is sampled whatever a ratio says of its trace: it was decided at the camera, or by how slow the frame was.
    """
    from opentelemetry import trace
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult

    class LinkSampler(Sampler):
        """Samples what is linked to or below something sampled; for all else it asks the inner sampler."""

        def should_sample(
            self,
            parent_context: "Context | None",
            trace_id: int,
            name: str,
            kind: "SpanKind | None" = None,
            attributes: "Attributes" = None,
            links: "Sequence[Link] | None" = None,
            trace_state: "TraceState | None" = None,
        ) -> "SamplingResult":
            """Decide about one span."""
            parent = trace.get_current_span(parent_context).get_span_context()
            is_below = parent.is_valid and parent.trace_flags.sampled
            if is_below or (links and any(link.context.trace_flags.sampled for link in links)):
                return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes, trace_state)
            return inner.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

        def get_description(self) -> str:
            """Describe it."""
            return f"LinkSampler{{{inner.get_description()}}}"

    return LinkSampler()
