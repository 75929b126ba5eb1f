"""What comments, alerts, dashboards and the README say of streamer is so: flags, variables, commands, topics, links."""

import re
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

from config.load import known_settings, variable_name
from messaging.topics import TopicNames
from streamer.cli.command import Command, make_parser
from streamer.cli.main import COMMANDS
from tests.deploy.deployment import DEPLOY, ROOT, read_yaml, text_files

#: Whose flags are streamer's alone, or nearly so.
_OURS = (
    "README.md",
    "prometheus/alerts.yaml",
    "grafana/cameras.json",
    "grafana/devices.json",
    "kubernetes/consumer.yaml",
)
#: Of docker, kubectl and systemctl.
_FLAGS_OF_OTHERS = {"--build", "--build-arg", "--detach", "--follow", "--from-file", "--now"}
FILES = [path for path in text_files() if path.suffix != ".json"]


def parsers(command: Command) -> Iterator[ArgumentParser]:
    yield make_parser("streamer", command)
    for inner in command.subcommands.values():
        yield from parsers(inner)


def flags() -> set[str]:
    """Return every flag of every command."""
    commands = [import_module(f"streamer.cli.{name}").COMMAND for name in COMMANDS]
    return {
        flag
        for command in commands
        for parser in parsers(command)
        for action in parser._actions
        for flag in action.option_strings
    }


def mentioned(pattern: str, paths: Sequence[Path] = FILES) -> dict[str, str]:
    """Return what matches, with a file that has it."""
    return {match: path.name for path in paths for match in re.findall(pattern, path.read_text(encoding="utf-8"))}


def test_flags_are_streamers() -> None:
    said = mentioned(r"(?<![\w.-])--[a-z][a-z-]+", [DEPLOY / path for path in _OURS])
    assert "--metrics-host" in said
    assert not {flag: file for flag, file in said.items() if flag not in flags() | _FLAGS_OF_OTHERS}
    assert set(said) >= _FLAGS_OF_OTHERS


def test_variables_are_settings() -> None:
    known = {variable_name(path) for path, _ in known_settings()} | {"STREAMER_CONFIG"}
    said = mentioned(r"\bSTREAMER_[A-Z_]+\b")
    assert "STREAMER_BOOTSTRAP_SERVERS" in said
    assert not {name: file for name, file in said.items() if name not in known and name != "STREAMER_"}


def test_commands_are_streamers() -> None:
    said = mentioned(r"`streamer ([a-z]+)")
    assert "doctor" in said
    assert not set(said) - set(COMMANDS)


def test_topics_are_those_of_the_settings() -> None:
    said = mentioned(r"\bstreamer\.(?:frames|results|dead-letters|status)\b")
    assert set(said) <= set(TopicNames().all())


def test_links_of_the_readme_lead_somewhere_and_its_ports_are_published() -> None:
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([^)#]+)", text):
        assert (DEPLOY / link).exists(), link
    services = read_yaml(DEPLOY / "compose.yaml")["services"].values()
    published = {port.rpartition(":")[0] for service in services for port in service.get("ports", ())}
    assert set(re.findall(r"\| (127\.0\.0\.1:\d+) \|", text)) == published
    alerts = (DEPLOY / "prometheus" / "alerts.yaml").read_text(encoding="utf-8")
    assert f"{alerts.count('- alert: ')} alerts" in text
    assert "(deploy/README.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_has_the_tools_that_these_tests_ask() -> None:
    (line,) = re.findall(r'(?m)^packages="(.*)"', (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    asked = {
        package
        for path in Path(__file__).parent.glob("test_*.py")
        for package in re.findall(r'\btool\("[^"]+", "([^"]+)"\)', path.read_text(encoding="utf-8"))
    }
    assert asked == {"docker-compose", "prometheus", "systemd"}
    assert asked <= set(line.split())
