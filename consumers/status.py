"""A worker's report about itself, once a second and at the end, on the status topic."""

import logging
from collections.abc import Sequence
from typing import Final

from consumers.agreement import Agreement
from consumers.counts import Counts
from consumers.device_load import DeviceLoad
from consumers.dispatcher import Dispatcher
from consumers.loss_horizon import Retention
from consumers.patience import Awaited
from consumers.status_publisher import StatusPublisher
from consumers.subscription import FrameSubscription
from consumers.telemetry import ConsumerTelemetry
from consumers.unread import UnreadFrames
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.statistics import StepStatistics
from messaging.errors import MessageError, MessagingError
from messaging.frame import Frame
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import PartitionStatus, ShadowStatus, StepStatus, WorkerStatus, read_status, write_status
from messaging.timestamps import format_us, now_us
from messaging.topics import topic_settings

log = logging.getLogger(__name__)

_INTERVAL_S: Final = 1.0
#: Anybody may write a status; what claims more partitions than this is not believed.
_MAX_PARTITIONS: Final = 10_000


class StatusReporter:
    """Puts the report together and sends it; the next one waits until the broker has the last."""

    def __init__(
        self,
        topic: str,
        publisher: StatusPublisher,
        frames: FrameSubscription,
        pipeline: Pipeline,
        counts: Counts,
        load: DeviceLoad,
        telemetry: ConsumerTelemetry,
    ) -> None:
        """Remember what to report on."""
        self._topic = topic
        self._publisher = publisher
        self._frames = frames
        self._pipeline = pipeline
        self._counts = counts
        self._load = load
        self._telemetry = telemetry
        self._unread = UnreadFrames()
        self._number = 0
        self._next_s = 0.0
        self._state = ""
        self._first_offsets: dict[int, int] = {}
        self._previous = (0.0, 0.0)
        self._is_on_its_way = False
        #: Share of the last second in which the device had work, 0-1.
        self.utilisation = 0.0

    def recall(self) -> None:
        """Take over where the group's duty began from the reports of its earlier workers, and ask what is kept for it.

        Raises:
            MessagingError: The status topic cannot be read.
        """
        identity = self._publisher.identity
        with TopicReader(self._publisher.cluster, self._topic, from_beginning=True) as reader:
            for record in reader.read_to_end():
                try:
                    status = read_status(record.value or b"")
                except MessageError:
                    continue  # a tombstone, or somebody else's
                if not isinstance(status, WorkerStatus) or status.group != identity.group:
                    continue
                if status.frames_topic == self._frames.topic and len(status.first_offsets) <= _MAX_PARTITIONS:
                    for partition, offset in status.first_offsets.items():
                        if partition.isascii() and partition.isdigit() and int(partition) < _MAX_PARTITIONS:
                            self.seen(int(partition), offset)

        self._unread.expect(retention_of(self._publisher.cluster, self._frames.topic))

    def read(self, frames: Sequence[Frame]) -> None:
        """Note frames that were polled."""
        for frame in self._unread.read(frames):
            self.seen(frame.partition, frame.offset)

    def seen(self, partition: int, offset: int) -> None:
        """Note an offset of the group's; the lowest of a partition is where its duty begins."""
        self._first_offsets[partition] = min(self._first_offsets.get(partition, offset), offset)

    def is_due(self, now_s: float, state: str) -> bool:
        """Tell whether a second has passed, or the state has changed, and the broker has the last report."""
        return not self._is_on_its_way and (now_s >= self._next_s or state != self._state)

    @property
    def awaited(self) -> Awaited | None:
        """The acknowledgement of a report: where nothing else is waited for, it shows that Kafka is away."""
        return Awaited("Kafka has not acknowledged a status", self._number) if self._is_on_its_way else None

    def report(self, now_s: float, state: str, dispatcher: Dispatcher, frames_in_flight: int) -> None:
        """Send a report now."""
        self._next_s = now_s + _INTERVAL_S
        self._state = state
        self._number += 1
        made_at_us = now_us()
        status = self._status(now_s, state, dispatcher, frames_in_flight, made_at_us)
        self._is_on_its_way = True
        self._publisher.send(self._topic, write_status(status, self._number, made_at_us), self._delivered)

    def _delivered(self) -> None:
        self._is_on_its_way = False

    def _status(
        self, now_s: float, state: str, dispatcher: Dispatcher, frames_in_flight: int, made_at_us: int
    ) -> WorkerStatus:
        identity, counts, spec = self._publisher.identity, self._counts, dispatcher.model.spec
        frames = counts.frames
        before_s, busy_before_s = self._previous
        self._previous = (now_s, self._load.busy_s(now_s))
        busy = (self._previous[1] - busy_before_s) / max((now_s - before_s) * self._load.slots, 1e-6)
        self.utilisation = round(min(busy, 1.0), 3)
        positions = {} if state in ("stopped", "failed") else self._frames.positions()
        for partition, (position, _) in positions.items():
            if position is not None:
                self.seen(partition, position)
        unread = self._unread.look(now_s, made_at_us, positions)
        statistics = self._pipeline.statistics()
        self._telemetry.unread(unread)
        return WorkerStatus(
            group=identity.group,
            host=identity.host,
            device=identity.device,
            slot=identity.slot,
            state=state,
            frames_topic=self._frames.topic,
            partitions=tuple(
                PartitionStatus(
                    partition,
                    self._first_offsets.get(partition),
                    position,
                    unread[partition].lag,
                    unread[partition].loss_horizon_s,
                )
                for partition, (position, _) in sorted(positions.items())
            ),
            first_offsets={str(partition): offset for partition, offset in sorted(self._first_offsets.items())},
            model=spec.name,
            model_digest=spec.digest,
            model_changes=counts.model_changes,
            model_failures=counts.model_failures,
            shadow=_shadow(counts.shadow),
            backend=identity.backend,
            simulated=counts.is_simulated,
            classified=frames["classified"] + frames["timed"],
            skipped=frames["skipped"],
            dead_lettered=frames["dead-lettered"],
            waiting_frames=dispatcher.waiting,
            frames_in_flight=frames_in_flight,
            frames_lost=counts.lost_to_retention,
            batch_size_mean=round(counts.mean_batch_size, 3),
            utilisation=self.utilisation,
            steps=tuple(_step(step) for step in statistics),
            bottleneck=statistics.bottleneck or "",
            updated_at=format_us(made_at_us),
        )


def retention_of(cluster: Kafka, topic: str) -> Retention:
    """Ask what a topic keeps; where the broker does not say, nothing is known to be deleted."""
    try:
        settings = topic_settings(cluster, topic)
        if "delete" not in settings["cleanup.policy"]:
            return Retention()
        time_ms, size_bytes = int(settings["retention.ms"]), int(settings["retention.bytes"])
    except (MessagingError, KeyError, ValueError) as exc:
        log.warning(
            "no warning will come before retention deletes unread frames of %s: %s; allow this user to DescribeConfigs",
            topic,
            exc,
        )
        return Retention()
    return Retention(time_ms / 1000 if time_ms >= 0 else None, size_bytes if size_bytes >= 0 else None)


def _shadow(agreement: Agreement | None) -> ShadowStatus | None:
    if agreement is None:
        return None
    return ShadowStatus(agreement.model, agreement.digest, **agreement.counts())


def _step(step: StepStatistics) -> StepStatus:
    count = max(step.executions, 1)
    return StepStatus(
        step.name,
        step.executions,
        round(step.execution_s / count * 1000, 3),
        round(step.waiting_s / count * 1000, 3),
    )
