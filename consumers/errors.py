"""What can go wrong at a consumer.

ConsumerError
├── SubscriptionError         the group or its topic cannot be read                    (exit 1)
├── PublishError              an outcome was refused for good                          (exit 1)
├── FencedError               another worker has this one's place                      (exit 1, retriable)
├── SlotError                 the state directory cannot be used                       (exit 2)
├── DeadLetterLimitError      too many frames are dead letters                         (exit 1)
└── DeviceFailedError         the device is not ready and there is no other            (exit 1, retriable)
"""

from typing import ClassVar, Self

import kafka.errors

from messaging.frame import Frame


class ConsumerError(Exception):
    """The root of the consumer side's errors."""

    exit_code: ClassVar[int] = 1
    retriable: bool = False


class SubscriptionError(ConsumerError):
    """The group or its topic cannot be read."""

    def __init__(self, message: str, why: BaseException) -> None:
        super().__init__(f"{message}: {why}")
        self.retriable = isinstance(why, kafka.errors.RetriableError)


class PublishError(ConsumerError):
    """An outcome was refused for good; nothing at or beyond its frame is committed."""

    @classmethod
    def of(cls, frame: Frame, topic: str, why: BaseException) -> Self:
        """Say which outcome it was."""
        return cls(
            f"Kafka refused the outcome of frame {frame.frame_id} "
            f"({frame.topic}-{frame.partition} offset {frame.offset}) on {topic}: {why}"
        )


class FencedError(ConsumerError):
    """This worker was taken for dead, or its transactional id was taken over; its last outcomes are not published."""

    retriable = True


class SlotError(ConsumerError):
    """The state directory cannot be used, or no slot is free."""

    exit_code = 2


class DeadLetterLimitError(ConsumerError):
    """Too many frames are dead letters to go on; those that made it so are published, and nothing after them."""


class DeviceFailedError(ConsumerError):
    """The device failed a batch and is not ready for another; its frames are not committed."""

    retriable = True
