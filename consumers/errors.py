"""What can go wrong at a consumer.

ConsumerError
├── SubscriptionError         the group or its topic cannot be read                    (exit 1)
├── PublishError              an outcome was refused for good                          (exit 1)
└── DeviceFailedError         the device is not ready and there is no other            (exit 1)
"""

from typing import ClassVar


class ConsumerError(Exception):
    """The root of the consumer side's errors."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class SubscriptionError(ConsumerError):
    """The group or its topic cannot be read."""


class PublishError(ConsumerError):
    """An outcome was refused for good; nothing at or beyond its frame is committed."""


class DeviceFailedError(ConsumerError):
    """The device failed a batch and is not ready for another; its frames are not committed."""
