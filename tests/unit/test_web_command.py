"""`streamer dashboard` on the command line: what it refuses, in one line, before anything starts."""

import logging
from pathlib import Path

import pytest

from streamer.cli.dashboard import ProblemLog
from streamer.cli.main import main
from tests.fakes.programs import python

TOKEN = "hunter2-hunter2-hunter2"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_another_address_needs_a_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", "--host", "0.0.0.0"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "STREAMER_DASHBOARD_TOKEN or --token-file" in said


def test_a_token_is_given_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMER_DASHBOARD_TOKEN", TOKEN)
    assert main(["dashboard", "--token-file", str(tmp_path / "token")]) == 2
    said = capsys.readouterr().err
    assert "STREAMER_DASHBOARD_TOKEN and --token-file give the same secret" in said
    assert TOKEN not in said


def test_a_token_is_no_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dashboard", f"--token={TOKEN}"]) == 2
    said = capsys.readouterr().err
    assert "set STREAMER_DASHBOARD_TOKEN, or give --token-file PATH" in said
    assert TOKEN not in said


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / "hide.py").write_text(
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'nicegui' else find(name, *rest)\n"
        "from streamer.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    for command in (["dashboard"], ["demo", "--dashboard"]):
        done = python(["hide.py", *command], cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr == (
            "streamer: pages in the browser need NiceGUI: run pip install 'aic-streamer[dashboard]'\n"
        )


def test_a_problem_is_logged_when_it_comes_and_when_it_goes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    problems = ProblemLog()
    for problem in ("", "no broker", "no broker", "no topic", "", ""):
        problems.note(problem)
    assert caplog.messages == ["no broker", "no topic", "all topics can be read"]


def test_nothing_but_the_dashboard_loads_nicegui() -> None:
    code = (
        "import sys; import streamer.cli.consume, streamer.cli.produce, streamer.cli.demo, streamer.cli.dashboard; "
        "import streamer.watch.site, streamer.compose; print('nicegui' in sys.modules)"
    )
    assert python(["-c", code]).stdout == "False\n"
