"""Evidence: what became of one frame in each group, where its time went, and its picture with the label on it."""

from streamer.evidence.drawing import caption_of, draw_caption
from streamer.evidence.errors import EvidenceError, FrameUnknownError, PictureError, PictureGoneError
from streamer.evidence.finding import FRAME_ID_EXAMPLE, find_way, looks_like_frame_id
from streamer.evidence.picture import Picture, fetch_picture
from streamer.evidence.reading import FrameReading
from streamer.evidence.stored_outcome import RecordPlace, StoredOutcome
from streamer.evidence.way import FrameWay

__all__ = [
    "FRAME_ID_EXAMPLE",
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
    "looks_like_frame_id",
]
