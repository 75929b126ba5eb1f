"""What the tests of deploy/ have in common: its files, the tools that check them, and our own command line.

These tests need no container engine. Where there is a tool that knows a format (docker-compose, promtool,
systemd-analyze, kubernetes-validate) it is asked; all that names a flag, a setting, a port, a topic or a metric is held
against the code.
"""

import os
import shutil
import subprocess
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from config.load import Loaded, known_settings, load, variable_name
from streamer.cli.command import Command, make_parser, parse
from streamer.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
REQUIRE_TOOLS = "STREAMER_TESTS_REQUIRE_TOOLS"
#: The port that metrics, /healthz and /readyz are on everywhere in deploy/.
METRICS_PORT = 9464
_DEADLINE_S = 60


def tool(name: str, package: str) -> str:
    """Return a program's path, or skip: it is in a Debian package."""
    path = shutil.which(name)
    if path is None:
        if os.environ.get(REQUIRE_TOOLS):
            pytest.fail(f"{name} is missing (Debian: {package}), and {REQUIRE_TOOLS} is set")
        pytest.skip(f"{name} is missing (Debian: {package})")
    return path


def run(*command: str | Path, **environ: str) -> str:
    """Run a tool and return all that it printed; it has to be content."""
    done = subprocess.run(
        list(map(str, command)),
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_DEADLINE_S,
        env=os.environ | environ,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def read_yaml(path: Path) -> Any:
    """Return the one document of a file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def text_files() -> list[Path]:
    """Return every file of deploy/."""
    return sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def call(argv: list[str], monkeypatch: pytest.MonkeyPatch, environ: dict[str, str] | None = None) -> Loaded:
    """Read a command line of streamer as the program does, with these variables alone."""
    for name in list(os.environ):
        if name.startswith("STREAMER_"):
            monkeypatch.delenv(name)
    for name, value in (environ or {}).items():
        monkeypatch.setenv(name, value)
    assert argv[0] in COMMANDS, f"there is no `streamer {argv[0]}`"
    command: Command = import_module(f"streamer.cli.{argv[0]}").COMMAND
    rest = argv[1:]
    while command.subcommands:
        command, rest = command.subcommands[rest[0]], rest[1:]
    flags, arguments = parse(make_parser(f"streamer {argv[0]}", command), rest)
    return load(flags, file=arguments.config)


def check_variables(environ: dict[str, str]) -> None:
    """Refuse a STREAMER_ variable that is no setting, and an OTEL_ one that OpenTelemetry does not know."""
    from opentelemetry import environment_variables as of_api
    from opentelemetry.sdk import environment_variables as of_sdk

    known = {variable_name(path) for path, _ in known_settings()} | {"STREAMER_CONFIG"}
    assert not {name for name in environ if name.startswith("STREAMER_")} - known
    assert not {name for name in environ if name.startswith("OTEL_")} - {*vars(of_api), *vars(of_sdk)}
