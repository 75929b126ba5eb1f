"""The real commands in processes of their own: what they say is read as they say it, and faults are set by it."""

import fcntl
import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from struct import unpack
from threading import Condition, Thread
from typing import Any, Self

from messaging.bound_process import bound_to_this
from tests.fakes.programs import ROOT, environ
from tests.fakes.waiting import DEADLINE_S, wait_until

_TAIL_LINES = 15


@dataclass(frozen=True)
class WorkerEvent:
    """One event line of a consumer. `facts` is what it says besides its kind, its time (s since 1970) and its pid."""

    kind: str
    at: float
    pid: int
    facts: dict[str, Any]

    @property
    def partitions(self) -> set[int]:
        return {int(partition) for partition in self.facts["partitions"]}

    @property
    def offsets(self) -> dict[int, Any]:
        return {int(partition): offset for partition, offset in self.facts["offsets"].items()}

    @property
    def frames(self) -> set[tuple[int, int]]:
        """Partition and offset of each frame of a micro-batch."""
        return {(int(partition), int(offset)) for partition, offset in self.facts["frames"]}


@dataclass
class Progress:
    """How far a worker is with the frames that it polled, as its events tell it."""

    held: set[int] = field(default_factory=set)
    started: set[tuple[int, int]] = field(default_factory=set)
    done: set[tuple[int, int]] = field(default_factory=set)
    produced: dict[int, int] = field(default_factory=dict)
    committed: dict[int, int] = field(default_factory=dict)

    def take(self, event: WorkerEvent) -> None:
        match event.kind:
            case "assigned":
                self.held |= event.partitions
            case "revoked" | "lost":
                self.held -= event.partitions
            case "inference_started":
                self.started |= event.frames
            case "inference_done":
                self.done |= event.frames
            case "produced":
                self.produced |= event.offsets
            case "committed":
                self.committed |= event.offsets

    @property
    def is_computing(self) -> bool:
        """Whether the device has a batch."""
        return bool(self.started - self.done)

    @property
    def has_unpublished(self) -> bool:
        """Whether the device is done with a frame whose outcome is not produced."""
        return any(offset > self.produced.get(partition, -1) for partition, offset in self.done)

    @property
    def has_uncommitted(self) -> bool:
        """Whether an outcome is produced whose offset is not committed."""
        return any(offset >= self.committed.get(partition, 0) for partition, offset in self.produced.items())


class Program:
    """One of our commands. Whatever happens in its `with` block, its processes are ended with it.

    Args:
        name: What to call it in messages.
        module: What `python -m` runs.
        arguments: Its arguments.
        log_path: Where all that it writes to standard error is kept.
        variables: More of its environment.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], log_path: Path, **variables: str) -> None:
        self.name = name
        self._log = log_path.open("wb")
        self._command = bound_to_this([sys.executable, "-m", module, *arguments], signal.SIGKILL)
        self._environ = environ(**variables)
        self._changed = Condition()
        self._events: list[WorkerEvent] = []
        self._lines: list[str] = []
        self.progress = Progress()
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = Thread(target=self._read, name=f"reader of {name}")
        self._output = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by `close`

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.PIPE,
            start_new_session=True,  # all that it starts is ended with it
        )
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        process = self._started()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._reader.join(DEADLINE_S)
        assert process.stderr is not None
        process.stderr.close()
        self._output.close()
        self._log.close()

    # What it says.

    @property
    def pid(self) -> int:
        return self._started().pid

    @property
    def events(self) -> list[WorkerEvent]:
        with self._changed:
            return list(self._events)

    @property
    def lines(self) -> list[str]:
        """What it wrote to standard error besides events."""
        with self._changed:
            return list(self._lines)

    def mark(self) -> int:
        """Return where the events are now, for `wait_for`."""
        with self._changed:
            return len(self._events)

    def wait_for(
        self,
        kind: str,
        is_wanted: Callable[[WorkerEvent], bool] = lambda _: True,
        *,
        after: int = 0,
        deadline_s: float = DEADLINE_S,
    ) -> WorkerEvent:
        """Wait for an event.

        Args:
            kind: Its kind.
            is_wanted: Whether it is the one.
            after: A `mark`; earlier ones do not count.
            deadline_s: How long.
        """
        found: list[WorkerEvent] = []

        def look() -> bool:
            nonlocal after
            new = self._events[after:]
            after += len(new)
            found.extend(event for event in new if event.kind == kind and is_wanted(event))
            return bool(found)

        self._wait(look, f"event {kind}", deadline_s)
        return found[0]

    def wait_for_line(self, pattern: str, *, after: int = 0, deadline_s: float = DEADLINE_S) -> str:
        """Wait for a line on standard error; `after` is how many lines do not count."""
        found: list[str] = []

        def look() -> bool:
            found.extend(line for line in self._lines[after:] if re.search(pattern, line))
            return bool(found)

        self._wait(look, f"line {pattern!r}", deadline_s)
        return found[0]

    def wait_until(self, is_true: Callable[[Progress], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until its progress is as wanted."""
        self._wait(lambda: is_true(self.progress), what, deadline_s)

    def summary(self) -> dict[str, Any]:
        """Return the JSON object on the last line of its standard output."""
        self._output.seek(0)
        value: dict[str, Any] = json.loads(self._output.read().strip().splitlines()[-1])
        return value

    def memory_mb(self, field_name: str = "VmRSS") -> float:
        """Return its resident memory, or the most that it ever was (`VmHWM`)."""
        status = Path(f"/proc/{self.pid}/status").read_text("utf-8")
        match = re.search(rf"^{field_name}:\s+(\d+) kB", status, re.MULTILINE)
        assert match is not None
        return int(match[1]) / 1024

    # What is done to it.

    def kill(self) -> None:
        """End it as a power cut would, and what it started with it."""
        os.killpg(self.pid, signal.SIGKILL)
        self._started().wait()
        self._reader.join(DEADLINE_S)

    def terminate(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def freeze(self) -> None:
        """Stop it as it is, and read all that it had said."""
        os.kill(self.pid, signal.SIGSTOP)
        wait_until(lambda: self._state() in "TZX", f"{self.name} stands still")
        wait_until(self._is_read_up, f"all that {self.name} said is read")

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def freeze_when(
        self, kind: str, is_true: Callable[[Progress], bool], what: str, deadline_s: float = DEADLINE_S
    ) -> None:
        """Stop it at an event, in a state in which it is still true; where it has gone on meanwhile, at the next."""
        until_s = time.monotonic() + deadline_s
        while True:
            self.wait_for(kind, after=self.mark(), deadline_s=max(until_s - time.monotonic(), 0.0))
            self.freeze()
            with self._changed:
                if is_true(self.progress):
                    return
            self.thaw()
            assert time.monotonic() < until_s, f"{self.name} was never caught {what}"

    def wait_exit(self, deadline_s: float = DEADLINE_S) -> int:
        """Wait until it ends, and return its exit code."""
        try:
            code = self._started().wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {deadline_s:.0f} s: {self._tail()}") from None
        self._reader.join(DEADLINE_S)
        return code

    def stop(self, deadline_s: float = DEADLINE_S) -> None:
        """Ask it to end, and see it end well."""
        if self.is_running:
            self.terminate()
        assert self.wait_exit(deadline_s) == 0, f"{self.name} ended badly: {self._tail()}"

    @property
    def is_running(self) -> bool:
        return self._started().poll() is None

    def _wait(self, is_true: Callable[[], bool], what: str, deadline_s: float) -> None:
        until_s = time.monotonic() + deadline_s
        with self._changed:
            while not is_true():
                left_s = until_s - time.monotonic()
                assert self._reader.is_alive(), f"{self.name} ended before {what}: {self._tail()}"
                assert left_s > 0, f"{self.name}: no {what} within {deadline_s:.0f} s: {self._tail()}"
                self._changed.wait(left_s)

    def _started(self) -> "subprocess.Popen[bytes]":
        assert self._process is not None, f"{self.name} is not started"
        return self._process

    def _state(self) -> str:
        """Return the state of its process: R, S, T for stopped, Z for ended."""
        return Path(f"/proc/{self.pid}/stat").read_text("utf-8").rpartition(") ")[2][0]

    def _is_read_up(self) -> bool:
        stream = self._started().stderr
        assert stream is not None
        with self._changed:  # what the reader has taken out it has also worked on
            (waiting,) = unpack("i", fcntl.ioctl(stream.fileno(), termios.FIONREAD, bytes(4)))
        return int(waiting) == 0

    def _tail(self) -> str:
        said = "\n".join(self._lines[-_TAIL_LINES:]) or "it said nothing"
        return f"{said}\n(all of it: {self._log.name})"

    def _read(self) -> None:
        stream = self._started().stderr
        assert stream is not None
        rest = b""
        while True:
            select.select([stream], [], [])
            with self._changed:
                data = os.read(stream.fileno(), 65536)
                self._log.write(data)
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._take(line.decode(errors="replace"))
                self._changed.notify_all()
            if not data:
                break
        with self._changed:
            self._changed.notify_all()

    def _take(self, line: str) -> None:
        if not line.startswith('{"event"'):
            self._lines.append(line)
            return
        facts = json.loads(line)
        event = WorkerEvent(facts.pop("event"), facts.pop("at"), facts.pop("pid"), facts)
        self._events.append(event)
        self.progress.take(event)
