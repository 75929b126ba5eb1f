"""From what is asked of a site to what it takes. Pure: figures in, figures out."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from engine.backends.simulator.figures import CardFigures
from streamer.sizing.broker_load import BrokerLoad, broker_load
from streamer.sizing.errors import InfeasibleError
from streamer.sizing.host import HostCost
from streamer.sizing.lane import Lane, Latency
from streamer.sizing.wish import Wish
from streamer.sizing.words import counted

Limit = Literal["device", "host", "latency"]

#: Standard deviations that the fullest worker's share of the cameras is above the mean: a camera's name decides where
#: its frames go.
_UNEVENNESS: Final = 2.0
_PARTITIONS_OF_A_WORKER: Final = 4
_FEWEST_PARTITIONS: Final = 8
_MAX_PARTITIONS: Final = 10_000
_MAX_WORKERS: Final = _MAX_PARTITIONS // _PARTITIONS_OF_A_WORKER


def fullest_share(cameras: int, workers: int) -> float:
    """Return the share of all frames that the fullest of the workers has to take; a camera is never divided."""
    even = 1 / workers
    uneven = even + _UNEVENNESS * math.sqrt((workers - 1) / cameras) / workers
    return max(1 / cameras, min(uneven, 1.0))


@dataclass(frozen=True, slots=True)
class Plan:
    """What a site takes.

    Attributes:
        devices: Cards.
        workers_per_device: Processes that share a card, each with activations of its own.
        lane: One of these workers.
    """

    wish: Wish
    devices: int
    workers_per_device: int
    lane: Lane

    @property
    def workers(self) -> int:
        """Worker processes in all."""
        return self.devices * self.workers_per_device

    @property
    def worker_fps(self) -> float:
        """Frames/s of the fullest worker."""
        return self.wish.total_fps * fullest_share(self.wish.cameras, self.workers)

    @property
    def card_use(self) -> float:
        """The share of its rate that the busiest card gives."""
        return self.worker_fps * self.workers_per_device / self.lane.figures.images_per_s

    @property
    def partitions(self) -> int:
        """Of the frames and results topics: as many for each worker, and some to grow."""
        each = max(_PARTITIONS_OF_A_WORKER, math.ceil(_FEWEST_PARTITIONS / self.workers))
        return self.workers * each

    @property
    def batch_size(self) -> int:
        """Frames in a micro-batch, at the most: what the program on the card takes."""
        return self.lane.figures.batch_size

    @property
    def latency(self) -> Latency:
        """The 99th percentile that the fullest worker's frames take."""
        return self.lane.latency(self.worker_fps)

    @property
    def mean_batch(self) -> float:
        """Frames in a batch, on average."""
        return self.lane.mean_batch(self.wish.total_fps / self.workers)

    @property
    def host_cores(self) -> float:
        """Cores for all workers, decoding included."""
        cpu_s = self.wish.total_fps * self.lane.host.cpu_us(self.mean_batch) / 1e6
        return cpu_s / (1 - self.wish.headroom)

    @property
    def decode_cores(self) -> float:
        """Of these, for decoding."""
        return self.wish.total_fps * self.lane.host.decode_us / 1e6 / (1 - self.wish.headroom)

    @property
    def broker(self) -> BrokerLoad:
        """What Kafka has to bear."""
        return broker_load(self.wish, self.partitions)

    @property
    def limits_fps(self) -> dict[Limit, float]:
        """What bounds the frames/s of a worker, the headroom left free."""
        return _limits_fps(self.lane, self.wish)

    @property
    def limit(self) -> Limit:
        """What is reached first when cameras are added to the same cards and workers."""
        limits = self.limits_fps
        return min(limits, key=lambda name: limits[name])

    @property
    def max_cameras(self) -> int:
        """The most cameras that the same cards and workers bear."""
        bound_fps = min(self.limits_fps.values())
        return _largest(lambda cameras: cameras * self.wish.fps * fullest_share(cameras, self.workers) <= bound_fps)


def _limits_fps(lane: Lane, wish: Wish) -> dict[Limit, float]:
    free = 1 - wish.headroom
    return {"device": lane.device_fps * free, "host": lane.host_fps * free, "latency": lane.timely_fps()}


def make_plan(programs: Sequence[CardFigures], wish: Wish, host: HostCost) -> Plan:
    """Find the fewest cards that do it, and on each the fewest workers.

    Args:
        programs: What may run on the cards; of several that take as few cards, the first.
        wish: What is asked for.
        host: What a frame costs the host.

    Raises:
        InfeasibleError: No number of cards does it.
    """
    plans = [plan for figures in programs if (plan := _fewest(figures, wish, host)) is not None]
    if plans:
        return min(plans, key=lambda plan: plan.devices)
    raise _infeasible(programs, wish, host)


def _fewest(figures: CardFigures, wish: Wish, host: HostCost) -> Plan | None:
    """Return the plan with the fewest cards of this program, and on them the fewest workers; None where none does."""
    # Each activation belongs to one worker, and all have as many.
    counts = [workers for workers in range(1, figures.instances + 1) if figures.instances % workers == 0]
    plans = [plan for workers in counts if (plan := _fewest_with(workers, figures, wish, host)) is not None]
    return min(plans, key=lambda plan: plan.devices, default=None)


def _fewest_with(workers_per_device: int, figures: CardFigures, wish: Wish, host: HostCost) -> Plan | None:
    lane = Lane(figures, figures.instances // workers_per_device, host, wish.budget_s)
    bound_fps = min(_limits_fps(lane, wish).values())

    def is_enough(devices: int) -> bool:
        return Plan(wish, devices, workers_per_device, lane).worker_fps <= bound_fps

    most = _MAX_WORKERS // workers_per_device
    if not is_enough(most):
        return None
    few = _largest(lambda devices: not is_enough(devices), most)
    return Plan(wish, few + 1, workers_per_device, lane)


def _infeasible(programs: Sequence[CardFigures], wish: Wish, host: HostCost) -> InfeasibleError:
    """Return the error that says what would be feasible."""
    lanes = [
        Lane(figures, activations, host, wish.budget_s)
        for figures in programs
        for activations in {1, figures.instances}
    ]
    quickest = min(lanes, key=lambda lane: lane.shortest_budget_s)
    shortest_s = quickest.shortest_budget_s
    if shortest_s > wish.budget_s:
        figures = quickest.figures
        listed_ms = max(figures.latency_p95_ms or 0.0, figures.service_time_s * 1e3)
        return InfeasibleError(
            f"no card answers within {_ms(wish.budget_s)}: {figures.name} takes {listed_ms:.1f} ms of its own, and "
            f"{_ms(shortest_s)} with the way there, decoding and its batch: give --latency-budget "
            f"{math.ceil(shortest_s * 1e3 * 1.1)}ms or more"
        )
    best_fps = max(min(_limits_fps(lane, wish).values()) for lane in lanes)
    if wish.fps > best_fps:
        return InfeasibleError(
            f"one camera of {wish.fps:g} frames/s is more than one worker takes, and a camera is never divided: up to "
            f"{_floor(best_fps)} frames/s are feasible with {_ms(wish.budget_s)}"
        )
    feasible = _largest(
        lambda cameras: any(_fewest(figures, replace(wish, cameras=cameras), host) for figures in programs),
        wish.cameras,
    )
    return InfeasibleError(
        f"{counted(wish.cameras, 'camera')} of {wish.fps:g} frames/s need more than {_MAX_WORKERS} workers, the most "
        f"that share a topic: up to {feasible} cameras are feasible; divide them among several topics"
    )


def _largest(is_right: Callable[[int], bool], below: int = 1 << 40) -> int:
    """Return the largest number for which something is right that is right for all smaller ones; 0 for none."""
    low, high = 0, below
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_right(middle) else (low, middle)
    return low


def _ms(time_s: float) -> str:
    return f"{time_s * 1e3:.0f} ms"


def _floor(fps: float) -> str:
    return f"{math.floor(fps * 10) / 10:g}"
