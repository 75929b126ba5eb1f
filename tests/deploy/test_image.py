"""The container image: no engine is at hand, so its recipe is read, and what can be run of it is."""

import json
import re
import shlex
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.deploy.deployment import DEPLOY, METRICS_PORT, ROOT
from tests.fakes.programs import environ, python

RECIPE = DEPLOY / "Containerfile"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def instructions() -> list[tuple[str, str]]:
    """Return instructions with their arguments; continued lines are one."""
    text = re.sub(r"(?m)^\s*#.*\n", "", RECIPE.read_text(encoding="utf-8")).replace("\\\n", " ")
    return [(line.split(" ", 1)[0], " ".join(line.split(" ", 1)[1].split())) for line in text.splitlines() if line]


def copied() -> list[str]:
    """Return what the recipe copies from the folder that it is built in."""
    lines = [shlex.split(rest) for name, rest in instructions() if name == "COPY" and "--from=" not in rest]
    return [source.removeprefix("./") for *sources, _ in lines for source in sources]


def test_what_is_copied_is_there_and_no_ignore_file_keeps_it_out() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    for source in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in ignored, source
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert allowed == set(copied()), "what nobody copies need not reach the builder"


def test_the_wheel_finds_all_that_it_is_made_of() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    licences = [path.split("/", 1)[0] for path in PROJECT["project"]["license-files"]]
    assert {*packages, *licences, PROJECT["project"]["readme"], "pyproject.toml", "uv.lock"} <= set(copied())


def test_libraries_are_those_of_the_lock_file() -> None:
    syncs = [rest for name, rest in instructions() if name == "RUN" and "uv sync" in rest]
    assert len(syncs) == 2
    assert all("--locked" in rest and "--no-dev" in rest for rest in syncs)
    assert "--no-editable" in syncs[-1], "the code has to be in the environment that is copied"
    (extras,) = (rest for name, rest in instructions() if name == "ARG" and rest.startswith("EXTRAS="))
    named = re.findall(r"--extra (\S+?)\"?(?= |$)", extras)
    assert named
    assert set(named) <= set(PROJECT["project"]["optional-dependencies"])


def test_it_runs_as_nobody_in_particular_and_its_version_is_the_projects() -> None:
    lines = instructions()
    assert [rest for name, rest in lines if name == "USER"] == ["10001:10001"]
    assert ("ARG", f"VERSION={PROJECT['project']['version']}") in lines
    assert ("ENTRYPOINT", '["streamer"]') in lines
    assert "streamer" in PROJECT["project"]["scripts"]
    bases = [rest.split()[0] for name, rest in lines if name == "FROM"]
    assert len(bases) == 2
    assert len(set(bases)) == 1, "an environment fits the Python that it was made with"
    (version,) = (rest for name, rest in lines if name == "ARG" and rest.startswith("PYTHON_VERSION="))
    assert version.partition("=")[2] >= PROJECT["project"]["requires-python"].removeprefix(">=")


class Answering(BaseHTTPRequestHandler):
    """/healthz is well, /readyz is not."""

    def do_GET(self) -> None:
        """Answer."""
        self.send_response({"/healthz": 200, "/readyz": 503}.get(self.path, 404))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def health_check() -> list[str]:
    (check,) = (rest for name, rest in instructions() if name == "HEALTHCHECK")
    command: list[str] = json.loads(check.partition("CMD ")[2])
    return command


def probe(*arguments: str, **variables: str) -> int:
    """Run the image's health check here."""
    program, script, *rest = health_check()
    assert program == "python"
    assert script == "/opt/streamer/probe.py"
    assert any(name == "COPY" and rest.split() == ["deploy/probe.py", script] for name, rest in instructions()), (
        "the image has the script"
    )
    # A proxy of the environment is not asked for what is in this container.
    variables |= {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    done = python([str(DEPLOY / "probe.py"), *rest, *arguments], env=environ(**variables))
    assert not done.stderr, done.stderr
    return done.returncode


def test_the_health_check_asks_the_metrics_port(port: int) -> None:
    assert probe(STREAMER_METRICS_PORT=str(port)) == 0
    assert (f"STREAMER_METRICS_PORT={METRICS_PORT}") in dict(instructions())["ENV"]


def test_the_health_check_fails_where_nobody_is_well(port: int) -> None:
    assert probe(str(port), "/readyz") == 1
    assert probe(str(port), "/elsewhere") == 1
    assert probe("9") == 1  # nobody listens there
