"""Commands as processes: they end with who started them, also where that is killed; how they fail; their settings."""

import os
import signal
from pathlib import Path

import pytest

from streamer.processes import CommandProcess, ProcessError, environ_for
from tests.fakes.programs import python
from tests.fakes.waiting import wait_until

_KILLED = """
import os, signal, sys, time
from streamer.processes import CommandProcess
process = CommandProcess("sleeper", [])
process._arguments = [sys.executable, "-c", "import time; time.sleep(600)"]
process.start(os.environ)
print(process._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_what_a_killed_program_started_ends() -> None:
    done = python(["-c", _KILLED])
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    try:
        wait_until(lambda: not is_running(pid), "its process ends", 10)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def test_a_command_that_fails_says_what_it_said() -> None:
    with CommandProcess("streamer sing", ["sing"]) as process:
        process.start(os.environ)
        with pytest.raises(ProcessError, match=r"`streamer sing` ended with 2: .*unknown command sing"):
            process.first_json(30.0)


def test_no_setting_of_the_user_is_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_GROUP", "mine")
    monkeypatch.setenv("STREAMER_CONFIG", "mine.toml")
    environ = environ_for("127.0.0.1:1")
    ours = {name: value for name, value in environ.items() if name.startswith("STREAMER_")}
    assert ours == {"STREAMER_BOOTSTRAP_SERVERS": "127.0.0.1:1", "STREAMER_CONFIG": os.devnull}
    assert environ["PATH"] == os.environ["PATH"]
