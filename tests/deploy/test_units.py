"""The systemd units: systemd reads them, they give few rights, and their commands are streamer's."""

import re
import shlex
from collections import defaultdict
from pathlib import Path

import pytest

from config.types import parse_duration
from streamer.cli import consume
from streamer.compose import cameras_of
from tests.deploy.deployment import DEPLOY, call, check_variables, run, tool

UNITS = DEPLOY / "systemd"
PROGRAM = "/opt/streamer/bin/streamer"
#: The unit, its instance, and what may be added to it.
KINDS = {
    "consume": ("0", ("card.conf", "kafka-password.conf")),
    "produce": ("gate", ("usb-cameras.conf", "kafka-password.conf")),
}


def entries(path: Path) -> dict[str, list[str]]:
    """Return the values of each key, of all sections."""
    values: dict[str, list[str]] = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and line[0] not in "#;[":
            key, _, value = line.partition("=")
            values[key].append(value)
    return values


def unit(kind: str) -> Path:
    return UNITS / f"streamer-{kind}@.service"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_additions", [False, True])
def test_systemd_takes_it(kind: str, has_additions: bool, tmp_path: Path) -> None:
    analyse = tool("systemd-analyze", "systemd")
    instance, additions = KINDS[kind]
    # The program need not be installed here.
    text = unit(kind).read_text(encoding="utf-8").replace(PROGRAM, "/bin/true")
    (tmp_path / unit(kind).name).write_text(text, encoding="utf-8")
    if has_additions:
        folder = tmp_path / f"{unit(kind).name}.d"
        folder.mkdir()
        for name in additions:
            (folder / name).write_bytes((UNITS / name).read_bytes())
    printed = run(
        *(analyse, "verify", "--man=no", "--recursive-errors=no", f"streamer-{kind}@{instance}.service"),
        SYSTEMD_UNIT_PATH=f"{tmp_path}:",
    )
    assert not printed.strip(), printed  # what it does not know it only mentions


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_few_rights(kind: str) -> None:
    analyse = tool("systemd-analyze", "systemd")
    run(analyse, "security", "--offline=true", "--threshold=20", "--no-pager", unit(kind))


def command(kind: str, credentials: Path) -> list[str]:
    (line,) = entries(unit(kind))["ExecStart"]
    program, *arguments = shlex.split(line)
    assert program == PROGRAM
    line = shlex.join(arguments).replace("%i", KINDS[kind][0])
    return [word.replace("${CREDENTIALS_DIRECTORY}", str(credentials)) for word in shlex.split(line)]


def test_the_consumers_command_is_streamers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = call(command("consume", tmp_path), monkeypatch).settings
    assert settings.device == "0"


def test_the_cameras_are_read_from_the_credential(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (credential,) = entries(unit("produce"))["LoadCredential"]
    (tmp_path / credential.partition(":")[0]).write_text(
        '[[camera]]\nname = "gate"\nsource = "synthetic:workpiece"\n', encoding="utf-8"
    )
    cameras = cameras_of(call(command("produce", tmp_path), monkeypatch).settings)
    assert [camera.name for camera in cameras.cameras] == ["gate"]


@pytest.mark.parametrize("path", sorted(UNITS.iterdir()), ids=lambda path: path.name)
def test_variables_are_settings(path: Path) -> None:
    variables = dict(value.split("=", 1) for value in entries(path).get("Environment", ()))
    check_variables(variables)
    for name, value in variables.items():
        for credential in re.findall(r"%d/(\S+)", value):
            assert f"{credential}:" in "".join(entries(path)["LoadCredential"]), name


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_time_to_drain(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (limit,) = entries(unit(kind))["TimeoutStopSec"]
    drain = call(["consume"], monkeypatch).settings.drain_timeout.total_seconds()
    assert parse_duration(limit).total_seconds() > drain + consume._CLOSE_S


@pytest.mark.parametrize("kind", KINDS)
def test_instances_share_no_state(kind: str) -> None:
    values = entries(unit(kind))
    (state,) = values["StateDirectory"]
    # Each has a dynamic user of its own, and would take the directory from the other.
    assert values["DynamicUser"] == ["yes"]
    assert "%i" in state
    assert f"HOME=%S/{state}" in values["Environment"]
    assert values["WorkingDirectory"] == [f"%S/{state}"]


def test_wrong_settings_are_not_tried_again() -> None:
    from config.errors import ConfigError

    for kind in KINDS:
        assert entries(unit(kind))["RestartPreventExitStatus"] == [str(ConfigError.exit_code)]
