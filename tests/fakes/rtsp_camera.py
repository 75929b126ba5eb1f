"""Starts and stops `rtsp_server.py`, and says why where that cannot be."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

import pytest

_PYTHON = "/usr/bin/python3"
_SCRIPT = Path(__file__).with_name("rtsp_server.py")
_START_S = 30.0


class RtspCamera:
    """The running server.

    Attributes:
        port: Its port on 127.0.0.1.
        url: Its stream's address, without user name and password.
    """

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self._process = process
        self.port = port
        self.url = f"rtsp://127.0.0.1:{port}/stream"

    def freeze(self) -> None:
        """Stop it as it is: its connections stay, and nothing moves."""
        self._process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


@contextmanager
def rtsp_camera(*options: str) -> Iterator[RtspCamera]:
    """Run a server; skip the test where its packages are missing, unless they are required."""
    command = [_PYTHON, str(_SCRIPT), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = _wait_ready(process)
            yield RtspCamera(process, port)
        finally:
            process.kill()


def need(is_there: bool, what: str) -> None:
    """Skip where a peer from Debian is missing; fail where STREAMER_TESTS_REQUIRE_TOOLS is set."""
    if is_there:
        return
    if os.environ.get("STREAMER_TESTS_REQUIRE_TOOLS"):
        pytest.fail(f"{what} is missing, and STREAMER_TESTS_REQUIRE_TOOLS is set")
    pytest.skip(f"{what} is missing")


def _wait_ready(process: "subprocess.Popen[str]") -> int:
    assert process.stdout is not None
    assert process.stderr is not None
    with DefaultSelector() as selector:
        selector.register(process.stdout, EVENT_READ)
        line = process.stdout.readline() if selector.select(_START_S) else ""
    if line.startswith("READY "):
        return int(line.split()[1])
    process.kill()
    errors = process.stderr.read()
    sys.stderr.write(errors)
    need(is_there="ModuleNotFoundError" not in errors and "not available" not in errors, what="GStreamer's RTSP server")
    pytest.fail("the RTSP server did not start")
