"""Commands run in this process, and what they print."""

import json
from typing import Any

import pytest

from streamer.cli.main import main


def output_of(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """Run a command, which ends with `code`; return its standard output."""
    assert main(list(words)) == code, capsys.readouterr().err
    return capsys.readouterr().out


def json_of(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run a command with `--json`; return its last line."""
    found: dict[str, Any] = json.loads(output_of(capsys, *words, "--json", code=code).splitlines()[-1])
    return found


def error_of(capsys: pytest.CaptureFixture[str], *words: str, code: int = 2) -> str:
    """Run a command that is refused; return the line that says why."""
    found, (out, error) = main(list(words)), capsys.readouterr()
    assert (found, out) == (code, ""), error
    assert error.count("\n") == 1, error
    return error
