"""What can go wrong with a run at AI Hub, besides AI Hub's own errors.

BatchError
├── StateError        the file that remembers the jobs cannot be used      (exit 2)
├── NoModelsError     the account has no model that could be run           (exit 1)
└── ReportError       the file with the results cannot be written          (exit 1)
"""

from typing import ClassVar


class BatchError(Exception):
    """The root of a run's errors; the message is one line."""

    exit_code: ClassVar[int] = 1


class StateError(BatchError):
    """The file that remembers the jobs cannot be read, written, or is another run's."""

    exit_code = 2


class NoModelsError(BatchError):
    """The account has no model that could be run."""


class ReportError(BatchError):
    """The file with the results cannot be written."""
