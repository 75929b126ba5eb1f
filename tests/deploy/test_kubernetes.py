"""The Kubernetes manifests against the schemas of Kubernetes, and against the settings and ports of streamer."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import validate

from streamer.cli import consume
from tests.deploy.deployment import DEPLOY, METRICS_PORT, ROOT, call, check_variables

#: The oldest and the newest that are supported.
VERSIONS = ("1.32", "1.37")
MANIFESTS: list[dict[str, Any]] = list(
    yaml.safe_load_all((DEPLOY / "kubernetes" / "consumer.yaml").read_text(encoding="utf-8"))
)
BY_KIND = {manifest["kind"]: manifest for manifest in MANIFESTS}
POD = BY_KIND["StatefulSet"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]


@pytest.mark.parametrize("kind", BY_KIND)
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_it(kind: str, version: str) -> None:
    validate(BY_KIND[kind], version, strict=True)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The settings that a pod has, from the file of its ConfigMap and its variables."""
    for name, text in BY_KIND["ConfigMap"]["data"].items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    environ = {each["name"]: each["value"] for each in CONTAINER["env"]}
    check_variables(environ)
    mount = next(each for each in CONTAINER["volumeMounts"] if each["name"] == "settings")["mountPath"]
    file = Path(environ["STREAMER_CONFIG"])
    assert str(file.parent) == mount
    monkeypatch.chdir(tmp_path)
    return call(CONTAINER["args"], monkeypatch, environ | {"STREAMER_CONFIG": str(tmp_path / file.name)}).settings


def test_its_settings_are_read(settings: Any) -> None:
    assert settings.delivery == "exactly-once"
    assert settings.backend == "qaic"
    assert settings.group, "pods that share frames need one group"


def test_secrets_are_files_of_the_secret(settings: Any) -> None:
    mount = next(each for each in CONTAINER["volumeMounts"] if each["name"] == "secrets")["mountPath"]
    assert str(settings.sasl_password_file.parent) == mount
    assert str(settings.tls_ca_file.parent) == mount
    assert settings.sasl_password is None
    readme = (DEPLOY / "README.md").read_text(encoding="utf-8")
    volume = next(each for each in POD["spec"]["volumes"] if each["name"] == "secrets")
    assert f"create secret generic {volume['secret']['secretName']}" in readme
    for path in (settings.sasl_password_file, settings.tls_ca_file):
        assert f"--from-file={path.name}" in readme


def test_the_metrics_port_is_one_everywhere(settings: Any) -> None:
    assert settings.metrics_port == METRICS_PORT
    assert settings.metrics_host == "0.0.0.0", "the kubelet asks from outside"
    (port,) = CONTAINER["ports"]
    assert (port["name"], port["containerPort"]) == ("metrics", METRICS_PORT)
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        assert CONTAINER[probe]["httpGet"] == {"path": path, "port": "metrics"}
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == str(METRICS_PORT)
    assert BY_KIND["Service"]["spec"]["ports"][0]["port"] == METRICS_PORT
    assert BY_KIND["NetworkPolicy"]["spec"]["ingress"][0]["ports"][0]["port"] == "metrics"


def test_the_way_out_is_open_for_kafka_and_spans(settings: Any) -> None:
    rules = BY_KIND["NetworkPolicy"]["spec"]["egress"]
    allowed = {port["port"] for rule in rules for port in rule["ports"]}
    endpoint = next(each["value"] for each in CONTAINER["env"] if each["name"] == "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert allowed == {53, int(settings.bootstrap_servers.rpartition(":")[2]), int(endpoint.rpartition(":")[2])}


def test_there_is_time_to_drain(settings: Any) -> None:
    needed_s = settings.drain_timeout.total_seconds() + consume._CLOSE_S
    assert POD["spec"]["terminationGracePeriodSeconds"] > needed_s


def test_there_are_no_more_consumers_than_partitions(settings: Any) -> None:
    assert BY_KIND["StatefulSet"]["spec"]["replicas"] <= settings.partitions
    assert CONTAINER["resources"]["limits"]["qualcomm.com/qaic"] == 1


def test_all_speak_of_the_same_pods() -> None:
    labels = POD["metadata"]["labels"]
    spec = {kind: manifest.get("spec", {}) for kind, manifest in BY_KIND.items()}
    selectors = [
        spec["Service"]["selector"],
        spec["StatefulSet"]["selector"]["matchLabels"],
        spec["PodDisruptionBudget"]["selector"]["matchLabels"],
        spec["NetworkPolicy"]["podSelector"]["matchLabels"],
    ]
    assert all(selector == labels for selector in selectors)
    assert spec["StatefulSet"]["serviceName"] == BY_KIND["Service"]["metadata"]["name"]
    volumes = {volume["name"] for volume in POD["spec"]["volumes"]}
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == volumes


def test_it_runs_with_few_rights_as_the_image_does() -> None:
    recipe = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    security = POD["spec"]["securityContext"]
    assert f"USER {security['runAsUser']}:{security['runAsGroup']}" in recipe
    assert security["runAsNonRoot"]
    assert CONTAINER["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    state = next(each for each in CONTAINER["volumeMounts"] if each["name"] == "state")["mountPath"]
    assert f"STREAMER_STATE_DIRECTORY={state}" in recipe
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert CONTAINER["image"] == f"streamer:{version}"
