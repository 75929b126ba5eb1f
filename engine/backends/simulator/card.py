"""When a card takes batches up and finishes them: arithmetic alone, no clock."""

import math
from collections import deque
from typing import NamedTuple


class Turn(NamedTuple):
    """When what happens to a batch, on the clock of those who hand it over.

    Attributes:
        taken_at_s: The card takes it in: one of its places is free.
        served_at_s: An instance begins to compute it.
        finished_at_s: It is done.
    """

    taken_at_s: float
    served_at_s: float
    finished_at_s: float


class Card:
    """Equal instances, each of which computes one batch after the other, in the order of arrival.

    Every batch takes equally long, so batches finish in the order in which they arrive, and batch n follows batch
    n - `instances` on its instance. Times are absolute: a batch that waits begins when the one before it ends, however
    late somebody looks at the clock, and so no lateness adds up.
    """

    def __init__(self, instances: int, service_time_s: float, set_size: int) -> None:
        self.instances = instances
        self.service_time_s = service_time_s
        self.slots = instances * set_size
        # When the last batches finish, the oldest first: one for each instance, and one for each place.
        self._instances_free_s = deque([-math.inf] * instances, maxlen=instances)
        self._places_free_s = deque([-math.inf] * self.slots, maxlen=self.slots)

    @property
    def batches_per_s(self) -> float:
        """The rate at which it finishes batches as long as enough of them wait."""
        return self.instances / self.service_time_s

    def begin(self, now_s: float) -> Turn:
        """Hand a batch over.

        Args:
            now_s: Not before that of the last one.
        """
        taken_at_s = max(now_s, self._places_free_s[0])
        served_at_s = max(now_s, self._instances_free_s[0])
        finished_at_s = served_at_s + self.service_time_s
        self._places_free_s.append(finished_at_s)
        self._instances_free_s.append(finished_at_s)
        return Turn(taken_at_s, served_at_s, finished_at_s)
