"""A micro-batch on its way through the pipeline."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from consumers.ledger import Entry
from consumers.running_model import RunningModel
from engine.backends.base import Inference
from engine.images.header import ImageHeader
from messaging.frame import Frame
from messaging.outcome import LatencyParts

Kind = Literal["classified", "timed", "skipped", "dead-lettered"]


@dataclass(slots=True)
class Outgoing:
    """What is to be said about one frame; the message is written when its turn has come.

    Attributes:
        reason: Why it was skipped or dead-lettered.
        error: One line more about a dead letter.
        polled: The frame in its batch, where it got into one.
        batch: That batch.
        row: Which of the batch's good frames it is.
        latency: Where its time went, once its result is written.
    """

    kind: Kind
    frame: Frame
    reason: str = ""
    error: str = ""
    polled: "PolledFrame | None" = None
    batch: "Batch | None" = None
    row: int = -1
    latency: LatencyParts | None = None


@dataclass(slots=True)
class PolledFrame:
    """A frame that waits for its batch, or is in it.

    Attributes:
        polled_at_us: Wall clock when `poll` returned it, µs since 1970.
        polled_at_s: The same moment on the monotonic clock.
    """

    entry: Entry[Outgoing]
    frame: Frame
    header: ImageHeader
    polled_at_us: int
    polled_at_s: float


@dataclass(slots=True)
class Rejected:
    """A frame of the batch that does not reach the device: damaged (a dead letter), or too old (skipped)."""

    polled: PolledFrame
    kind: Literal["skipped", "dead-lettered"]
    reason: str
    error: str = ""


@dataclass(slots=True)
class Batch:
    """Frames that are decoded, classified and labelled together.

    Attributes:
        frames: As they were gathered.
        capacity: How many would have fitted.
        model: What decodes it, classifies it and labels it, from first to last.
        good: Those that were decoded; row i of `rows` is frame i of these.
        rejected: Those that were not.
        rows: uint8[rows, height, width, 3], RGB; at least as many as `good`.
        top: For each good frame the indices of its best classes, best first: int[len(good), top].
        scores: Their probabilities: float32[len(good), top].
        sent_at_s: When it was sent into the pipeline, monotonic.
        taken_at_s: When it was taken up for decoding; `decoded_at_s` when that was done.
        answered: Results of it that are written, and the sums of their latency's parts.
        rest: The rest of a batch that failed, of which this one is the first part: at fault where this one is not.
    """

    frames: list[PolledFrame]
    capacity: int
    model: RunningModel | None = None
    good: list[PolledFrame] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    rows: NDArray[np.uint8] | None = None
    inference: Inference | None = None
    top: NDArray[np.intp] | None = None
    scores: NDArray[np.float32] | None = None
    sent_at_s: float = 0.0
    taken_at_s: float = 0.0
    decoded_at_s: float = 0.0
    answered: int = 0
    latency_sums_ms: dict[str, float] = field(default_factory=dict)
    rest: list[PolledFrame] = field(default_factory=list)

    @property
    def run_by(self) -> RunningModel:
        """The model, in the pipeline.

        Raises:
            ValueError: It has none: it was not made to be sent.
        """
        if self.model is None:
            raise ValueError("a batch that is sent has a model")
        return self.model
