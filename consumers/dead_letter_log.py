"""Saying which frames became dead letters: the first few by name, a flood by its number."""

import logging
from typing import Final

from consumers.allowance import Allowance
from consumers.batch import Outgoing
from messaging.trace_context import log_context

log = logging.getLogger(__name__)

_LINES_PER_S: Final = 0.2
_LINES_AT_ONCE: Final = 10


class DeadLetterLog:
    """Logs dead letters, one line each, as long as they are few. For one thread."""

    def __init__(self) -> None:
        """Begin with nothing left out."""
        self._allowance = Allowance(_LINES_PER_S, _LINES_AT_ONCE)
        self._left_out = 0

    def note(self, outgoing: Outgoing, now_s: float) -> None:
        """Log one, or count it for the next line."""
        if not self._allowance.takes(now_s):
            self._left_out += 1
            return
        frame = outgoing.frame
        others = f" ({self._left_out} others since the last such line)" if self._left_out else ""
        self._left_out = 0
        log.warning(
            "frame %s is a dead letter, %s: %s%s",
            frame.frame_id,
            outgoing.reason,
            outgoing.error or "no more is known",
            others,
            extra=log_context(frame.traceparent),
        )
