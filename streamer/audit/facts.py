"""What an audit is told: simple records, read from the topics or made up by a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

#: Numbers from outside that are larger are no sequences or offsets of anybody's.
LARGEST = 2**62


@dataclass(frozen=True, slots=True)
class SessionFact:
    """A camera's newest status: which session is ours, and how far it is.

    Attributes:
        captured: Its sequences are 0 … captured - 1.
        sent: Frames that the broker had acknowledged.
        is_final: Whether nothing of this session is still to come.
    """

    camera: str
    session: str
    captured: int
    sent: int
    is_final: bool


@dataclass(frozen=True, slots=True)
class GroupFact:
    """A consumer group, as its commits and its workers' statuses have it; by partition of the frames topic.

    Attributes:
        committed: The offset after the last frame that is done.
        first_offsets: Where the group's duty begins, the least of all its workers.
    """

    committed: Mapping[int, int] = field(default_factory=dict)
    first_offsets: Mapping[int, int] = field(default_factory=dict)


class FrameFact(NamedTuple):
    """A record of the frames topic. `replay_for` is the group that a replayed dead letter is meant for."""

    camera: str
    frame_id: str
    partition: int
    offset: int
    replay_for: str | None = None


class OutcomeFact(NamedTuple):
    """A result or a dead letter.

    Attributes:
        group: Who says it; None where the camera itself does, and then there is no `topic`, `partition`, `offset`.
        status: `classified`, `timed`, `skipped` or `dead-lettered`.
        reason: Why it was skipped or dead-lettered, else "".
        topic: Where the frame stands, with `partition` and `offset`.
        is_right: Whether the label is the truth; None where one of them is not known.
    """

    group: str | None
    camera: str
    frame_id: str
    status: str
    reason: str = ""
    topic: str = ""
    partition: int = -1
    offset: int = -1
    is_right: bool | None = None
