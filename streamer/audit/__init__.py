"""The audit: whether every frame has exactly one outcome, checked from the topics alone."""

from streamer.audit.errors import AuditError, CameraNotFoundError, GroupNotFoundError
from streamer.audit.reading import audit
from streamer.audit.report import AuditReport, CameraReport, GroupReport

__all__ = [
    "AuditError",
    "AuditReport",
    "CameraNotFoundError",
    "CameraReport",
    "GroupNotFoundError",
    "GroupReport",
    "audit",
]
