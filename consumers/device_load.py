"""How many batches are on the device, and how much of its time they take. Pure: `now_s` is an argument."""

from threading import Lock


class DeviceLoad:
    """Counts batches that were handed to the device and did not come back yet. Any thread may call."""

    def __init__(self, slots: int) -> None:
        """Begin with none.

        Args:
            slots: Batches that the device works on at a time; those beyond wait for a place.
        """
        self.slots = max(slots, 1)
        self._batches = 0
        self._busy_s = 0.0
        self._since_s = 0.0
        self._lock = Lock()

    def begin(self, now_s: float) -> None:
        """Note a batch that is handed over."""
        self._change(1, now_s)

    def end(self, now_s: float) -> None:
        """Note one that came back, or failed."""
        self._change(-1, now_s)

    @property
    def batches(self) -> int:
        """Batches on the device, or waiting for a place on it."""
        return self._batches

    def busy_s(self, now_s: float) -> float:
        """Return how long the device's places have had batches so far, all places together."""
        return self._change(0, now_s)

    def _change(self, by: int, now_s: float) -> float:
        with self._lock:
            self._busy_s += min(self._batches, self.slots) * max(now_s - self._since_s, 0.0)
            self._since_s = max(now_s, self._since_s)
            self._batches += by
            return self._busy_s
