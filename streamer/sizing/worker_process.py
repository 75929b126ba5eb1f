"""The worker of a trial."""

import os
from pathlib import Path

from streamer.processes import CommandProcess
from streamer.sizing.errors import TrialError


class WorkerProcess(CommandProcess):
    """A worker whose CPU time can be asked for."""

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads since its start.

        Raises:
            TrialError: The system does not say.
        """
        assert self._process is not None
        try:
            # Source: proc(5): utime and stime are the 12th and 13th word after the name in brackets, in ticks.
            words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError) as exc:
            raise TrialError(
                "this system does not tell the CPU time of a process: give --no-measure, or figures of your own"
            ) from exc
