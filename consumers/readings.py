"""A consumer's figures for its metrics, and whether it is fit for work, for whoever asks from another thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from consumers.batch import Outgoing
from consumers.counts import Counts
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher
from consumers.in_flight import InFlight
from consumers.loop_time import HANGS_AFTER_S, LoopTime, RebalanceTime
from consumers.metrics import Reading


@dataclass(frozen=True, slots=True)
class Readings:
    """Puts together what is known; nothing here waits for anything.

    Attributes:
        silence: What Kafka has been silent about for too long; "" while it answers.
        utilisation: Share of the last second in which the device had work.
        is_draining: Whether the consumer was told to end.
    """

    counts: Counts
    dispatcher: Dispatcher
    in_flight: InFlight[Outgoing]
    load: DeviceLoad
    loop: LoopTime
    rebalances: RebalanceTime
    silence: Callable[[], str]
    utilisation: Callable[[], float]
    is_draining: Callable[[], bool]

    def metrics(self) -> Reading:
        """Return what the metrics show now."""
        frames, size_bytes, limit_bytes = self.in_flight.totals()
        model = self.dispatcher.model
        return Reading(
            outcomes=self.counts.outcomes_now(),
            waiting=(self.dispatcher.waiting, self.dispatcher.waiting_bytes),
            in_flight=(frames, size_bytes),
            limit_bytes=limit_bytes,
            utilisation=self.utilisation(),
            activations=self.load.batches,
            slots=model.backend.slots,
            is_ready=model.backend.health().is_ready,
            loop_s=self.loop.totals_s(),
            rebalances=self.rebalances.count,
            rebalance_paused_s=self.rebalances.paused_s(time.monotonic()),
            model=(model.spec.name, model.spec.digest),
            model_changes=self.counts.model_changes_now(),
            shadowed=self.counts.shadowed_now(),
        )

    def why_not_ready(self) -> str:
        """Return, in a line, why no work should be counted on; "" where it can."""
        if self.is_draining():
            return "it drains, and ends"
        health = self.dispatcher.model.backend.health()
        if not health.is_ready:
            return f"its device cannot be given work: {health.detail}"
        if silence := self.silence():
            return silence
        return "" if self.rebalances.has_joined else "it has not joined its group yet"

    def why_not_alive(self) -> str:
        """Return, in a line, why it should be started anew; "" while it lives."""
        turned_at_s = self.loop.turned_at_s
        still_s = time.monotonic() - turned_at_s if turned_at_s is not None else 0.0
        return f"the poll loop has not turned for {still_s:.0f} s" if still_s > HANGS_AFTER_S else ""
