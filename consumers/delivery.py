"""How outcomes and offsets reach the broker: the contract of at-least-once and exactly-once."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from consumers.batch import Outgoing
from consumers.ledger import Entry
from consumers.patience import Awaited

#: Takes an entry whose outcome the broker has for good, and that outcome; None where there was nothing to publish.
Delivered = Callable[[Entry[Outgoing], Outgoing | None], None]
Failed = Callable[[Exception], None]


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
        """Do what is due. From the poll loop, at every turn."""

    @property
    @abstractmethod
    def awaited(self) -> Awaited | None:
        """What it waits for; None where it does not. From the poll loop."""

    # Where there are no transactions, there is nothing to do about them.

    def hurry(self) -> None:  # noqa: B027 - not every delivery lets outcomes wait
        """Let nothing wait for company: somebody waits for what was sent. Any thread; must not block."""

    def hold(self) -> bool:
        """Begin no further transaction until `go_on`; tell whether none is under way. Any thread; must not block."""
        return True

    def go_on(self) -> None:  # noqa: B027 - not every delivery has transactions
        """Let transactions begin again. Any thread; must not block."""

    def assigned(self) -> None:  # noqa: B027 - the same
        """Note that partitions were assigned, perhaps because their last holder died. Must not block."""

    @abstractmethod
    def finish(self, timeout_s: float) -> None:
        """Commit what there is to commit, and wait for it, for `timeout_s` at most."""

    @abstractmethod
    def close(self, timeout_s: float) -> None:
        """Let the connection go, for `timeout_s` at most; closing twice is harmless."""
