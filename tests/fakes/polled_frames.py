"""Frames as a consumer has polled them, without a broker."""

from collections.abc import Sequence

import numpy as np
import simplejpeg

from consumers.batch import Outgoing, PolledFrame
from consumers.ledger import PartitionLedger
from engine.images.header import ImageLimits, read_header
from messaging.frame import Frame, frame_id
from tests.fakes.records import TIME_US, TRACEPARENT


def grey_jpeg(level: int, side_px: int = 8) -> bytes:
    """A picture of one grey."""
    encoded: bytes = simplejpeg.encode_jpeg(np.full((side_px, side_px, 3), level, np.uint8), quality=95)
    return encoded


def polled_frames(levels: Sequence[int]) -> list[PolledFrame]:
    """A frame of one partition for each level of grey, in order."""
    ledger: PartitionLedger[Outgoing] = PartitionLedger(0)
    pictures = {level: grey_jpeg(level) for level in set(levels)}
    headers = {level: read_header(data, ImageLimits()) for level, data in pictures.items()}
    return [
        PolledFrame(
            ledger.admit(number, len(pictures[level])),
            Frame(
                camera="a",
                session="s",
                sequence=number,
                frame_id=frame_id("a", "s", number),
                captured_at_us=TIME_US,
                data=pictures[level],
                content_type="image/jpeg",
                traceparent=TRACEPARENT,
            ),
            headers[level],
            TIME_US,
            0.0,
        )
        for number, level in enumerate(levels)
    ]
