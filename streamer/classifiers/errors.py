"""What can go wrong with the benchmark of a classifier.

ClassifierError          the root                                                        (exit 1)
├── PlanError            what is wanted cannot be: cores, a row, a file that is in the way (exit 2)
└── NothingCompiledError --run-only, and there is nothing to run                         (exit 2)
"""

from typing import ClassVar


class ClassifierError(Exception):
    """The root of the errors of this package."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class PlanError(ClassifierError):
    """What is wanted cannot be."""

    exit_code = 2


class NothingCompiledError(ClassifierError):
    """There is nothing that was compiled before, or it is not what is wanted."""

    exit_code = 2
