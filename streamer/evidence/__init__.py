"""Evidence: what became of one frame in each group, where its time went, and its picture with the label on it."""

from streamer.evidence.drawing import caption_of, draw_caption
from streamer.evidence.errors import EvidenceError, FrameUnknownError, PictureError, PictureGoneError
from streamer.evidence.finding import find_way
from streamer.evidence.picture import Picture, fetch_picture
from streamer.evidence.reading import FrameReading
from streamer.evidence.stored_outcome import RecordPlace, StoredOutcome
from streamer.evidence.way import FrameWay

__all__ = [
    "EvidenceError",
    "FrameReading",
    "FrameUnknownError",
    "FrameWay",
    "Picture",
    "PictureError",
    "PictureGoneError",
    "RecordPlace",
    "StoredOutcome",
    "caption_of",
    "draw_caption",
    "fetch_picture",
    "find_way",
]
