"""What a frame costs the host. Pure."""

from dataclasses import dataclass, replace
from typing import Final, Self

#: Processes that run already, for each core, at which a measurement says little.
_BUSY_SHARE: Final = 0.5
#: What a byte of a frame costs: the JPEG's entropy code, and its way through the consumer (fetch, checksum, copies).
#: Measured, JPEGs of 24 KB to 800 KB.
_DECODE_US_PER_BYTE: Final = 0.010
_STREAM_US_PER_BYTE: Final = 0.001
#: A frame goes whole to the broker, and whole to the worker, over links of 1 Gbit/s.
_WAY_MS_PER_BYTE: Final = 2 * 8 / 1e9 * 1e3


def other_work(load: float, cores: int) -> str | None:
    """Return the warning that a host is busy: what is measured on it is slow, and another thing every time.

    Args:
        load: Processes that run, on average over the last minute.
        cores: Of the host.
    """
    if load <= _BUSY_SHARE * cores:
        return None
    return f"this machine is busy with other work ({load:.1f} processes for {cores} cores): measure on a quiet one"


@dataclass(frozen=True, slots=True)
class HostCost:
    """CPU time of a worker, and what it adds to the latency.

    Attributes:
        decode_us: CPU of decoding a frame.
        frame_us: CPU of everything else that is done for each frame: fetch, check, label, publish, commit.
        batch_us: CPU of what is done once for a micro-batch.
        worker_cores: CPU seconds that one worker gets done in a second, saturated: its Python code takes turns.
        transit_ms: The 99th percentile of the latency outside of waiting for the batch, decoding and the device.
        variation: How much a worker's time for a batch varies, as a squared coefficient of variation.
        origin: `measured here` or `reference figures`; after a semicolon what of it is given.
    """

    decode_us: float
    frame_us: float
    batch_us: float
    worker_cores: float
    transit_ms: float
    variation: float
    origin: str

    def cpu_us(self, mean_batch: float) -> float:
        """Return the CPU time of a frame in batches of so many."""
        return self.decode_us + self.frame_us + self.batch_us / max(mean_batch, 1.0)

    def with_more(self, frame_bytes: int) -> Self:
        """Return the cost of frames that are so many bytes larger, at the same number of pixels."""
        more = max(frame_bytes, 0)
        return replace(
            self,
            decode_us=self.decode_us + more * _DECODE_US_PER_BYTE,
            frame_us=self.frame_us + more * _STREAM_US_PER_BYTE,
            transit_ms=self.transit_ms + more * _WAY_MS_PER_BYTE,
        )

    def worker_fps(self, mean_batch: float) -> float:
        """Return the frames/s of one worker that always has work."""
        return self.worker_cores * 1e6 / self.cpu_us(mean_batch)
