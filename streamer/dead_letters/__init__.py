"""Dead letters: finding them, looking at one, and putting frames back for the group that could not classify them."""

from streamer.dead_letters.errors import DeadLetterError, DeadLetterNotFoundError, FrameGoneError
from streamer.dead_letters.plan import ReplayPlan, plan_replay
from streamer.dead_letters.replay import Failure, ReplayReport, put_back
from streamer.dead_letters.search import DeadLetterReader, newest
from streamer.dead_letters.show import WholeDeadLetter, find_dead_letter, frame_bytes
from streamer.dead_letters.stored import Filters, Place, StoredDeadLetter, is_identity

__all__ = [
    "DeadLetterError",
    "DeadLetterNotFoundError",
    "DeadLetterReader",
    "Failure",
    "Filters",
    "FrameGoneError",
    "Place",
    "ReplayPlan",
    "ReplayReport",
    "StoredDeadLetter",
    "WholeDeadLetter",
    "find_dead_letter",
    "frame_bytes",
    "is_identity",
    "newest",
    "plan_replay",
    "put_back",
]
