"""What can go wrong with dead letters, beside what can go wrong with Kafka.

DeadLetterError
├── DeadLetterNotFoundError   there is none of that id                              (exit 1)
└── FrameGoneError            the frame's bytes are nowhere any more                (exit 1)
"""

from typing import ClassVar


class DeadLetterError(Exception):
    """The root of the errors about dead letters."""

    exit_code: ClassVar[int] = 1


class DeadLetterNotFoundError(DeadLetterError):
    """There is no dead letter of that id."""


class FrameGoneError(DeadLetterError):
    """The dead letter has no bytes, and the frame is not where it stood any more."""
