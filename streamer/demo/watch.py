"""What the processes say about themselves on the status topic."""

import time
from collections.abc import Mapping

from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import CameraStatus, WorkerStatus
from streamer.watch.statuses import Statuses


class StatusWatch:
    """Follows the status topic; keeps the newest status of each camera and worker."""

    def __init__(self, cluster: Kafka, topic: str) -> None:
        """Remember what to read."""
        self._reader = TopicReader(cluster, topic, from_beginning=True)
        self._statuses = Statuses()

    @property
    def cameras(self) -> Mapping[str, CameraStatus]:
        """The cameras by name."""
        return {name: said.status for name, said in self._statuses.cameras.items() if said.status is not None}

    @property
    def workers(self) -> Mapping[str, WorkerStatus]:
        """The workers, by what their statuses are kept under."""
        return {name: said.status for name, said in self._statuses.workers.items() if said.status is not None}

    def open(self) -> None:
        """Connect; see `TopicReader.open`."""
        self._reader.open()

    def update(self, timeout_s: float) -> None:
        """Take in what is new, waiting up to `timeout_s` for it."""
        for record in self._reader.poll(timeout_s):
            try:
                self._statuses.take(record, time.time())
            except MessageError:
                continue  # somebody else's

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()
