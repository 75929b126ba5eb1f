"""What the processes say about themselves on the status topic."""

from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import CameraStatus, WorkerStatus, read_status


class StatusWatch:
    """Follows the status topic; keeps the newest status of each camera and worker."""

    def __init__(self, cluster: Kafka, topic: str) -> None:
        """Remember what to read."""
        self._reader = TopicReader(cluster, topic, from_beginning=True)
        self.cameras: dict[str, CameraStatus] = {}
        self.workers: dict[str, WorkerStatus] = {}

    def open(self) -> None:
        """Connect; see `TopicReader.open`."""
        self._reader.open()

    def update(self, timeout_s: float) -> None:
        """Take in what is new, waiting up to `timeout_s` for it."""
        for record in self._reader.poll(timeout_s):
            if record.value is None:
                continue
            try:
                status = read_status(record.value)
            except MessageError:
                continue  # somebody else's
            if isinstance(status, CameraStatus):
                self.cameras[status.camera] = status
            else:
                self.workers[f"{status.group}/{status.host}/{status.device}/{status.slot}"] = status

    def close(self) -> None:
        """Let the connection go."""
        self._reader.close()
