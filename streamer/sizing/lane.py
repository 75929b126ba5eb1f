"""One worker with its part of a card: how fast it is, and how old its results are. Pure."""

from dataclasses import dataclass, replace
from typing import Final

from engine.backends.simulator.figures import CardFigures
from streamer.sizing.host import HostCost
from streamer.sizing.quantiles import fill_p99_s, wait_p99_s

#: Of the budget, what batches are told to keep: the rest is for what nobody foresees.
KEPT_SHARE: Final = 0.9
_STEPS: Final = 60


def device_time_s(figures: CardFigures) -> float:
    """Return how long a card that has nothing else to do works on a batch, however few rows of it hold data.

    Where the listed latency does not follow from the listed throughput, it is believed as it stands.
    """
    if figures.latency_p95_ms is None or figures.latency_is_reproduced:
        return figures.service_time_s
    return max(figures.service_time_s, figures.latency_p95_ms / 1e3)


@dataclass(frozen=True, slots=True)
class Latency:
    """The 99th percentile of the latency, and what it is made of; all in s.

    Attributes:
        transit_s: On the way to the worker, and in its hands beside the following.
        fill_s: Waiting for company.
        decode_s: Decoding of the whole batch.
        device_s: On the device.
        queue_s: Waiting for the worker or the device.
    """

    transit_s: float
    fill_s: float
    decode_s: float
    device_s: float
    queue_s: float

    @property
    def total_s(self) -> float:
        """The sum: no less than the sum's own percentile, since not all is slow at once."""
        return self.transit_s + self.fill_s + self.decode_s + self.device_s + self.queue_s


@dataclass(frozen=True, slots=True)
class Lane:
    """A worker process and the activations that are its own.

    Attributes:
        figures: The program on the card.
        activations: Of the card's instances.
        budget_s: For the latency.
    """

    figures: CardFigures
    activations: int
    host: HostCost
    budget_s: float

    @property
    def device_fps(self) -> float:
        """Frames/s of its activations, all batches full."""
        return self.figures.images_per_s * self.activations / self.figures.instances

    @property
    def host_fps(self) -> float:
        """Frames/s of its process, all batches full."""
        return self.host.worker_fps(self.figures.batch_size)

    def latency(self, fps: float) -> Latency:
        """Return the 99th percentile at so many frames/s; infinite where it cannot keep up."""
        unfilled = self._unfilled(fps)
        room_s = max(self.budget_s * KEPT_SHARE - unfilled.total_s, 0.0)
        return replace(unfilled, fill_s=min(fill_p99_s(self.figures.batch_size, fps), room_s))

    def _unfilled(self, fps: float) -> Latency:
        """Return the same of batches that wait for no company."""
        size, service_s = self.figures.batch_size, self.figures.service_time_s
        return Latency(
            transit_s=self.host.transit_ms / 1e3,
            fill_s=0.0,
            decode_s=size * self.host.decode_us / 1e6,
            device_s=device_time_s(self.figures),
            queue_s=wait_p99_s(fps / self.device_fps, service_s, self.activations, 0.5 / size)
            + wait_p99_s(fps / self.host_fps, size / self.host_fps, 1, (1 / size + self.host.variation) / 2),
        )

    def mean_batch(self, fps: float) -> float:
        """Return the frames in a batch, on average: it closes when it is full, or when its time is up."""
        return min(1.0 + fps * self.latency(fps).fill_s, float(self.figures.batch_size))

    def is_in_time(self, fps: float) -> bool:
        """Tell whether the budget is kept at so many frames/s; waiting for company never breaks it."""
        return self._listed_s <= self.budget_s and self._unfilled(fps).total_s <= self.budget_s

    @property
    def shortest_budget_s(self) -> float:
        """What a frame takes where nothing else is to be done."""
        return max(self._unfilled(0.0).total_s, self._listed_s)

    @property
    def _listed_s(self) -> float:
        """What the vendor measured with all the card's places taken; 0 where it is not listed."""
        return (self.figures.latency_p95_ms or 0.0) / 1e3

    def timely_fps(self) -> float:
        """Return the most frames/s at which the budget is kept; 0 where it never is."""
        low, high = 0.0, min(self.device_fps, self.host_fps)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            low, high = (middle, high) if self.is_in_time(middle) else (low, middle)
        return low
