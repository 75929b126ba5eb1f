"""Lining up what kafka-python has fetched; that it is the real fetcher's line, the fairness tests show."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from kafka import TopicPartition
from kafka.future import Future

from consumers.turns import Turns


class Fetch(NamedTuple):
    """One fetch of a partition, begun or not."""

    topic_partition: TopicPartition
    number: int = 0


class Position(NamedTuple):
    offset: int


class State(NamedTuple):
    """A partition that is read: where, and where its log ends."""

    position: Position | None
    highwater: int | None


@dataclass
class Subscriptions:
    assignment: dict[TopicPartition, State] = field(default_factory=dict)


@dataclass
class Fetcher:
    """The three places where kafka-python keeps what it fetched."""

    _next_partition_records: Any = None
    _paused_partition_records: dict[TopicPartition, Any] = field(default_factory=dict)
    _completed_fetches: deque[Any] = field(default_factory=deque)
    asked: list[str] = field(default_factory=list)

    def send_fetches(self) -> None:
        self.asked.append("and waited")

    def _send_fetches_async(self) -> None:
        self.asked.append("aside")

    @property
    def _manager(self) -> "Fetcher":
        return self

    def call_soon(self, call: Callable[[], None]) -> Future:
        call()
        return self.scheduled

    scheduled: Future = field(default_factory=Future)
    _subscriptions: Subscriptions = field(default_factory=Subscriptions)


@dataclass
class Consumer:
    _fetcher: Fetcher


def fetch(partition: int, number: int = 0) -> Fetch:
    return Fetch(TopicPartition("frames", partition), number)


def lined_up(fetcher: Fetcher, **held: int) -> tuple[int, Any]:
    count = Turns(Consumer(fetcher)).line_up({int(name[1:]): frames for name, frames in held.items()})
    return count, fetcher._next_partition_records


def test_the_fetch_of_the_partition_that_holds_least_is_next() -> None:
    fetcher = Fetcher(fetch(0), {fetch(1).topic_partition: fetch(1)}, deque([fetch(2)]))
    assert lined_up(fetcher, p0=9, p1=3, p2=5) == (3, fetch(1))
    assert set(fetcher._paused_partition_records.values()) == {fetch(0)}
    assert lined_up(fetcher, p0=9, p1=30, p2=50) == (3, fetch(0)), "and what was begun waits its turn"


def test_one_that_is_not_begun_is_begun_by_kafka_python() -> None:
    fetcher = Fetcher(fetch(0), {}, deque([fetch(1), fetch(2), fetch(2, 1), fetch(3)]))
    count, current = lined_up(fetcher, p0=1, p1=1, p2=0, p3=1)
    assert count == 4
    assert not current
    assert current is not None, "or the first that was parked would be taken"
    current.drain()
    assert list(fetcher._completed_fetches) == [fetch(2), fetch(1), fetch(2, 1), fetch(3)]


def test_what_was_begun_of_a_partition_comes_before_its_later_fetches() -> None:
    fetcher = Fetcher(fetch(0), {}, deque([fetch(0, 1)]))
    assert lined_up(fetcher, p0=0) == (1, fetch(0))
    assert list(fetcher._completed_fetches) == [fetch(0, 1)]


def test_nothing_fetched_is_left_as_it_is() -> None:
    assert lined_up(Fetcher()) == (0, None)
    assert lined_up(Fetcher(fetch(0))) == (1, fetch(0)), "of a partition that is held no more, too"


def reading(**ends: int | None) -> Subscriptions:
    """Partitions that are read at offset 5, and where their logs end."""
    states = {TopicPartition("frames", int(name[1:])): State(Position(5), end) for name, end in ends.items()}
    return Subscriptions(states)


def test_more_is_asked_for_aside_while_there_is_something_left_and_once_at_a_time() -> None:
    fetcher = Fetcher(fetch(0), _subscriptions=reading(p0=9, p1=6))
    Turns(Consumer(fetcher))
    fetcher.send_fetches()
    fetcher.send_fetches()
    assert fetcher.asked == ["aside"], "the first is not done"
    fetcher.scheduled.success(None)
    fetcher.send_fetches()
    assert fetcher.asked == ["aside", "aside"]


def test_partitions_that_end_where_they_are_read_are_not_asked_for_alone_again_and_again() -> None:
    """The broker waits for their first record, and gives nothing of the others meanwhile."""
    fetcher = Fetcher(fetch(0), _subscriptions=reading(p0=9, p1=5, p2=None))
    fetcher.scheduled.success(None)
    Turns(Consumer(fetcher))
    for _ in range(50):
        fetcher.send_fetches()
    assert fetcher.asked == ["aside"]


def test_more_is_waited_for_where_nothing_is_left() -> None:
    fetcher = Fetcher()
    Turns(Consumer(fetcher))
    fetcher.send_fetches()
    assert fetcher.asked == ["and waited"]
