"""How often a shadow model gives the same top label as the model whose results are published."""

from collections import Counter
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any, Final, Literal

from engine.models.spec import ClassifierSpec

ShadowOutcome = Literal["agreed", "disagreed", "dropped", "failed"]
_OUTCOMES: Final[tuple[ShadowOutcome, ...]] = ("agreed", "disagreed", "dropped", "failed")


class Agreement:
    """Running totals, for several threads."""

    def __init__(self, spec: ClassifierSpec) -> None:
        """Begin with none, for the shadow model given."""
        self.model = spec.name
        self.digest = spec.digest
        self._frames = Counter[str](dict.fromkeys(_OUTCOMES, 0))
        self._lock = Lock()

    def add(self, outcome: ShadowOutcome, count: int) -> None:
        """Count frames: compared, given up because the shadow model was behind, or not answered by it."""
        with self._lock:
            self._frames[outcome] += count

    def counts(self) -> dict[str, int]:
        """Return the frames so far, by outcome."""
        with self._lock:
            return dict(self._frames)

    def summary(self) -> dict[str, Any]:
        """Return the figures as the command prints them; `agreement` is a share, 0-1, None before the first frame."""
        return _summary(self.model, self.digest, self.counts())


def merge_agreements(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return one summary of several workers with the same shadow model; None where none had one."""
    if not summaries:
        return None
    totals: dict[str, int] = {name: sum(summary[name] for summary in summaries) for name in _OUTCOMES}
    return _summary(summaries[0]["model"], summaries[0]["model_digest"], totals)


def _summary(model: str, digest: str, frames: Mapping[str, int]) -> dict[str, Any]:
    compared = frames["agreed"] + frames["disagreed"]
    share = round(frames["agreed"] / compared, 4) if compared else None
    return {"model": model, "model_digest": digest, **frames, "agreement": share}
