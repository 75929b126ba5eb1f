"""Processes that do not outlive the one that started them, as far as the system offers that."""

import os
import sys
from collections.abc import Sequence
from signal import Signals
from typing import Final

# Run before the program in the program's own process, because code between fork and exec is not safe in a process with
# threads: the kernel is asked to signal the process when its parent ends (PR_SET_PDEATHSIG is 1), then it becomes the
# program.
_BIND: Final = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent ended before the program was started")
os.execv(sys.argv[3], sys.argv[3:])
"""


def bound_to_this(command: Sequence[str], at_our_end: Signals) -> list[str]:
    """Return a command whose process gets a signal when this process ends, however it ends; on Linux alone.

    The kernel has it that it gets the signal too when the *thread* ends that starts it.
    """
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _BIND, str(os.getpid()), str(int(at_our_end)), *command]
