"""Which of several places gets the next batch. Pure."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from engine.errors import OptionsError


class Candidate(Protocol):
    """A place that may be given a batch."""

    @property
    def name(self) -> str:
        """What it is called: its URL, or `local`."""

    @property
    def slots(self) -> int:
        """How many batches it takes at a time, at least 1."""

    @property
    def outstanding(self) -> int:
        """How many it has."""


class Balancer(ABC):
    """Chooses among places; it is asked once a batch, and may remember what it chose."""

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate]) -> int:
        """Return the index of one; there is at least one."""


class LeastOutstanding(Balancer):
    """The one with the smallest share of its slots taken; of equals the one that had none for longest."""

    def __init__(self) -> None:
        """Begin with nobody chosen."""
        self._turn = 0
        self._chosen: dict[str, int] = {}

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """Choose."""
        self._turn += 1
        index = min(
            range(len(candidates)),
            key=lambda index: (
                candidates[index].outstanding / candidates[index].slots,
                self._chosen.get(candidates[index].name, 0),
            ),
        )
        self._chosen[candidates[index].name] = self._turn
        return index


class Weighted(Balancer):
    """Each as often as its weight says, evenly spread.

    Source: the rule of nginx's smooth weighted round robin, src/http/ngx_http_upstream_round_robin.c.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        """Take the weights by name; 1 for whoever is not named.

        Raises:
            OptionsError: One is not above 0.
        """
        for name, weight in weights.items():
            if not 0 < weight < float("inf"):
                raise OptionsError(f"the weight of {name} is {weight!r}: give a number above 0")
        self._weights = dict(weights)
        self._credit: dict[str, float] = {}

    def choose(self, candidates: Sequence[Candidate]) -> int:
        """Choose."""
        weights = [self._weights.get(candidate.name, 1.0) for candidate in candidates]
        for candidate, weight in zip(candidates, weights, strict=True):
            self._credit[candidate.name] = self._credit.get(candidate.name, 0.0) + weight
        index = max(range(len(candidates)), key=lambda index: self._credit[candidates[index].name])
        self._credit[candidates[index].name] -= sum(weights)
        return index


LEAST_OUTSTANDING: Final = "least-outstanding"
ROUND_ROBIN: Final = "round-robin"
WEIGHTED: Final = "weighted"


def make_balancer(name: str, weights: Mapping[str, float] | None = None) -> Balancer:
    """Return the balancer of a name.

    Raises:
        OptionsError: There is none, or weights are given to one that has none.
    """
    if weights is not None and name != WEIGHTED:
        raise OptionsError(f"weights are for balancing={WEIGHTED!r}, not {name!r}")
    if name == LEAST_OUTSTANDING:
        return LeastOutstanding()
    if name in (ROUND_ROBIN, WEIGHTED):
        return Weighted(weights or {})
    raise OptionsError(f"balancing is {name!r}: give {LEAST_OUTSTANDING}, {ROUND_ROBIN} or {WEIGHTED}")
