"""Checks that ask the broker."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property

from messaging.errors import MessageError
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import read_status, status_key
from messaging.timestamps import now_us, parse_us
from messaging.topics import TopicPlan, describe_topics
from streamer.doctor.check import Finding
from streamer.doctor.clocks import Report, clock_offsets, offset_finding
from streamer.doctor.topics import topic_findings

#: So many of the newest statuses are read: 400 cameras say this much in ten seconds.
_STATUSES = 4000


class KafkaChecks:
    """The checks, which share what they learn."""

    def __init__(self, find: Callable[[], Kafka], plan: TopicPlan) -> None:
        """Remember whom to ask.

        Args:
            find: Says where the cluster is and how to get in; an error of it is what the first check finds.
            plan: How the topics should be.
        """
        self._find = find
        self._plan = plan
        self._brokers = 1

    @cached_property
    def _cluster(self) -> Kafka:
        return replace(self._find(), answer_timeout_s=0.0)  # that it is slow is worth knowing

    def broker(self) -> Sequence[Finding]:
        """Connect, and ask who is there."""
        with closing(self._cluster.admin()) as admin:
            brokers = admin.describe_cluster()["brokers"]
            self._brokers = len(brokers)
            speaks = admin.get_broker_version_data(brokers[0]["broker_id"]).broker_version
        version = ".".join(str(part) for part in speaks)
        number = "1 broker" if len(brokers) == 1 else f"{len(brokers)} brokers"
        found = f"{number} at {self._cluster.bootstrap_servers}, with the protocol of Kafka {version}"
        return [Finding("broker", "ok", found)]

    def topics(self) -> Sequence[Finding]:
        """Compare the topics with how we would make them."""
        topics = describe_topics(self._cluster, self._plan.names)
        return topic_findings(self._plan, topics, self._brokers, self._cluster.bootstrap_servers)

    def clocks(self) -> Sequence[Finding]:
        """Compare the clocks of those who report themselves."""
        names = self._plan.names
        if names.status not in {topic.name for topic in describe_topics(self._cluster, names)}:
            return [offset_finding({}, 0)]
        reports: list[Report] = []
        with TopicReader(self._cluster, names.status, from_beginning=True) as reader:
            starts = reader.start_offsets()
            for partition, end in reader.end_offsets().items():
                reader.seek(partition, max(end - _STATUSES, starts[partition]))
            for record in reader.read_to_end(10.0):
                try:
                    status = read_status(record.value or b"")
                    reports.append(Report(status_key(status), parse_us(status.updated_at)))
                except (MessageError, ValueError, OverflowError):
                    continue  # somebody else's
        return [offset_finding(clock_offsets(reports, now_us()), len({report.subject for report in reports}))]
