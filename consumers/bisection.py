"""Which frame of a batch that failed is at fault, in few calls of the device.

Of frames one of which is bad, the first part is sent. Where it fails, the rest is a batch like any other, and the part
is split further. Where it comes through, the rest must be what is bad: it is split at once, and not sent to hear so. A
frame that is left over in this way is sent alone before it is blamed, so that a fault that passes harms no frame.

One bad frame among n costs at most 2·log2(n) + 2 calls, the one that failed included. Frames are decoded anew.
"""

from typing import NamedTuple

from consumers.batch import Batch, PolledFrame


class Finding(NamedTuple):
    """What a failed batch shows.

    Attributes:
        at_fault: The frame that failed alone.
        batches: What has to be sent now.
    """

    at_fault: PolledFrame | None
    batches: list[Batch]


def after_success(batch: Batch) -> list[Batch]:
    """Return what has to be sent when a batch came through: parts of a rest that is at fault, if there is one."""
    return _split(batch, batch.rest) if batch.rest else []


def after_failure(batch: Batch) -> Finding:
    """Return what has to be sent when the device refused a batch, or the frame that it refused.

    Args:
        batch: It failed, with one frame or more in `good`.
    """
    rest = [Batch(batch.rest, batch.capacity, batch.model)] if batch.rest else []
    if len(batch.good) == 1:
        return Finding(batch.good[0], rest)
    return Finding(None, _split(batch, batch.good) + rest)


def _split(batch: Batch, frames: list[PolledFrame]) -> list[Batch]:
    """Return the first part of a batch's frames among which one is bad; a single frame is a part of its own.

    It stays with the batch's model: another one may find no fault, and take other numbers of frames.

    The part is two fifths: when it fails, that costs one call more than when it comes through.
    """
    part = max(2 * len(frames) // 5, 1)
    return [Batch(frames[:part], batch.capacity, batch.model, rest=frames[part:])]
