"""An engine whose batches are computed here and on other machines."""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.balancing import LEAST_OUTSTANDING, Balancer, make_balancer
from engine.engines.place import Computed, Place
from engine.engines.remote import RemotePlace
from engine.engines.worker import TOKEN_VARIABLE
from engine.errors import DeviceLostError, InferenceError, OptionsError, WorkerError
from engine.models.program import Tensors

log = logging.getLogger(__name__)

LOCAL = "local"


@dataclass(slots=True, eq=False)
class _Member:
    """A place among others, and how many batches it has."""

    name: str
    place: Place
    outstanding: int = 0
    rows: int = 0

    @property
    def slots(self) -> int:
        """How many batches it takes at a time; 0 while it does not answer, or its device is lost."""
        return self.place.slots if not self.place.problem else 0


class SharedPlaces(Place):
    """This machine and workers, as one place: a batch that a worker fails goes to another one, in the end here."""

    def __init__(self, local: Place, workers: Mapping[str, Place], balancer: Balancer) -> None:
        """Take the places, not open yet.

        Args:
            local: This machine; its word counts where a worker refuses a batch.
            workers: By name.
            balancer: Chooses among those that answer.
        """
        self._local = _Member(LOCAL, local)
        self._members = [self._local, *(_Member(name, place) for name, place in workers.items())]
        self._balancer = balancer

    @property
    def slots(self) -> int:
        """All that answer, together; where none does, one that finds out."""
        return max(sum(member.slots for member in self._members), 1)

    def describe(self) -> dict[str, dict[str, Any]]:
        """Return what each worker does."""
        return {
            member.name: {
                "is_answering": member.slots > 0,
                "outstanding_batches": member.outstanding,
                "problem": member.place.problem,
                "rows": member.rows,
            }
            for member in self._members
            if member is not self._local
        }

    async def open(self) -> None:
        """Open all of them side by side; a worker that does not answer is looked at again later."""
        opened = await asyncio.gather(*(member.place.open() for member in self._members), return_exceptions=True)
        for result in opened:
            if isinstance(result, BaseException):
                raise result
        for member in self._members:
            member.place.expect(self._local.place.program)

    async def compute(self, inputs: Tensors, rows: int) -> Computed:
        """Have a batch computed by whoever is chosen, or by the next one that can."""
        failed: set[str] = set()
        while True:
            member = self._choose(failed)
            member.outstanding += 1
            try:
                computed = await member.place.compute(inputs, rows)
            except (WorkerError, DeviceLostError) as exc:
                failed.add(member.name)
                if not self._able(failed):
                    raise
                log.info("%s: its batch goes to another place", exc)
            except InferenceError as exc:
                if member is self._local:
                    raise
                # The inputs are at fault, or the worker's limits, or its model: this machine knows.
                computed = await self._local.place.compute(inputs, rows)
                member.place.blame(exc)
                self._local.rows += rows
                return computed
            else:
                member.rows += rows
                return computed
            finally:
                member.outstanding -= 1

    async def close(self) -> None:
        """Close all of them."""
        await asyncio.gather(*(member.place.close() for member in self._members))

    def _choose(self, failed: set[str]) -> _Member:
        able = self._able(failed)
        free = [member for member in able if member.outstanding < member.slots]
        candidates = free or able
        return candidates[self._balancer.choose(candidates)] if candidates else self._local

    def _able(self, failed: set[str]) -> list[_Member]:
        """Return who can take a batch, save those that have failed it; this machine where nobody else is."""
        able = [member for member in self._members if member.slots and member.name not in failed]
        return able or [member for member in (self._local,) if member.name not in failed]


def is_worker_url(text: str) -> bool:
    """Tell whether it is `http://HOST:PORT`, or `https://`, without a user."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - it raises where it is none
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.username is None


class DistributedInferenceEngine(AsyncBatchInferenceEngine):
    """Computes on this machine and on workers together; the one with least to do gets the next batch.

    A worker that does not answer, or fails three batches in a row, is given no more until it says again that it is
    ready. What it had goes elsewhere, in the end to this machine, so every input is answered exactly once.
    """

    def __init__(
        self,
        model_path: str | PathLike[str],
        *,
        worker_urls: Sequence[str] = (),
        token: str | None = None,
        worker_timeout: float = 30.0,
        worker_slots: int = 2,
        balancing: str = LEAST_OUTSTANDING,
        weights: Mapping[str, float] | None = None,
        **keywords: Any,
    ) -> None:
        """Remember what is wanted; see `AsyncBatchInferenceEngine`.

        Args:
            model_path: The model; workers know it by the file's name without suffix, or by `model_name`.
            worker_urls: `http://HOST:PORT` of each, also of foreign servers of the Open Inference Protocol v2.
            token: What workers want to be told; None for `STREAMER_WORKER_TOKEN`, or nothing.
            worker_timeout: Seconds that a worker may take for a batch.
            worker_slots: Batches that a worker is sent at a time.
            balancing: `least-outstanding`, `round-robin` or `weighted`.
            weights: With `weighted`, by URL (`local` for this machine); 1 for whoever is not named.
            **keywords: `model_name`, and those of `AsyncBatchInferenceEngine`.

        Raises:
            OptionsError: A value is out of its range, or a URL is none.
        """
        model_name = keywords.pop("model_name", None)
        super().__init__(model_path, **keywords)
        urls = [url.rstrip("/") for url in worker_urls]
        for url in urls:
            if not is_worker_url(url):
                raise OptionsError("worker_urls takes http://HOST:PORT, without a user; a token goes by token=")
        if len(set(urls)) < len(urls):
            raise OptionsError("worker_urls names a worker twice")
        given = {name.rstrip("/"): weight for name, weight in (weights or {}).items()}
        unknown = next((name for name in given if name not in (*urls, LOCAL)), None)
        if unknown is not None:
            raise OptionsError(f"weights names {unknown}, which is none of worker_urls and not {LOCAL!r}")
        if not 0 < worker_timeout < float("inf") or worker_slots < 1:
            raise OptionsError("worker_timeout is above 0 s, worker_slots at least 1")
        known = token or os.environ.get(TOKEN_VARIABLE) or None
        name = model_name or Path(model_path).stem
        self._balancer = make_balancer(balancing, None if weights is None else given)
        self._workers = {url: RemotePlace(url, name, known, worker_slots, worker_timeout) for url in urls}
        self._shared: SharedPlaces | None = None

    def get_stats(self) -> dict[str, Any]:
        """Return what was counted; `workers` has each worker's own."""
        described = self._shared.describe() if self._shared is not None else {}
        return super().get_stats() | {"workers": described}

    async def _make_place(self) -> Place:
        self._shared = SharedPlaces(await super()._make_place(), self._workers, self._balancer)
        return self._shared
