"""What the demo starts ends with it, also where it is killed and can end nothing itself."""

import os
import signal
from pathlib import Path

from tests.fakes.programs import python
from tests.fakes.waiting import wait_until

_KILLED_DEMO = """
import os, signal, sys, time
from streamer.demo.processes import CommandProcess
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


def test_what_a_killed_demo_started_ends() -> None:
    done = python(["-c", _KILLED_DEMO])
    assert done.returncode == -signal.SIGKILL
    pid = int(done.stdout)
    try:
        wait_until(lambda: not is_running(pid), "its process ends", 10)
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)
