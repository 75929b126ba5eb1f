"""How outcomes and offsets reach the broker: the contract of at-least-once and exactly-once."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from consumers.batch import Outgoing
from consumers.ledger import Entry

log = logging.getLogger(__name__)

#: Takes an entry whose outcome the broker has for good, and that outcome; None where there was nothing to publish.
Delivered = Callable[[Entry[Outgoing], Outgoing | None], None]
Failed = Callable[[Exception], None]

_FIRST_WARNING_S: Final = 5.0
_LONGEST_SILENCE_S: Final = 60.0


class Delivery(ABC):
    """Publishes outcomes and commits the offsets below which every frame has one."""

    @abstractmethod
    def open(self, delivered: Delivered, failed: Failed) -> None:
        """Connect.

        Args:
            delivered: Called for every entry, once, in each partition's order; must be short.
            failed: Called where it cannot go on.

        Raises:
            BrokerUnavailableError: No broker answers.
            MessagingError: The broker refuses.
        """

    @abstractmethod
    def send(self, entry: Entry[Outgoing]) -> None:
        """Take a released entry. From one thread, in each partition's order; does not wait for the broker."""

    @abstractmethod
    def tend(self, now_s: float) -> None:
        """Do what is due, and warn about what takes too long. From the poll loop."""

    @abstractmethod
    def hurry(self) -> None:
        """Let nothing wait for company: somebody waits for what was sent. Any thread; must not block."""

    @abstractmethod
    def hold(self) -> bool:
        """Begin no further transaction until `go_on`; tell whether none is under way. Any thread; must not block."""

    @abstractmethod
    def go_on(self) -> None:
        """Let transactions begin again. Any thread; must not block."""

    @abstractmethod
    def assigned(self) -> None:
        """Note that partitions were assigned, perhaps because their last holder died. Must not block."""

    @abstractmethod
    def finish(self, timeout_s: float) -> None:
        """Commit what there is to commit, and wait for it, for `timeout_s` at most."""

    @abstractmethod
    def close(self, timeout_s: float) -> None:
        """Let the connection go, for `timeout_s` at most; closing twice is harmless."""


class Patience:
    """Warns when something has been waited for too long: after 5 s, then ever more rarely, and when it is over."""

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self._what = ""
        self._since_s: float | None = None
        self._next_s = _FIRST_WARNING_S

    def began(self, now_s: float, what: str) -> None:
        """Begin to wait, if nothing is waited for already; `what` begins the sentence of the warning."""
        if self._since_s is None:
            self._since_s, self._next_s, self._what = now_s, _FIRST_WARNING_S, what

    def moved(self, now_s: float, *, is_waiting: bool) -> None:
        """Note that something arrived, and whether more is waited for."""
        since_s, self._since_s = self._since_s, now_s if is_waiting else None
        if since_s is not None and self._next_s > _FIRST_WARNING_S:
            log.warning("Kafka answers again, after %.0f s", now_s - since_s)
        self._next_s = _FIRST_WARNING_S

    def look(self, now_s: float) -> None:
        """Warn where it is time to."""
        since_s = self._since_s
        if since_s is not None and now_s - since_s >= self._next_s:
            log.warning("%s since %.0f s; waiting for it", self._what, now_s - since_s)
            self._next_s = now_s - since_s + min(self._next_s, _LONGEST_SILENCE_S)
