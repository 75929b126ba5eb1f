"""What can go wrong with an audit, beside what can go wrong with Kafka.

AuditError
├── GroupNotFoundError        nothing in the topics speaks of the group            (exit 1)
└── CameraNotFoundError       nothing in the topics speaks of the camera           (exit 1)
"""

from typing import ClassVar


class AuditError(Exception):
    """The root of the audit's errors."""

    exit_code: ClassVar[int] = 1


class GroupNotFoundError(AuditError):
    """There is nothing to say about the group."""


class CameraNotFoundError(AuditError):
    """There is nothing to say about the camera."""
