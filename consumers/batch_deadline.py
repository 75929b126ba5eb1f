"""When a frame's micro-batch has to be sent: a fixed time after the frame came, or in time for a latency budget.

Pure: times are arguments, and every `…_s` is of one monotonic clock.
"""

import logging
from threading import Lock
from typing import Final

from consumers.batch import PolledFrame

log = logging.getLogger(__name__)

#: How fast the estimates of the mean and of the deviation follow, and how many deviations a time-out allows for.
#: Source: RFC 6298, section 2 (alpha, beta and K of TCP's retransmission timer).
_MEAN_GAIN: Final = 1 / 8
_DEVIATION_GAIN: Final = 1 / 4
_DEVIATIONS: Final = 4
#: Of the budget, before any batch was measured.
_FIRST_GUESS: Final = 0.5


class BatchDeadline:
    """Says until when a frame may wait for company.

    With a budget, that is its capture time + the budget − the time that a batch takes from there to its results. The
    latter is what batches took lately, their mean and four deviations, so it grows and shrinks with the device, the
    host and the size of batches. A frame that is too late already may not wait at all.

    Any thread may call.
    """

    def __init__(self, timeout_s: float, budget_s: float | None = None) -> None:
        """Set the rule.

        Args:
            timeout_s: How long a frame waits after `poll` gave it, where there is no budget.
            budget_s: From capture to the result's hand-over to the producer; None for the fixed time-out.
        """
        self._timeout_s = timeout_s
        self._budget_s = budget_s
        self._mean_s: float | None = None
        self._deviation_s = 0.0
        self._has_warned = False
        self._lock = Lock()
        #: How long a batch will take from being sent to its last result; 0 with a fixed time-out.
        self.lead_s = 0.0 if budget_s is None else budget_s * _FIRST_GUESS

    def due_at_s(self, polled: PolledFrame) -> float:
        """Return when the frame has to be through; its batch has to be sent `lead_s` before."""
        if self._budget_s is None:
            return polled.polled_at_s + self._timeout_s
        # A camera whose clock is ahead gains nothing by it.
        age_s = max(polled.polled_at_us - polled.frame.captured_at_us, 0) / 1e6
        return polled.polled_at_s - age_s + self._budget_s

    def note(self, took_s: float) -> None:
        """Learn how long a batch took from being sent to its last result."""
        budget_s = self._budget_s
        if budget_s is None:
            return
        with self._lock:
            if self._mean_s is None:
                self._mean_s, self._deviation_s = took_s, took_s / 2
            else:
                self._deviation_s += _DEVIATION_GAIN * (abs(took_s - self._mean_s) - self._deviation_s)
                self._mean_s += _MEAN_GAIN * (took_s - self._mean_s)
            self.lead_s = self._mean_s + _DEVIATIONS * self._deviation_s
            must_warn = self._mean_s > budget_s and not self._has_warned
            self._has_warned = self._has_warned or must_warn
        if must_warn:
            log.warning(
                "the latency budget of %.0f ms cannot be kept: a batch alone takes %.0f ms from decoding to its "
                "results; batches go as soon as there is a place (a larger --latency-budget, a smaller --batch-size)",
                budget_s * 1e3,
                self._mean_s * 1e3,
            )
