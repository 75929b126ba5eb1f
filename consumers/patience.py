"""Saying that Kafka keeps silent: one voice for whatever is waited for."""

import logging
from typing import Final, NamedTuple

log = logging.getLogger(__name__)

_FIRST_WARNING_S: Final = 5.0
_LONGEST_SILENCE_S: Final = 60.0


class Awaited(NamedTuple):
    """What is waited for.

    Attributes:
        what: The beginning of a sentence: `Kafka has not acknowledged any outcome`.
        progress: Changes whenever something arrives.
    """

    what: str
    progress: int


class Patience:
    """Warns when something has been waited for too long: after 5 s, then ever more rarely, and when it is over."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._awaited: Awaited | None = None
        self._since_s = 0.0
        self._next_s = _FIRST_WARNING_S

    @property
    def silence(self) -> str:
        """What has been waited for too long, in a line; "" where nothing was."""
        if self._awaited is None or self._next_s <= _FIRST_WARNING_S:
            return ""
        return f"{self._awaited.what} for too long"

    def look(self, now_s: float, awaited: Awaited | None) -> None:
        """Look at what is waited for at this moment; None is nothing."""
        if awaited is None or awaited != self._awaited:
            if self._awaited is not None and self._next_s > _FIRST_WARNING_S:
                log.warning("Kafka answers again, after %.0f s", now_s - self._since_s)
            self._awaited, self._since_s, self._next_s = awaited, now_s, _FIRST_WARNING_S
            return
        silent_s = now_s - self._since_s
        if silent_s >= self._next_s:
            log.warning("%s for %.0f s; waiting for it", awaited.what, silent_s)
            self._next_s = silent_s + min(self._next_s, _LONGEST_SILENCE_S)
