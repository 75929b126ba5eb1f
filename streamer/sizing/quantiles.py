"""The 99th percentiles of waiting: for company, and for a server. Pure."""

import math
from typing import Final

#: The share of frames that may be slower than what is promised.
TAIL: Final = 0.01
_STEPS: Final = 60


def fill_p99_s(size: int, fps: float) -> float:
    """Return how long a frame waits for its batch to fill, at random arrivals.

    The first of a batch waits for `size` − 1 others, the last for none; each place is as frequent.

    Args:
        size: Frames in a full batch.
        fps: Frames/s that arrive.
    """
    if size <= 1:
        return 0.0
    low, high = 0.0, 1.0
    while _waits_longer(size, high) > TAIL:
        high *= 2
    for _ in range(_STEPS):  # in units of the mean time between two frames
        middle = (low + high) / 2
        low, high = (middle, high) if _waits_longer(size, middle) > TAIL else (low, middle)
    return high / fps


def _waits_longer(size: int, expected: float) -> float:
    """Return the share of frames that still wait when so many arrivals were to be expected since they came.

    A frame that waits for k others still does when fewer than k have come: a Poisson distribution's sum.
    """
    probability = math.exp(-expected)
    fewer = still = 0.0
    for arrived in range(size - 1):
        fewer += probability
        still += fewer
        probability *= expected / (arrived + 1)
    return still / size


def wait_p99_s(load: float, service_s: float, servers: int, variability: float) -> float:
    """Return how long what arrives waits for one of several equal servers; infinite where they are saturated.

    The tail of the wait in M/M/c, P(W > t) ≤ load · exp(−(1 − load) c t / service), stretched by the variability.
    Source: A. O. Allen, "Probability, Statistics, and Queueing Theory", 1990 (the Allen–Cunneen approximation).

    Args:
        load: Share of the servers' rate that arrives.
        service_s: Of one.
        servers: How many.
        variability: Half the sum of the squared coefficients of variation of arrivals and of service times; 1 for
            random ones, 0 for a clock's.
    """
    if load >= 1:
        return math.inf
    if load <= TAIL:
        return 0.0
    return math.log(load / TAIL) * variability * service_s / (servers * (1 - load))
