"""The compose file against the specification, against itself, and against the files that it mounts."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from config.types import parse_duration
from messaging.broker.jars import KAFKA_VERSION
from streamer.cli import consume
from tests.deploy.deployment import DEPLOY, METRICS_PORT, ROOT, call, check_variables, read_yaml, run, tool

SERVICES: dict[str, dict[str, Any]] = read_yaml(DEPLOY / "compose.yaml")["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("streamer:")}
#: Its image has nothing that could ask.
WITHOUT_HEALTH_CHECK = {"collector"}


def targets(job: str) -> list[str]:
    """Return whom Prometheus asks."""
    jobs = read_yaml(DEPLOY / "prometheus" / "prometheus.yaml")["scrape_configs"]
    return [
        target
        for each in jobs
        if each["job_name"] == job
        for config in each["static_configs"]
        for target in config["targets"]
    ]


def test_docker_compose_takes_it(tmp_path: Path) -> None:
    compose = tool("docker-compose", "docker-compose")
    # Debian's docker-compose is older than `name`.
    text = re.sub(r"(?m)^name: .*\n", "", (DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    copy = tmp_path / "compose.yaml"
    copy.write_text(text, encoding="utf-8")
    run(
        *(compose, "-f", copy, "--project-directory", DEPLOY, "config", "--quiet"),
        STREAMER_DASHBOARD_TOKEN="a secret",
    )


@pytest.mark.parametrize("name", OURS)
def test_a_command_is_one_that_streamer_takes(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    environ = OURS[name]["environment"]
    check_variables(environ)
    loaded = call(OURS[name]["command"], monkeypatch, environ)
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")
    assert f"INSIDE://{loaded.settings.bootstrap_servers}" in advertised


def test_whoever_has_metrics_is_asked_for_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    jobs = {"produce": "streamer-cameras", "consume": "streamer-consumers"}
    for command, job in jobs.items():
        expected = []
        for name, service in OURS.items():
            if service["command"][0] == command:
                settings = call(service["command"], monkeypatch, service["environment"]).settings
                assert settings.metrics_host == "0.0.0.0", f"{name} is asked from another container"
                expected.append(f"{name}:{settings.metrics_port}")
        assert sorted(targets(job)) == sorted(expected)
        assert all(target.endswith(f":{METRICS_PORT}") for target in expected)


def test_ports_are_open_on_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert not [port for port in ports if not port.startswith("127.0.0.1:")]


def test_a_health_check_asks_the_port_that_its_command_has() -> None:
    for name, service in OURS.items():
        check = service.get("healthcheck", {}).get("test")
        if check is not None:
            _, program, script, port, *_ = check
            assert (program, script) == ("python", "/opt/streamer/probe.py")
            assert port in service["command"], name


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        assert re.fullmatch(r"[a-z/-]+:v?\d+\.\d+\.\d+", service["image"]), name
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert {service["image"] for service in OURS.values()} == {f"streamer:{version}"}
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}", "the one that all tests run against"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_bounded_and_has_few_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] or name == "kafka"
    assert service["mem_limit"]
    assert service["restart"] == ("no" if name == "topics" else "unless-stopped")
    has_check = "healthcheck" in service or name in OURS  # our image brings one
    assert has_check != (name in WITHOUT_HEALTH_CHECK)


def test_who_waits_for_a_healthy_service_waits_for_one_that_says_so() -> None:
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            assert other in SERVICES, name
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[other], f"{name} waits for {other}"
            if how["condition"] == "service_completed_successfully":
                assert SERVICES[other]["restart"] == "no", f"{name} waits for {other}"


def test_what_is_mounted_is_there() -> None:
    volumes = read_yaml(DEPLOY / "compose.yaml")["volumes"]
    for name, service in SERVICES.items():
        for mount in service.get("volumes", ()):
            source = mount.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in volumes, (name, mount)


def test_a_consumer_has_the_time_to_drain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    service = SERVICES["consumer"]
    drain = call(service["command"], monkeypatch, service["environment"]).settings.drain_timeout
    assert parse_duration(service["stop_grace_period"]).total_seconds() > drain.total_seconds() + consume._CLOSE_S
    assert service["hostname"], "its transactional id has the host's name in it"


def test_spans_find_their_way_to_jaeger() -> None:
    collector = read_yaml(DEPLOY / "otel" / "collector.yaml")
    port = collector["receivers"]["otlp"]["protocols"]["http"]["endpoint"].rpartition(":")[2]
    for name in ("camera-1", "camera-2", "consumer"):
        assert SERVICES[name]["environment"]["OTEL_EXPORTER_OTLP_ENDPOINT"] == f"http://collector:{port}"
    exporters = collector["exporters"]
    assert exporters["otlp_grpc/jaeger"]["endpoint"] == "jaeger:4317"
    for pipeline in collector["service"]["pipelines"].values():
        assert set(pipeline["exporters"]) <= set(exporters)
        assert set(pipeline["processors"]) <= set(collector["processors"])
        assert set(pipeline["receivers"]) <= set(collector["receivers"])
    assert targets("otlp") == [f"collector:{exporters['prometheus']['endpoint'].rpartition(':')[2]}"]
    (reader,) = collector["service"]["telemetry"]["metrics"]["readers"]
    assert f"collector:{reader['pull']['exporter']['prometheus']['port']}" in targets("watchers")
