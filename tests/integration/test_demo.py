"""The demo as a user runs it, and the commands that the documents name."""

import json
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streamer.cli.main import COMMANDS
from tests.fakes.waiting import wait_until

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = [_ROOT / "README.md", *sorted((_ROOT / "docs").glob("*.md"))]
_STREAMER = [sys.executable, "-m", "streamer"]
#: Words after `streamer` that are no command of the list of commands.
_OTHERS = {"--help", "--version"}


def _commands() -> list[str]:
    """Every line of a `sh` block in the documents that begins with `streamer`, comments and `&` cut off."""
    lines = []
    for document in _DOCUMENTS:
        for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in joined.splitlines():
                for command in line.split(" & "):
                    words = command.split("#")[0].split("|")[0].split(">")[0].strip()
                    words = re.sub(r"^([A-Z_]+=\S+\s+)+", "", words)
                    if words.startswith("streamer "):
                        lines.append(words)
    return lines


def test_the_documents_name_commands() -> None:
    assert len(_commands()) >= 15


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_a_command_of_the_documents_is_one_that_the_program_takes(line: str) -> None:
    from importlib import import_module

    from config.load import load
    from streamer.cli.command import Command, make_parser, parse

    words = shlex.split(line)[1:]
    assert words[0] in COMMANDS
    command: Command = import_module(f"streamer.cli.{words[0]}").COMMAND
    rest = words[1:]
    while command.subcommands:
        command, rest = command.subcommands[rest[0]], rest[1:]
    flags, _ = parse(make_parser("streamer", command), rest)
    load(flags)


def test_the_demo_accounts_for_every_frame(kafka_tools: None) -> None:
    done = subprocess.run(
        [*_STREAMER, "demo", "--json", "--seconds", "3", "--cameras", "2"],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "the dashboard is at" not in done.stderr
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert figures["published"] == figures["classified"] == 150
    assert figures["lost"] == figures["skipped"] == figures["dead_lettered"] == figures["duplicates"] == 0
    assert figures["accuracy"] >= 0.97
    assert figures["batch"]["mean_size"] >= 1
    assert set(figures["latency_ms"]) == {"p50", "p95", "p99"}
    assert figures["fps"] > 0


def test_a_signal_ends_the_demo_with_its_own_account_whoever_else_uses_its_kafka(
    kafka_tools: None, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    command = [*_STREAMER, "demo", "--json", "--seconds", "100", "--cameras", "1", "--fps", "5"]
    with (
        said.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True) as demo,
    ):
        try:
            wait_until(lambda: "running" in said.read_text(), "the demo runs", 100)
            address = re.findall(
                r"Kafka is at (\S+): `streamer results --latency --bootstrap-servers \1`", said.read_text()
            )
            there = ["--bootstrap-servers", *address]
            others = [
                ["produce", "--camera", "other", "--source", "synthetic:workpiece", "--frames", "5", *there],
                ["consume", "--group", "other", "--until-idle", "50ms", "--state-directory", str(tmp_path), *there],
            ]
            for other in others:
                subprocess.run([*_STREAMER, *other], check=True, capture_output=True, timeout=60)
            demo.send_signal(signal.SIGINT)
            output, _ = demo.communicate(timeout=40)
        finally:
            demo.kill()
    assert demo.returncode == 0, said.read_text()
    figures = json.loads(output.splitlines()[-1])
    assert [camera["camera"] for camera in figures["cameras"]] == ["line-1"]
    assert figures["published"] == figures["classified"] == figures["cameras"][0]["published"] > 0
    assert figures["lost"] == 0
    assert said.read_text().count("Kafka is at") == 1
