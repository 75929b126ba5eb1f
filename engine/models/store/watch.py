"""Following a model of the store: which version is current, for the price of one look at a file."""

import os

from engine.models.store.records import ModelVersion
from engine.models.store.store import ModelStore


class CurrentVersion:
    """The current version of one name, looked at again and again."""

    def __init__(self, store: ModelStore, name: str) -> None:
        """Remember whose; nothing is looked at yet."""
        self.store = store
        self.name = name
        self._seen: tuple[int, int, int] | None = None

    def look(self) -> ModelVersion | None:
        """Return the current version, the first time and where the store noted anything since; else None.

        Raises:
            ModelNotFoundError: The model is gone: it was deleted or renamed. Said once.
            StoreError: Its note, or the version's file, cannot be used. Said once for each note.
        """
        seen = self._stamp()
        if seen == self._seen:
            return None
        self._seen = seen
        return self.store.get(self.name).current

    def _stamp(self) -> tuple[int, int, int] | None:
        """Return what tells one note from the next, which always is another file."""
        try:
            status = os.stat(self.store.sheet_of(self.name))  # noqa: PTH116 - a tenth of the time of Path.stat
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns, status.st_size
