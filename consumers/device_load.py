"""How many batches are on the device."""

from threading import Lock


class DeviceLoad:
    """Counts batches that were handed to the device and did not come back yet. Any thread may call."""

    def __init__(self) -> None:
        """Begin with none."""
        self._batches = 0
        self._lock = Lock()

    def begin(self) -> None:
        """Note a batch that is handed over."""
        with self._lock:
            self._batches += 1

    def end(self) -> None:
        """Note one that came back, or failed."""
        with self._lock:
            self._batches -= 1

    @property
    def batches(self) -> int:
        """Batches on the device."""
        return self._batches
