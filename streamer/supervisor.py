"""Workers: `streamer consume` processes that share a group and a device, started again where they die."""

import json
import logging
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from signal import SIGKILL, SIGTERM, Signals
from threading import Event, Lock, Thread
from typing import Any

from messaging.bound_process import bound_to_this

log = logging.getLogger(__name__)

#: So many quick deaths in a row are enough.
_MAX_QUICK_DEATHS = 5
_WRONG_USE = 2
#: A summary is shorter.
_MAX_LINE_CHARS = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Timing:
    """When a worker is started again, and when it is ended by force.

    Attributes:
        settled_s: A worker that lives this long has started well.
        first_delay_s: Before the first start after a death; it doubles with each quick one.
        longest_delay_s: It grows no further.
        kill_after_s: A worker that was told to end, and does not, is killed after this.
    """

    settled_s: float = 10.0
    first_delay_s: float = 1.0
    longest_delay_s: float = 30.0
    kill_after_s: float = 25.0


@dataclass(slots=True)
class Worker:
    """One worker, in whatever process it is at the moment.

    Attributes:
        number: From 1.
        starts: How often it was started.
        summaries: What each of its processes said at its end.
        code: Its last process's exit code; below zero the signal that ended it.
    """

    number: int
    starts: int = 0
    summaries: list[dict[str, Any]] | None = None
    code: int | None = None
    process: subprocess.Popen[str] | None = None

    @property
    def has_failed_for_good(self) -> bool:
        """Whether its last process ended for a reason that another start does not mend."""
        if self.code in (None, 0) or self.code < 0:
            return False
        failure = self.summaries[-1]["failure"] if self.summaries else None
        return self.code == _WRONG_USE or (failure is not None and not failure["is_retriable"])


class Supervisor:
    """Keeps a number of workers running until told to stop, until all have ended, or until one cannot go on."""

    def __init__(self, command: Sequence[str], workers: int, timing: Timing) -> None:
        """Say what each worker runs.

        Args:
            command: Of one worker, which is given its `--worker-number` as well; the last line of its output is a JSON
                object, whose `failure` says whether another start may mend it.
            workers: How many.
            timing: When one is started again, and when it is ended by force.
        """
        self._command = list(command)
        self._timing = timing
        self._workers = [Worker(number) for number in range(1, workers + 1)]
        self._stopping = Event()
        self._lock = Lock()

    def run(self, until: Event) -> int:
        """Run the workers; return the exit code of the whole."""
        threads = [
            Thread(target=self._keep, args=(worker,), name=f"worker-{worker.number}") for worker in self._workers
        ]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                if until.wait(0.1) or self._stopping.is_set():
                    self._stop(SIGTERM)
                    break
            deadline_s = time.monotonic() + self._timing.kill_after_s
            for thread in threads:
                thread.join(max(deadline_s - time.monotonic(), 0.0))
        finally:
            if any(thread.is_alive() for thread in threads):
                self._stop(SIGKILL)
            for thread in threads:
                thread.join()
        codes = [worker.code or 0 for worker in self._workers]
        if until.is_set() and not any(worker.has_failed_for_good for worker in self._workers):
            return 0 if all(code in (0, -SIGTERM) for code in codes) else 1
        return max((code if code > 0 else 1 for code in codes if code), default=0)

    def summaries(self) -> list[dict[str, Any]]:
        """Return what the workers' processes said at their end."""
        return [summary for worker in self._workers for summary in worker.summaries or ()]

    @property
    def restarts(self) -> int:
        """How often a worker was started again."""
        return sum(max(worker.starts - 1, 0) for worker in self._workers)

    def _keep(self, worker: Worker) -> None:
        """Run a worker, again and again. On a thread that lives as long: its process ends with it."""
        timing = self._timing
        delay_s, quick_deaths = timing.first_delay_s, 0
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self._run_once(worker)
            if self._stopping.is_set() or worker.code == 0:
                return
            is_quick = time.monotonic() - began_s < timing.settled_s
            delay_s, quick_deaths = (delay_s, quick_deaths + 1) if is_quick else (timing.first_delay_s, 0)
            code = worker.code or 0
            how = f"was killed by {Signals(-code).name}" if code < 0 else f"ended with {code}"
            # Before there was a consumer at all: a wrong address, say, and somebody is there to mend it.
            never_worked = code > 0 and worker.starts <= 1 and not worker.summaries
            if worker.has_failed_for_good or never_worked or quick_deaths >= _MAX_QUICK_DEATHS:
                log.error("worker %d %s; all workers end", worker.number, how)
                self._stop(SIGTERM)
                return
            log.warning("worker %d %s; it is started again in %.0f s", worker.number, how, delay_s)
            self._stopping.wait(delay_s)
            delay_s = min(delay_s * 2, timing.longest_delay_s)

    def _run_once(self, worker: Worker) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            worker.starts += 1
            try:
                process = worker.process = subprocess.Popen(
                    bound_to_this([*self._command, "--worker-number", str(worker.number)], SIGTERM),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    text=True,
                    errors="replace",  # a library may print anything
                    process_group=0,  # Ctrl-C reaches it through us alone
                )
            except OSError as exc:  # the machine has no more processes, files or memory
                log.error("worker %d cannot be started: %s", worker.number, exc)  # noqa: TRY400 - one line
                worker.code = 1
                return
        with process:
            assert process.stdout is not None
            last = ""
            while line := process.stdout.readline(_MAX_LINE_CHARS):
                last = line if line.strip() else last
            worker.code = process.wait()
        worker.summaries = [*(worker.summaries or []), *_summary(last)]

    def _stop(self, number: Signals) -> None:
        with self._lock:
            self._stopping.set()
            for worker in self._workers:
                if worker.process is not None and worker.process.poll() is None:
                    worker.process.send_signal(number)


def _summary(line: str) -> list[dict[str, Any]]:
    """Return what a worker says on its last line: one that was killed says nothing, or half, or a library's words."""
    try:
        value = json.loads(line)
    except ValueError:
        return []
    return [value] if isinstance(value, dict) and "failure" in value else []
