"""Whose fetched frames a poll returns next: those of the partition of which the least is held.

kafka-python returns one fetch to its end before it begins the next, which are a thousand small frames of one partition;
pausing the others costs fetches (measured: a fifth of the throughput). So its buffers are lined up before each poll.
There is no public way.
"""

import time
from collections.abc import Collection, Mapping
from typing import Any, Final

#: How long the broker may wait for the first record of what is asked for.
FETCH_MAX_WAIT_MS: Final = 100


class _Nothing:
    """Stands in line where nothing does: kafka-python then begins the next fetch."""

    def __bool__(self) -> bool:
        return False

    def drain(self) -> None:
        """Let nothing go."""


_NOTHING = _Nothing()


class Turns:
    """Lines up the fetches of one of kafka-python's consumers; for the thread that polls it."""

    def __init__(self, consumer: Any) -> None:
        """Take over when the next fetches are asked for."""
        self._fetcher = consumer._fetcher
        self._send_fetches = self._fetcher.send_fetches
        self._fetcher.send_fetches = self._fetch
        self._fetching: Any = None
        self._asked_s = 0.0

    def line_up(self, held: Mapping[int, int]) -> int:
        """Put the fetch of the partition in line of which the least is held.

        Args:
            held: Frames that are held of each partition.

        Returns:
            Of how many partitions there are fetched records.
        """
        # Fetches arrive on Kafka's I/O thread, at the right end; all else is done on this thread.
        fetcher = self._fetcher
        parked: dict[Any, Any] = fetcher._paused_partition_records  # begun
        arrived = fetcher._completed_fetches  # not begun
        current = fetcher._next_partition_records
        if current:
            parked[current.topic_partition] = current
        waiting = dict.fromkeys(parked, -1)
        for index in range(len(arrived)):
            waiting.setdefault(arrived[index].topic_partition, index)
        if not waiting:
            return 0
        chosen = min(waiting, key=lambda partition: held.get(partition.partition, 0))
        if chosen in parked:
            fetcher._next_partition_records = parked.pop(chosen)
        else:
            fetcher._next_partition_records = _NOTHING
            if (index := waiting[chosen]) > 0:
                arrived.appendleft(arrived[index])  # twice for a moment: never missing where fetches are planned
                del arrived[index + 1]
        return len(waiting)

    def _fetch(self) -> None:
        """Ask for more; kafka-python calls it in a poll that leaves no fetch which is not begun.

        Its own waits until another thread has asked, which takes milliseconds under load. That is needed only where
        nothing is left; else the next poll finds what came. And while the broker waits for the first record of
        partitions that have none, it can be asked for no other: those are asked for alone only now and then.
        """
        fetcher = self._fetcher
        begun = set(fetcher._paused_partition_records)
        if current := fetcher._next_partition_records:
            begun.add(current.topic_partition)
        if not begun:
            self._send_fetches()
            return
        now_s = time.monotonic()
        is_due = now_s - self._asked_s >= FETCH_MAX_WAIT_MS / 1000
        if (self._fetching is None or self._fetching.is_done) and (is_due or self._has_more(begun)):
            self._asked_s = now_s
            self._fetching = fetcher._manager.call_soon(fetcher._send_fetches_async)

    def _has_more(self, begun: Collection[Any]) -> bool:
        """Tell whether a partition of which nothing is left is known to have more."""
        assigned = dict(self._fetcher._subscriptions.assignment)
        return any(
            state.position is not None and state.highwater is not None and state.position.offset < state.highwater
            for partition, state in assigned.items()
            if partition not in begun
        )
