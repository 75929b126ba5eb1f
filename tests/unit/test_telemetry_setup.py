"""Which exporter the `OTEL_*` variables choose, and the sampler that keeps a sampled frame's batch."""

import json
import os
import sys
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, TraceIdRatioBased
from opentelemetry.trace import Link, NonRecordingSpan, set_span_in_context

from messaging.trace_context import span_context
from streamer.telemetry import Prometheus, Role, TelemetryError, _exporter, link_sampler, telemetry
from tests.fakes.programs import environ, python

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({}, "none", "none"),
        ({ENDPOINT: "http://collector:4318"}, "otlp", "otlp"),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, "otlp", "none"),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://c:4318/v1/metrics"}, "none", "otlp"),
        ({"OTEL_TRACES_EXPORTER": "console"}, "console", "none"),
        ({"OTEL_METRICS_EXPORTER": "otlp"}, "none", "otlp"),
        ({ENDPOINT: "http://c", "OTEL_METRICS_EXPORTER": "none"}, "otlp", "none"),
        ({ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "TRUE"}, "none", "none"),
        ({"OTEL_TRACES_EXPORTER": "nonsense", "OTEL_SDK_DISABLED": "true"}, "none", "none"),
        ({ENDPOINT: "http://c", "OTEL_SDK_DISABLED": "false"}, "otlp", "otlp"),
        # The specification: an empty variable is one that is not set.
        ({ENDPOINT: "", "OTEL_SDK_DISABLED": ""}, "none", "none"),
        ({ENDPOINT: "http://c", "OTEL_TRACES_EXPORTER": " "}, "otlp", "otlp"),
        ({ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "otlp", "otlp"),
        (
            {
                ENDPOINT: "http://c",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
            },
            "otlp",
            "otlp",
        ),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "console", "none"),
    ],
)
def test_the_exporter(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], traces: str, metrics: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (_exporter("TRACES"), _exporter("METRICS")) == (traces, metrics)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "OTEL_TRACES_EXPORTER=jaeger: there are otlp, console, none"),
        ({"OTEL_METRICS_EXPORTER": "prometheus"}, "OTEL_METRICS_EXPORTER=prometheus: there are otlp, console, none"),
        ({"OTEL_TRACES_EXPORTER": "otlp,console"}, "OTEL_TRACES_EXPORTER=otlp,console: there are"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only http/protobuf is here",
        ),
        # Where the endpoint alone asks for it as well, else metrics would be sent in a way the collector cannot read.
        ({ENDPOINT: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: only"),
        (
            {ENDPOINT: "http://c", "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json: only http/protobuf is here",
        ),
    ],
)
def test_what_is_not_here_is_said(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TelemetryError) as caught, telemetry(Role.CAMERA, {}):
        pass
    assert str(caught.value).startswith(says)
    assert caught.value.exit_code == 2


def test_a_metrics_port_with_nothing_to_serve_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(TelemetryError, match="leaves nothing to serve at --metrics-port"):
        telemetry(Role.CAMERA, {}, Prometheus()).__enter__()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
    ],
)
def test_a_bad_value_is_an_error_and_not_a_traceback(name: str, value: str) -> None:
    program = (
        "from streamer.telemetry import *\n"
        "try:\n    with telemetry(Role.CAMERA, {}): print('ran')\n"
        "except TelemetryError as exc: print('refused:', exc)"
    )
    variables = {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console", name: value}
    done = python(["-c", program], env=environ(**variables))
    assert done.stdout.startswith("refused: an OTEL_* variable has a bad value: "), done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_asked_for_is_nothing_loaded() -> None:
    program = (
        "import sys\nfrom streamer.telemetry import *\n"
        "with telemetry(Role.CAMERA, {}): print(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    done = python(["-c", program])
    assert (done.stdout, done.stderr) == ("False\n", "")


def resource_with(**variables: str) -> dict[str, Any]:
    """What a process says about itself in its spans."""
    program = (
        "from streamer.telemetry import *\n"
        "from opentelemetry import trace\n"
        "with telemetry(Role.CAMERA, {'streamer.camera': 'line-1'}):\n"
        "    trace.get_tracer('test').start_span('a').end()"
    )
    done = python(["-c", program], env=environ(OTEL_TRACES_EXPORTER="console", **variables))
    assert done.stdout == "", "spans belong on standard error, standard output is for results"
    attributes: dict[str, Any] = json.loads(done.stderr)["resource"]["attributes"]
    return attributes


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "streamer-camera"),
        ({"OTEL_SERVICE_NAME": "gate"}, "gate"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=hall,site=x"}, "hall"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=hall", "OTEL_SERVICE_NAME": "gate"}, "gate"),
    ],
)
def test_the_users_name_for_the_service_counts_for_more(variables: dict[str, str], name: str) -> None:
    attributes = resource_with(**variables)
    assert attributes["service.name"] == name
    assert attributes["streamer.camera"] == "line-1"


def test_a_collector_that_is_not_there_does_not_keep_the_process() -> None:
    program = (
        "import time\nfrom streamer.logs import set_up_logs\nfrom streamer.telemetry import *\n"
        "from opentelemetry import trace, metrics\n"
        "set_up_logs(is_debug=False)\n"
        "with telemetry(Role.CAMERA, {}):\n"
        "    trace.get_tracer('test').start_span('a').end()\n"
        "    metrics.get_meter('test').create_counter('c').add(1)\n"
        "    began_s = time.monotonic()\n"
        "print(time.monotonic() - began_s)"
    )
    # Port 9 of 127.0.0.1: nobody is there.
    done = python(["-c", program], env=environ(**{ENDPOINT: "http://127.0.0.1:9"}))
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 10  # 5 s; without the limit 15 s
    assert "the last spans or metrics were not taken within 5 s and are lost" in done.stderr
    assert "Traceback" not in done.stderr


# -- the sampler -----------------------------------------------------------------------------------

SAMPLED = span_context("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
UNSAMPLED = span_context("00-0af7651916cd43dd8448eb211c80319d-b7ad6b7169203331-00")


def decision(inner: Sampler, **given: Any) -> Decision:
    return link_sampler(inner).should_sample(given.get("parent"), 1, "poll", links=given.get("links")).decision


@pytest.mark.parametrize("inner", [ALWAYS_OFF, ParentBased(ALWAYS_OFF), TraceIdRatioBased(0.0)])
def test_a_span_with_a_sampled_link_is_sampled(inner: Sampler) -> None:
    assert decision(inner, links=[Link(UNSAMPLED), Link(SAMPLED)]) is Decision.RECORD_AND_SAMPLE
    assert decision(inner, links=[Link(UNSAMPLED)]) is Decision.DROP
    assert decision(inner, links=[]) is Decision.DROP
    assert decision(inner) is Decision.DROP


def test_without_links_the_inner_sampler_decides() -> None:
    assert decision(ALWAYS_ON) is Decision.RECORD_AND_SAMPLE
    assert decision(ALWAYS_ON, links=[Link(UNSAMPLED)]) is Decision.RECORD_AND_SAMPLE
    for parent, wanted in ((SAMPLED, Decision.RECORD_AND_SAMPLE), (UNSAMPLED, Decision.DROP)):
        context = set_span_in_context(NonRecordingSpan(parent))
        assert decision(ParentBased(ALWAYS_ON), parent=context) is wanted


@pytest.mark.parametrize("inner", [ALWAYS_OFF, TraceIdRatioBased(0.0)])
def test_what_is_below_something_sampled_is_sampled(inner: Sampler) -> None:
    for parent, wanted in ((SAMPLED, Decision.RECORD_AND_SAMPLE), (UNSAMPLED, Decision.DROP)):
        assert decision(inner, parent=set_span_in_context(NonRecordingSpan(parent))) is wanted


def test_attributes_survive_the_decision() -> None:
    result = link_sampler(ALWAYS_OFF).should_sample(None, 1, "poll", attributes={"a": 1}, links=[Link(SAMPLED)])
    assert dict(result.attributes) == {"a": 1}


def test_it_says_what_it_wraps() -> None:
    assert link_sampler(ALWAYS_OFF).get_description() == "LinkSampler{AlwaysOffSampler}"


def test_the_sdk_takes_it() -> None:
    tracer = TracerProvider(sampler=link_sampler(ALWAYS_OFF), shutdown_on_exit=False).get_tracer("test")
    assert tracer.start_span("poll", links=[Link(SAMPLED)]).is_recording()
    assert not tracer.start_span("poll").is_recording()
    assert "opentelemetry.sdk" in sys.modules
