"""What can go wrong with evidence, beside what can go wrong with Kafka.

EvidenceError
├── FrameUnknownError   nothing is known of a frame of that id                          (exit 1)
├── PictureGoneError    the picture is nowhere any more, or was never sent              (exit 1)
└── PictureError        nothing can be drawn on the picture, or it cannot be written    (exit 1)
"""

from typing import ClassVar


class EvidenceError(Exception):
    """The root of the errors about evidence."""

    exit_code: ClassVar[int] = 1


class FrameUnknownError(EvidenceError):
    """None of the topics has an outcome of that frame, or the frame itself."""


class PictureGoneError(EvidenceError):
    """The picture is in no topic: retention has removed it, or its camera never sent it."""


class PictureError(EvidenceError):
    """The picture cannot be decoded, or not be written in the format that is wanted."""
