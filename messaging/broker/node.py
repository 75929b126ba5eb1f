"""One node of an embedded broker: a Java process and its log."""

import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from messaging.bound_process import bound_to_this
from messaging.broker.errors import BrokerFailedError
from messaging.broker.properties import NodeAddress

#: Java's exit status after a SIGTERM that it handled.
_TERMINATED: Final = 128 + signal.SIGTERM
_TAIL_BYTES: Final = 64 * 1024


class Node:
    """One node, which is started, stopped, killed, paused and started again by one thread.

    Args:
        address: Its number and ports.
        directory: For its properties, log and data.
        inherited: A file descriptor that the process keeps open as long as it lives.
    """

    def __init__(self, address: NodeAddress, directory: Path, inherited: int) -> None:
        self.address = address
        self.properties_path = directory / "server.properties"
        self.log_path = directory / "broker.log"
        self._inherited = inherited
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._is_paused = False

    @property
    def pid(self) -> int | None:
        """The process, or None where none was started or it was seen to end."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def spawn(self, java_command: Sequence[str]) -> None:
        """Start Java in a process group of its own, so that Ctrl-C at the terminal does not reach it.

        It dies with this process and, as Linux has it, with the *thread* that calls this.
        """
        assert self.pid is None
        command = bound_to_this(java_command, signal.SIGKILL)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[self._inherited],
                process_group=0,
            )

    def wait(self, timeout_s: float) -> bool:
        """Wait until the process has ended; give whether it has."""
        if self._process is None:
            return True
        try:
            self._process.wait(max(timeout_s, 0.0))
        except subprocess.TimeoutExpired:
            return False
        return True

    def require_running(self) -> None:
        """Raise where the process has ended by itself.

        Raises:
            BrokerFailedError: It has; the message quotes its log.
        """
        if self._process is None or self._process.poll() is None:
            return
        raise BrokerFailedError(
            f"node {self.address.node} of the Kafka broker ended with status {self._process.returncode} "
            f"({quote_log(self.read_log())}); its log is {self.log_path}"
        )

    def terminate(self) -> None:
        """Ask the process to shut down."""
        self.resume()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the process and forget it: its end is not a failure."""
        self._signal(signal.SIGKILL)
        self.forget()

    def forget(self) -> None:
        """Take the end of the process, which is at hand, as wanted."""
        if self._process is not None:
            self._process.wait()
        self._process = None
        self._is_paused = False

    def pause(self) -> None:
        """Freeze the process; its port still takes connections, and nothing answers."""
        self._is_paused = True
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen process go on; harmless where it is not frozen."""
        if self._is_paused:
            self._signal(signal.SIGCONT)
        self._is_paused = False

    def read_log(self) -> str:
        """Give the end of what the present process wrote, at most 64 KiB."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(max(self._log_start, self.log_path.stat().st_size - _TAIL_BYTES))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def _signal(self, number: int) -> None:
        """Send a signal where the process still runs; Popen knows not to signal a number that was reused."""
        if self._process is not None:
            self._process.send_signal(number)


def quote_log(log: str) -> str:
    r"""Give what a log says last, on one line: the last two errors of Java's, else the last three lines.

    >>> quote_log("INFO a\njava.lang.OutOfMemoryError: Java heap space\n\tat kafka.Kafka.main(Kafka.scala)\n")
    'java.lang.OutOfMemoryError: Java heap space'
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(Caused by: )?[\w.$]+(Exception|Error)\b", line)]
    distinct = list(dict.fromkeys(line.removeprefix("Caused by: ") for line in errors))
    return " / ".join(distinct[-2:] or lines[-3:])[:600] or "it wrote nothing"
