"""What can go wrong with dead letters, beside what can go wrong with Kafka.

DeadLetterError
├── DeadLetterNotFoundError   there is none of that id                              (exit 1)
└── FrameGoneError            the frame's bytes are nowhere, or cannot be read       (exit 1)
"""

from typing import ClassVar, Self

from streamer.terminal import harmless


class DeadLetterError(Exception):
    """The root of the errors about dead letters."""

    exit_code: ClassVar[int] = 1


class DeadLetterNotFoundError(DeadLetterError):
    """There is no dead letter of that id."""

    @classmethod
    def of(cls, identity: str) -> Self:
        """Make the error about one id."""
        return cls(f"there is no dead letter {harmless(identity)}: `streamer dlq list` shows what there is")


class FrameGoneError(DeadLetterError):
    """The dead letter has no bytes, and the frame is not where it stood any more, or cannot be read there."""
