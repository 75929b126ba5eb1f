"""What can go wrong at a camera.

ProducerError
├── SourceNotFoundError       the source names nothing: no file, no match, no device  (exit 2)
├── SourceSettingError        the source's URI or an option of it cannot be used      (exit 2)
├── SourceFailedError         a source that worked, or may work, does not now         (exit 1, retriable)
├── PictureError              one picture cannot be used; the next one may            (exit 1)
└── FramesRefusedError        Kafka refuses the frames for good                       (exit 1)
"""

from typing import ClassVar


class ProducerError(Exception):
    """The root of the camera side's errors."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class SourceNotFoundError(ProducerError):
    """The source names nothing that is there: a missing file, a pattern without a match, an absent device."""

    exit_code = 2


class SourceSettingError(ProducerError):
    """The source cannot be used as it was asked for: an unknown scheme, a wrong option."""

    exit_code = 2


class SourceFailedError(ProducerError):
    """The source failed while opening or reading; the camera tries again after a pause."""

    retriable = True


class PictureError(ProducerError):
    """One picture cannot be used: damaged, too large, or not an image. The source itself goes on."""


class FramesRefusedError(ProducerError):
    """Kafka refuses the frames for good: not allowed, too large, no such topic."""
