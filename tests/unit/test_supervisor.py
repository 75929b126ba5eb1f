"""The supervisor with real processes that live for a test's sake: who is started again, and who ends them all."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from streamer.supervisor import Supervisor, Timing
from tests.fakes.programs import environ
from tests.fakes.waiting import DEADLINE_S, wait_until

#: What a worker of these tests says that was told to end.
DRAINED = {"failure": None, "told": True}

#: What every worker of these tests begins with. `here / "1"` is there once a process has begun for the first time,
#: `here / "2"` for the second time, whichever worker it is; they hold its id.
BEGIN = """
import json, os, signal, sys
from pathlib import Path
here = Path(sys.argv[1])

def write(name, text):
    (here / "new").mkdir(exist_ok=True)
    fresh = here / "new" / f"{name}-{os.getpid()}"
    fresh.write_text(text)
    fresh.rename(here / name)

def begun():
    number = 1
    while True:
        try:
            os.close(os.open(here / f"taken-{number}", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            number += 1
        else:
            return number

def end(code, **summary):
    print(json.dumps({"failure": None} | summary), flush=True)
    os._exit(code)

def until_told():
    signal.sigwait({signal.SIGTERM})
    end(0, told=True)

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
number = begun()
write(str(number), str(os.getpid()))
"""
QUICK = Timing(settled_s=0.0, first_delay_s=0.01, longest_delay_s=0.01, kill_after_s=DEADLINE_S)
#: As if each worker's first seconds were the whole test.
FIRST_SECONDS = replace(QUICK, settled_s=1000.0)
RETRIABLE = "end(1, failure={'error': 'fenced', 'is_retriable': True})"
FATAL = "end(1, failure={'error': 'too many dead letters', 'is_retriable': False})"


class Running:
    """A supervisor in a thread, as its command has it in the main one."""

    def __init__(self, script: str, workers: int, here: Path, timing: Timing) -> None:
        self.here = here
        self.supervisor = Supervisor([sys.executable, "-c", BEGIN + script, str(here)], workers, timing)
        self._until = Event()
        self._codes: list[int] = []
        self._thread = Thread(target=lambda: self._codes.append(self.supervisor.run(self._until)))
        self._thread.start()

    def pid(self, number: int) -> int:
        """Wait until a process has begun for the so-manieth time, and return its id."""
        path = self.here / str(number)
        wait_until(path.exists, f"process {number}")
        return int(path.read_text())

    def kill(self, number: int) -> None:
        os.kill(self.pid(number), signal.SIGKILL)

    def stop(self) -> int:
        self._until.set()
        return self.wait()

    def wait(self) -> int:
        """Wait until the supervisor ends by itself, and return its exit code."""
        self._thread.join(DEADLINE_S)
        assert self._codes, "the supervisor does not end"
        return self._codes[0]

    @property
    def begun(self) -> int:
        return len(list(self.here.glob("taken-*")))

    def end(self) -> None:
        self._until.set()
        for path in self.here.glob("[0-9]*"):
            if is_alive(pid := int(path.read_text())):
                os.kill(pid, signal.SIGKILL)
        self._thread.join(DEADLINE_S)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@contextmanager
def running(script: str, workers: int, here: Path, timing: Timing = QUICK) -> Iterator[Running]:
    supervised = Running(script, workers, here, timing)
    try:
        yield supervised
    finally:
        supervised.end()


def test_a_worker_that_was_killed_is_started_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running("until_told()", 2, tmp_path) as supervised:
        supervised.pid(2)
        supervised.kill(1)
        supervised.pid(3)
        assert is_alive(supervised.pid(2)), "the other one goes on"
        assert supervised.stop() == 0
        assert supervised.supervisor.restarts == 1
        assert supervised.begun == 3
    assert "was killed by SIGKILL; it is started again in 0 s" in caplog.text


def test_a_worker_that_is_done_is_not_started_again(tmp_path: Path) -> None:
    with running("end(0, done=number)", 3, tmp_path) as supervised:
        assert supervised.wait() == 0
        assert supervised.begun == 3
        assert supervised.supervisor.restarts == 0


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("sys.exit(2)", 2, id="wrong use"),
        pytest.param(FATAL, 1, id="a failure that another start does not mend"),
    ],
)
def test_one_that_cannot_go_on_ends_them_all(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str, code: int
) -> None:
    # The first to begin fails as soon as the other one is there.
    script = f"""
if number == 2:
    until_told()
while not (here / "2").exists():
    pass
{ending}
"""
    with running(script, 2, tmp_path) as supervised:
        assert supervised.wait() == code
        assert supervised.begun == 2
        assert DRAINED in supervised.supervisor.summaries(), "the other one drained"
    assert f"ended with {code}; all workers end" in caplog.text


def test_one_that_cannot_go_on_later_ends_them_all_as_well(tmp_path: Path) -> None:
    script = f"""
if number < 3:
    until_told()
{FATAL}
"""
    with running(script, 2, tmp_path) as supervised:
        supervised.pid(2)
        supervised.kill(1)
        assert supervised.wait() == 1
        assert supervised.begun == 3


def test_a_failure_that_another_start_may_mend_is_started_again(tmp_path: Path) -> None:
    script = f"""
if number == 1:
    {RETRIABLE}
until_told()
"""
    with running(script, 1, tmp_path) as supervised:
        supervised.pid(2)
        assert supervised.stop() == 0
        assert supervised.supervisor.restarts == 1
        failure = {"error": "fenced", "is_retriable": True}
        assert supervised.supervisor.summaries() == [{"failure": failure}, DRAINED]


def test_a_later_failure_without_a_word_is_started_again(tmp_path: Path) -> None:
    script = f"""
if number == 1:
    {RETRIABLE}
if number == 2:
    print("{{half a li", flush=True)
    os._exit(1)
until_told()
"""
    with running(script, 1, tmp_path) as supervised:
        supervised.pid(3)
        assert supervised.stop() == 0
        failure = {"error": "fenced", "is_retriable": True}
        assert supervised.supervisor.summaries() == [{"failure": failure}, DRAINED]


@pytest.mark.parametrize("last_line", ["b'\\xff\\xfe'", "b'[1]'", "b'{\"a\": 1}\\nmore'", "b''"])
def test_what_is_no_summary_is_none(tmp_path: Path, last_line: str) -> None:
    with running(f"os.write(1, {last_line})", 1, tmp_path) as supervised:
        assert supervised.wait() == 0
        assert supervised.supervisor.summaries() == []


def test_a_first_start_that_fails_before_it_had_anything_to_say_ends_them_all(tmp_path: Path) -> None:
    with running("sys.exit(1)", 1, tmp_path, FIRST_SECONDS) as supervised:
        assert supervised.wait() == 1
        assert supervised.begun == 1


def test_a_worker_that_dies_again_and_again_is_given_up(tmp_path: Path) -> None:
    with running("os.kill(os.getpid(), signal.SIGKILL)", 1, tmp_path, FIRST_SECONDS) as supervised:
        assert supervised.wait() == 1
        assert supervised.begun == 5


def test_sigterm_drains_them_all(tmp_path: Path) -> None:
    # Each takes its time: it ends only when all were told.
    script = """
signal.sigwait({signal.SIGTERM})
write(f"told-{number}", "")
while len(list(here.glob("told-*"))) < 3:
    pass
end(0, number=number)
"""
    with running(script, 3, tmp_path) as supervised:
        supervised.pid(3)
        assert supervised.stop() == 0
        numbers = {summary["number"] for summary in supervised.supervisor.summaries()}
        assert numbers == {1, 2, 3}
        assert supervised.supervisor.restarts == 0


def test_one_that_does_not_drain_in_order_is_no_success(tmp_path: Path) -> None:
    script = """
signal.sigwait({signal.SIGTERM})
end(number - 1)
"""
    with running(script, 2, tmp_path) as supervised:
        supervised.pid(2)
        assert supervised.stop() == 1


def test_one_that_was_told_before_it_could_listen_is_a_success(tmp_path: Path) -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
write("deaf", "")
signal.pause()
"""
    with running(script, 1, tmp_path) as supervised:
        wait_until((tmp_path / "deaf").exists, "a worker that still starts")
        assert supervised.stop() == 0


def test_one_that_ignores_being_told_is_killed(tmp_path: Path) -> None:
    with running("signal.sigwait({signal.SIGUSR1})", 1, tmp_path, replace(QUICK, kill_after_s=0.2)) as supervised:
        pid = supervised.pid(1)
        assert supervised.stop() == 1
        assert not is_alive(pid)


def test_one_that_ignores_being_told_is_killed_also_where_another_ends_them_all(tmp_path: Path) -> None:
    script = f"""
if number == 2:
    signal.sigwait({{signal.SIGUSR1}})
while not (here / "2").exists():
    pass
{FATAL}
"""
    with running(script, 2, tmp_path, replace(QUICK, kill_after_s=0.2)) as supervised:
        assert supervised.wait() == 1
        assert not is_alive(supervised.pid(2))


def test_nobody_is_started_again_after_the_end_was_called(tmp_path: Path) -> None:
    with running("until_told()", 1, tmp_path, replace(QUICK, first_delay_s=1000.0)) as supervised:
        supervised.kill(1)
        wait_until(lambda: not is_alive(supervised.pid(1)), "the worker is dead")
        assert supervised.stop() == 1, "nobody was left to drain"
        assert supervised.begun == 1


def test_all_summaries_are_kept(tmp_path: Path) -> None:
    script = """
print("a library says something")
end(0, number=number)
"""
    with running(script, 4, tmp_path) as supervised:
        assert supervised.wait() == 0
        assert sorted(summary["number"] for summary in supervised.supervisor.summaries()) == [1, 2, 3, 4]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's end")
def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = """
import json, sys
from threading import Event
from streamer.supervisor import Supervisor, Timing

Supervisor(json.loads(sys.argv[1]), 3, Timing()).run(Event())
"""
    worker = json.dumps([sys.executable, "-c", BEGIN + "until_told()", str(tmp_path)])
    with subprocess.Popen([sys.executable, "-c", script, worker], env=environ()) as supervisor:
        try:
            wait_until((tmp_path / "3").exists, "three workers")
            pids = [int((tmp_path / str(number)).read_text()) for number in (1, 2, 3)]
            assert all(is_alive(pid) for pid in pids)
        finally:
            supervisor.kill()
        wait_until(lambda: not any(is_alive(pid) for pid in pids), "the workers' end")
