"""The program's own commands as processes, ended by id, with what they said kept for the case of trouble."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, ClassVar, Self

from messaging.bound_process import bound_to_this

_STOP_TIMEOUT_S = 20.0
_TAIL_LINES = 5
_MAX_LINE_BYTES = 65_536
_POLL_S = 0.05


class ProcessError(Exception):
    """A command failed, or did not do its part in time; the message is one line."""

    exit_code: ClassVar[int] = 1


def environ_for(bootstrap_servers: str) -> dict[str, str]:
    """Return the environment of processes that use a broker of ours: no setting of the user's is in the way."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    # The user's settings file, too: its login is for another broker.
    return kept | {"STREAMER_BOOTSTRAP_SERVERS": bootstrap_servers, "STREAMER_CONFIG": os.devnull}


class CommandProcess:
    """One `streamer` command in a process of its own."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        """Say what to run; `start` starts it."""
        self.name = name
        self._arguments = [sys.executable, "-P", "-m", "streamer", *arguments]  # -P: no files of the folder
        self._process: subprocess.Popen[str] | None = None
        self._output: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `stop`
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `stop`

    def start(self, environ: Mapping[str, str]) -> None:
        """Start it in a process group of its own, so that Ctrl-C reaches it through us alone; it ends with us."""
        self._process = subprocess.Popen(
            bound_to_this(self._arguments, signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            env=dict(environ),
            text=True,
            start_new_session=True,
        )

    def is_running(self) -> bool:
        """Tell whether it still runs.

        Raises:
            ProcessError: It ended with an error; the message has what it said.
        """
        if self._process is None:
            return False
        code = self._process.poll()
        if code not in (None, 0):
            raise ProcessError(f"`{self.name}` ended with {code}: {self._tail()}")
        return code is None

    def terminate(self, timeout_s: float = _STOP_TIMEOUT_S) -> None:
        """Ask it to end, and wait for it; kill it where it does not.

        Raises:
            ProcessError: It did not end by itself, or ended with an error.
        """
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired as exc:
            self._process.kill()
            self._process.wait()
            raise ProcessError(f"`{self.name}` did not end within {timeout_s:.0f} s: {self._tail()}") from exc
        self.is_running()

    def last_json(self) -> dict[str, Any]:
        """Return the JSON object on its last line.

        Raises:
            ProcessError: There is none.
        """
        self._output.seek(0)
        lines = self._output.read().strip().splitlines()
        try:
            value: dict[str, Any] = json.loads(lines[-1])
        except (IndexError, ValueError) as exc:
            raise ProcessError(f"`{self.name}` gave no figures: {self._tail()}") from exc
        return value

    def first_json(self, timeout_s: float) -> dict[str, Any]:
        """Wait for the first line of a process that goes on, and return the JSON object on it.

        Raises:
            ProcessError: There is none in time.
        """
        until_s = time.monotonic() + timeout_s
        while self.is_running() and time.monotonic() < until_s:
            # The process writes where this file's position is: it must not be moved.
            line, end, _ = os.pread(self._output.fileno(), _MAX_LINE_BYTES, 0).partition(b"\n")
            if end:
                value: dict[str, Any] = json.loads(line)
                return value
            time.sleep(_POLL_S)
        raise ProcessError(f"`{self.name}` did not answer within {timeout_s:.0f} s: {self._tail()}")

    def close(self) -> None:
        """Kill it if it still runs, and let its output go."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._output.close()
        self._errors.close()

    def _tail(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return " | ".join(lines[-_TAIL_LINES:]) or "it said nothing"

    def __enter__(self) -> Self:
        """Return itself, for a `with` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()
