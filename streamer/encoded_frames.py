"""The pictures of a source as encoded frames, for whoever wants them without Kafka."""

import logging
from collections.abc import Iterator
from threading import Event

from producers.encoding import JpegEncoder
from producers.errors import PictureError
from producers.pacing import Pacer
from producers.pictures import paced
from producers.sources.base import Source

log = logging.getLogger(__name__)


def encoded_frames(
    source: Source, encoder: JpegEncoder, until: Event, *, fps: float | None, frames: int | None, does_loop: bool
) -> Iterator[bytes]:
    """Give frame after frame, encoded as a camera sends them.

    Args:
        source: Opened and closed here.
        encoder: Shrinks and encodes.
        until: Ends it.
        fps: Frames/s at the most; None for as fast as they are taken, or as a live source gives them.
        frames: How many; None goes on to the source's end.
        does_loop: Begin again at the end of a source that ends.

    Raises:
        ProducerError: The source cannot be read.
    """
    given = 0
    while not until.is_set() and given != frames:
        before = given
        with source:
            for picture in paced(source, Pacer(fps) if fps is not None else None, until):
                try:
                    data = encoder.encode(picture).data
                except PictureError as exc:
                    log.warning("a picture was left out: %s", exc)
                    continue
                given += 1
                yield data
                if given == frames:
                    return
        if not does_loop or given == before:
            return
