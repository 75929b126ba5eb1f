"""What can go wrong in sizing.

SizingError
├── InfeasibleError   what is asked for cannot be had; the message says what could
└── TrialError        a process of a trial failed, or this machine cannot be measured
"""

from typing import ClassVar


class SizingError(Exception):
    """A site cannot be sized; the message is one line."""

    exit_code: ClassVar[int] = 1


class InfeasibleError(SizingError):
    """No number of cards gives what is asked for; the message says what would be feasible."""


class TrialError(SizingError):
    """A trial on this machine did not come to its end."""
