"""What some cameras and one group's workers say of themselves on the status topic, and what is left for the group."""

import time
from collections.abc import Collection, Mapping
from contextlib import closing

from kafka import TopicPartition

from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import CameraStatus, WorkerStatus
from streamer.watch.statuses import Statuses


class StatusWatch:
    """Follows the status topic; keeps the newest status of some cameras, and of one group's workers."""

    def __init__(self, cluster: Kafka, topic: str, cameras: Collection[str], group: str) -> None:
        """Remember what to read, and who matters: others may use the same Kafka."""
        self._reader = TopicReader(cluster, topic, from_beginning=True)
        self._statuses = Statuses()
        self._names = frozenset(cameras)
        self._group = group

    @property
    def cameras(self) -> Mapping[str, CameraStatus]:
        """Those of the cameras that have reported, by name."""
        said = ((name, each.status) for name, each in self._statuses.cameras.items() if name in self._names)
        return {name: status for name, status in said if status is not None}

    @property
    def workers(self) -> Mapping[str, WorkerStatus]:
        """The group's workers, by what their statuses are kept under."""
        said = ((name, each.status) for name, each in self._statuses.workers.items())
        return {name: status for name, status in said if status is not None and status.group == self._group}

    @property
    def captured(self) -> int:
        """Frames that the cameras have captured."""
        return sum(camera.captured for camera in self.cameras.values())

    @property
    def done(self) -> int:
        """Frames that the group has an outcome of, of whatever camera."""
        return sum(worker.classified + worker.skipped + worker.dead_lettered for worker in self.workers.values())

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


class Backlog:
    """What stands in the frames topic when it is first asked about, until a group has committed all of that."""

    def __init__(self, cluster: Kafka, frames_topic: str, group: str) -> None:
        """Remember whose it is."""
        self._cluster = cluster
        self._topic = frames_topic
        self._group = group
        self._ends: dict[TopicPartition, int] | None = None

    def is_done(self) -> bool:
        """Ask whether the group has committed it; what others send later does not matter.

        Raises:
            BrokerUnavailableError: No broker answers.
        """
        if self._ends is None:
            with TopicReader(self._cluster, self._topic, from_beginning=False) as reader:
                ends = reader.end_offsets()
            self._ends = {TopicPartition(self._topic, partition): end for partition, end in ends.items() if end > 0}
        if not self._ends:
            return True
        with closing(self._cluster.admin()) as admin:
            committed = admin.list_group_offsets({self._group: list(self._ends)}).get(self._group, {})
        return all(
            partition in committed and committed[partition].offset >= end for partition, end in self._ends.items()
        )
