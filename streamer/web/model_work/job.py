"""Work on a model that somebody sent in: in a process of its own, which may fail or hang without harm to the pages."""

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from messaging.bound_process import bound_to_this
from streamer.web import words
from streamer.web.errors import WebError
from streamer.web.model_work.environment import job_environment

log = logging.getLogger(__name__)

_AT_A_TIME: Final = 2
_MAX_LINES: Final = 200
#: An analysis has a hundred or so for each layer.
_MAX_LINE_CHARS: Final = 8 * 1024 * 1024
_MAX_SHOWN_CHARS: Final = 500


class JobError(WebError):
    """A job failed, was cancelled, or cannot begin; the message is one line."""


@dataclass(frozen=True, slots=True)
class JobLimits:
    """What a job may use.

    Attributes:
        file_bytes: The largest file that it may write.
    """

    timeout_s: float
    memory_bytes: int
    file_bytes: int


class Job:
    """One task of `tool_process` as it runs. Any thread may look; a thread of its own feeds it."""

    def __init__(self, request: Mapping[str, Any], limits: JobLimits, names: Mapping[str, str]) -> None:
        """Begin.

        Args:
            request: The task and its arguments, as JSON takes them.
            limits: What it may use.
            names: What paths are called before people.
        """
        self._limits = limits
        self._names = dict(names)
        self._lock = threading.Lock()
        self._lines: list[str] = []
        self._result: dict[str, Any] | None = None
        self._error = ""
        self._is_cancelled = False
        self._process: subprocess.Popen[str] | None = None
        self._done = threading.Event()
        threading.Thread(target=self._run, args=(dict(request),), name="job", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._done.is_set()

    @property
    def lines(self) -> list[str]:
        """What it said so far, the last lines of it."""
        with self._lock:
            return list(self._lines)

    def result(self) -> dict[str, Any]:
        """Return what came of it, once it is done.

        Raises:
            JobError: It failed.
        """
        if self._result is None:
            raise JobError(self._error or "the work ended without a result")
        return self._result

    def cancel(self) -> None:
        """End it; harmless where it is done."""
        with self._lock:
            self._is_cancelled = True
            self._kill()

    def _run(self, request: dict[str, Any]) -> None:
        """Start the process, and listen until it ends: the kernel ends it with this thread, which is ours."""
        deadline = threading.Timer(self._limits.timeout_s, self._time_out)
        try:
            self._start()
            deadline.start()
            self._talk(request)
        except OSError as exc:
            self._error = self._error or f"the work could not be started: {exc.strerror or exc}"
        finally:
            deadline.cancel()
            with self._lock:
                if self._process is not None:
                    self._kill()
                    self._process.wait()
                    self._end(self._process.returncode)
            self._done.set()

    def _start(self) -> None:
        with self._lock:
            if self._is_cancelled:
                return
            # -P: no files of the folder.
            command = [sys.executable, "-P", "-m", "streamer.web.model_work.tool_process"]
            self._process = subprocess.Popen(
                bound_to_this(command, signal.SIGKILL),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # libraries write there what a file made them
                env=job_environment(os.environ),
                text=True,
                start_new_session=True,
            )

    def _talk(self, request: dict[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        limits = {"memory_bytes": self._limits.memory_bytes, "file_bytes": self._limits.file_bytes}
        with process.stdin, process.stdout:
            try:
                json.dump(request | {"limits": limits}, process.stdin)
                process.stdin.close()
            except BrokenPipeError:
                return  # it ended; what it ended with says why
            while line := process.stdout.readline(_MAX_LINE_CHARS + 1):
                if len(line) > _MAX_LINE_CHARS:
                    size = words.size(_MAX_LINE_CHARS)
                    self._fail(f"the answer is larger than {size}: work on this model from the command line")
                    return
                self._hear(line)

    def _hear(self, line: str) -> None:
        for path, name in self._names.items():
            line = line.replace(path, json.dumps(name)[1:-1])
        try:
            said = json.loads(line)
        except ValueError:
            return
        with self._lock:
            if "result" in said:
                self._result = said["result"]
            elif "error" in said:
                self._error = str(said["error"])[:_MAX_SHOWN_CHARS]
            elif "say" in said:
                self._lines = [*self._lines, str(said["say"])[:_MAX_SHOWN_CHARS]][-_MAX_LINES:]

    def _time_out(self) -> None:
        self._fail(
            f"the work took longer than {self._limits.timeout_s:.0f} s and was ended: start with a longer --job-timeout"
        )

    def _fail(self, why: str) -> None:
        with self._lock:
            self._error = self._error or why
            self._kill()

    def _kill(self) -> None:
        """End the process and what it started, also where that alone is left; the lock is held.

        Until it is waited for, which is done once, its number and its group's are nobody else's.
        """
        if self._process is not None and self._process.returncode is None:
            with suppress(PermissionError):  # what macOS says of a group whose processes have all ended
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self, code: int) -> None:
        """Note how it ended; the lock is held."""
        if self._is_cancelled:
            self._result, self._error = None, "cancelled"
        elif self._result is None and not self._error:
            how = f"by signal {-code}" if code < 0 else f"with {code}"
            self._error = f"the work ended {how}: the model may be damaged, or need more than --job-memory"


class Workbench:
    """Starts jobs, a few at a time; used by the loop's thread."""

    def __init__(self, limits: JobLimits) -> None:
        """Begin with nothing to do."""
        self._limits = limits
        self._jobs: list[Job] = []

    def start(self, task: str, *, names: Mapping[str, str] | None = None, **arguments: Any) -> Job:
        """Start a task of `tool_process`.

        Args:
            task: Its name there.
            names: What paths are called before people.
            **arguments: The task's.

        Raises:
            JobError: There is enough going on.
        """
        self._jobs = [job for job in self._jobs if not job.is_done]
        if len(self._jobs) >= _AT_A_TIME:
            raise JobError("others work on models at this moment: try again in a while")
        job = Job({"task": task, "arguments": arguments}, self._limits, names or {})
        self._jobs.append(job)
        return job

    def close(self) -> None:
        """End all jobs."""
        for job in self._jobs:
            job.cancel()
