"""What a frame costs this host: decoding, and the real stream with a worker that always has work."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from engine.backends.simulator.figures import CardFigures
from streamer.sizing.bench import Bench
from streamer.sizing.calibration import LoadPoint, calibrated
from streamer.sizing.decoding import decode_us
from streamer.sizing.errors import TrialError
from streamer.sizing.host import HostCost
from streamer.sizing.lane import Lane
from streamer.sizing.trial import LoadTrial
from streamer.sizing.wish import Wish

Say = Callable[[str], None]

#: Where nothing is measured. Source: docs/performance.md, on 2 cores that broker and cameras shared (440–680 µs a frame
#: of 256×256 in batches of 8), with decoding as it was measured for 455×256 JPEGs of 24 KB.
REFERENCE: Final = HostCost(
    decode_us=330.0,
    frame_us=420.0,
    batch_us=600.0,
    worker_cores=0.75,
    transit_ms=15.0,
    variation=0.5,
    origin="reference figures",
)
#: The frames that these are of, and what of their decoding is for the pixels, not for the bytes.
_REFERENCE_SHORT_SIDE_PX: Final = 256
_REFERENCE_FRAME_BYTES: Final = 24_000
_REFERENCE_PIXELS_US: Final = 90.0
#: More for a frame that is larger than what the model takes: it is decoded at a larger scale, and then resized. With it
#: a usual 1280×720 takes 4 ms and 1920×1080 6 ms, or 12 ms at 800 KB (measured: 3.6, 4.7 and 10.6).
_RESIZE_US: Final = 2300.0

_CAMERAS: Final = 64
#: Of the saturated rate.
_LIGHT, _BUSY = 0.3, 0.6
#: Of the budget: how old results are, on average, of a worker that always has work. A batch alone may take half of it
#: to fill, so with less there would be nothing that waits, and it would not always have work.
_AGE: Final = 1.0
_SMALL_BATCH: Final = 4
_DECODED_SIDE_PX: Final = 224
#: While the stream is measured nothing is late.
_BUDGET_S: Final = 0.5


def reference(short_side_px: int, frame_bytes: int) -> HostCost:
    """Return the reference figures for frames of this size, in pixels and bytes; smaller ones cost no less."""
    pixels = (short_side_px / _REFERENCE_SHORT_SIDE_PX) ** 2
    more_us = (pixels - 1) * _REFERENCE_PIXELS_US + _RESIZE_US if pixels > 1 else 0.0
    host = replace(REFERENCE, decode_us=REFERENCE.decode_us + more_us)
    return host.with_more(frame_bytes - _REFERENCE_FRAME_BYTES)


@dataclass(frozen=True, slots=True)
class Length:
    """For how long it is measured.

    Attributes:
        warm_up_s: Before anything counts. Java compiles what a broker does again and again: one that has just begun is
            slower than it will be.
        saturated_s: A worker that always has work.
        paced_s: Each of the loads at which the latency is measured.
    """

    warm_up_s: float = 30.0
    saturated_s: float = 8.0
    paced_s: float = 7.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A worker of a lane on this machine, beside broker and cameras.

    Attributes:
        lane: With the host as it is here.
        full: The trial in which it always had work.
    """

    lane: Lane
    full: LoadTrial

    @property
    def fps(self) -> float:
        """Frames/s of a worker that always has work."""
        return self.full.load.result_fps

    def at(self, fps: float) -> Lane:
        """Return the lane on this machine when it does so many frames/s instead."""
        host = self.lane.host
        return replace(self.lane, host=replace(host, worker_cores=host.worker_cores * fps / self.fps))


def measured(bench: Bench, lane: Lane, wish: Wish | None = None, length: Length | None = None) -> Measured:
    """Run a worker of the lane and see how fast it is, and how its latency grows; the worker goes on.

    Args:
        bench: Where.
        lane: Which worker.
        wish: Whether it may skip frames; None where it may not.
        length: For how long.

    Raises:
        TrialError: It is too slow to be measured.
    """
    length = length or Length()
    bench.start_worker(lane, wish)
    full = saturated(bench, lane, length.warm_up_s, length.saturated_s)
    fps = full.load.result_fps
    if fps <= 0:
        raise TrialError("a worker gave no results in time: this machine is too slow, or too busy, to be measured")
    cores = fps * lane.host.cpu_us(lane.figures.batch_size) / 1e6
    here = replace(lane, host=replace(lane.host, worker_cores=cores, origin="measured here"))
    points = []
    for share in (_LIGHT, _BUSY):
        trial = bench.run(_CAMERAS, fps * share / _CAMERAS, length.paced_s)
        if not math.isfinite(trial.p99_ms):
            raise TrialError("too few results came in time: this machine is too slow, or too busy, to be measured")
        points.append(LoadPoint(fps * share, trial.p99_ms / 1e3))
    return Measured(calibrated(here, *points), full)


def saturated(bench: Bench, lane: Lane, warm_s: float, seconds: float) -> LoadTrial:
    """Let the bench's worker always have work, and count its results once it is warm."""
    return bench.saturate(_CAMERAS, warm_s, seconds, lane.budget_s * _AGE)


def measured_program(programs: Iterable[CardFigures]) -> CardFigures:
    """Return the fastest program of the decoded size: never what the stream waits for.

    Its batches are larger than the small ones, since the difference of the two tells what a batch costs.
    """
    return max(
        (each for each in programs if each.image_size_px == _DECODED_SIDE_PX and each.batch_size > _SMALL_BATCH),
        key=lambda each: each.images_per_s,
    )


def host_cost(
    bench: Bench, programs: Sequence[CardFigures], pictures: Sequence[bytes], side_px: int, say: Say
) -> HostCost:
    """Measure a frame's cost.

    Args:
        bench: Where the stream runs.
        programs: The figures of the table.
        pictures: What the cameras see.
        side_px: Of the model's input.
        say: Told what is going on, a line at a time.

    Raises:
        TrialError: This machine cannot be measured.
    """
    say("decoding")
    figures = measured_program(programs)
    decoded_us = decode_us(pictures, _DECODED_SIDE_PX)
    lane = Lane(figures, figures.instances, replace(REFERENCE, decode_us=decoded_us), _BUDGET_S)
    say(f"a worker with batches of {figures.batch_size}")
    large = measured(bench, lane)
    size = figures.batch_size
    say(f"a worker with batches of {_SMALL_BATCH}")
    bench.start_worker(replace(lane, figures=replace(figures, batch_size=_SMALL_BATCH)))
    length = Length()
    small = saturated(bench, lane, length.saturated_s, length.saturated_s)
    bench.stop_worker()
    batch_us = max((small.cpu_us - large.full.cpu_us) / (1 / _SMALL_BATCH - 1 / size), 0.0)
    return HostCost(
        decode_us=decode_us(pictures, side_px),
        frame_us=max(large.full.cpu_us - decoded_us - batch_us / size, 0.0),
        batch_us=batch_us,
        worker_cores=large.fps * large.full.cpu_us / 1e6,
        transit_ms=max(large.lane.host.transit_ms, 0.0),
        variation=large.lane.host.variation,
        origin="measured here",
    )
