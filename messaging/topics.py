"""The four topics and their settings."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

import kafka.errors
from kafka.admin import ConfigResource, ConfigResourceType

from messaging.errors import BrokerUnavailableError, TopicError
from messaging.kafka import MAX_MESSAGE_BYTES, Kafka

Role = Literal["frames", "results", "dead-letters", "status"]

_MIB = 1024 * 1024
#: Java's Long.MAX_VALUE: a camera whose clock is ahead is not refused (the default allows one hour).
_NO_LIMIT_MS = "9223372036854775807"
_SEGMENTS_PER_RETENTION = 6
#: Kafka's own default, and near the largest that it takes.
_MAX_SEGMENT_BYTES = 1024 * _MIB


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What the topics are called on this cluster."""

    frames: str = "streamer.frames"
    results: str = "streamer.results"
    dead_letters: str = "streamer.dead-letters"
    status: str = "streamer.status"

    def all(self) -> tuple[str, str, str, str]:
        """Return the four names."""
        return (self.frames, self.results, self.dead_letters, self.status)


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """How the topics are made: frames live for minutes, results for days.

    Attributes:
        partitions: Of the frames and the results topic; the most workers that can share a group.
        replication: Copies of each partition; None leaves it to the broker.
    """

    names: TopicNames = field(default_factory=TopicNames)
    partitions: int = 8
    replication: int | None = None
    frames_retention: timedelta = timedelta(minutes=10)
    frames_retention_bytes: int = 2048 * _MIB
    results_retention: timedelta = timedelta(days=7)
    results_retention_bytes: int = 1024 * _MIB

    def settings(self) -> dict[str, dict[str, str]]:
        """Return each topic's name with its settings.

        `segment.ms` and `segment.bytes` are set with the retention, because the active segment of a topic is
        never deleted: at the defaults (7 days, 1 GiB) a live stream keeps far more than it was told to.
        """
        shared = {
            "message.timestamp.type": "CreateTime",
            "message.timestamp.after.max.ms": _NO_LIMIT_MS,
            "max.message.bytes": str(MAX_MESSAGE_BYTES),
        }
        days = _retention(self.results_retention, self.results_retention_bytes)
        return {
            self.names.frames: shared | _retention(self.frames_retention, self.frames_retention_bytes),
            self.names.results: shared | days,
            self.names.dead_letters: shared | days,
            self.names.status: shared
            | {"cleanup.policy": "compact", "segment.ms": "600000", "segment.bytes": str(16 * _MIB)},
        }

    def partitions_of(self, topic: str) -> int:
        """Return how many partitions `topic` gets."""
        return self.partitions if topic in (self.names.frames, self.names.results) else 1


def _retention(time: timedelta, size_bytes: int) -> dict[str, str]:
    milliseconds = time // timedelta(milliseconds=1)
    return {
        "cleanup.policy": "delete",
        "retention.ms": str(milliseconds),
        "retention.bytes": str(size_bytes),
        "segment.ms": str(max(milliseconds // _SEGMENTS_PER_RETENTION, 1000)),
        "segment.bytes": str(min(max(size_bytes // _SEGMENTS_PER_RETENTION, 16 * _MIB), _MAX_SEGMENT_BYTES)),
    }


def create_topics(kafka_cluster: Kafka, plan: TopicPlan) -> list[str]:
    """Create those of the topics that are missing, and return the names of those that this call created.

    Raises:
        BrokerUnavailableError: No broker answers.
        TopicError: The broker refuses; the message says what to run and who may.
    """
    with closing(kafka_cluster.admin()) as admin:
        try:
            return _create_missing(admin, plan)
        except kafka.errors.KafkaTimeoutError as exc:
            raise BrokerUnavailableError.at(kafka_cluster.bootstrap_servers) from exc
        except kafka.errors.KafkaError as exc:
            raise TopicError(
                f"cannot create the topics at {kafka_cluster.bootstrap_servers} ({type(exc).__name__}): "
                "run `streamer topics create` as a user that may, or name existing topics with --frames-topic …"
            ) from exc


def _create_missing(admin: Any, plan: TopicPlan) -> list[str]:
    existing = set(admin.list_topics())
    missing = {
        name: {
            "num_partitions": plan.partitions_of(name),
            "replication_factor": plan.replication if plan.replication is not None else -1,
            "configs": settings,
        }
        for name, settings in plan.settings().items()
        if name not in existing
    }
    if not missing:
        return []
    response = admin.create_topics(missing, raise_errors=False)
    created = []
    for topic in response["topics"]:
        error = kafka.errors.for_code(topic["error_code"])
        if error is kafka.errors.NoError:
            created.append(topic["name"])
        elif error is not kafka.errors.TopicAlreadyExistsError:  # somebody else was faster: as good
            why = topic.get("error_message") or error.__name__
            is_denied = error is kafka.errors.TopicAuthorizationFailedError
            raise TopicError(
                f"topic {topic['name']} is missing and cannot be created ({why}): "
                "run `streamer topics create` as a user that may"
                f"{', or, if it is there, allow this one to Describe it' if is_denied else ''}"
            )
    admin.wait_for_topics(list(missing))
    return [name for name in missing if name in created]


@dataclass(frozen=True, slots=True)
class TopicDescription:
    """A topic as the broker has it. `settings` are those that differ from the broker's defaults."""

    name: str
    partitions: int
    replication: int
    settings: Mapping[str, str]


def describe_topics(kafka_cluster: Kafka, names: TopicNames) -> list[TopicDescription]:
    """Describe those of the four topics that exist.

    Raises:
        BrokerUnavailableError: No broker answers.
        TopicError: The broker refuses.
    """
    with closing(kafka_cluster.admin()) as admin:
        try:
            existing = [name for name in names.all() if name in set(admin.list_topics())]
            if not existing:
                return []
            topics = {topic["name"]: topic["partitions"] for topic in admin.describe_topics(existing)}
            resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in existing]
            settings = admin.describe_configs(resources)["topic"]
        except kafka.errors.KafkaTimeoutError as exc:
            raise BrokerUnavailableError.at(kafka_cluster.bootstrap_servers) from exc
        except kafka.errors.KafkaError as exc:
            raise TopicError(f"cannot describe the topics at {kafka_cluster.bootstrap_servers}: {exc}") from exc
    return [
        TopicDescription(
            name=name,
            partitions=len(topics[name]),
            replication=min((len(partition["replica_nodes"]) for partition in topics[name]), default=0),
            settings={key: str(entry["value"]) for key, entry in sorted(settings.get(name, {}).items())},
        )
        for name in existing
    ]


def topic_settings(kafka_cluster: Kafka, topic: str) -> dict[str, str]:
    """Return all settings of a topic, the broker's defaults included.

    Raises:
        BrokerUnavailableError: No broker answers.
        TopicError: The broker does not say.
    """
    with closing(kafka_cluster.admin()) as admin:
        try:
            resource = ConfigResource(ConfigResourceType.TOPIC, topic)
            settings = admin.describe_configs([resource], config_filter="all")["topic"][topic]
        except kafka.errors.KafkaTimeoutError as exc:
            raise BrokerUnavailableError.at(kafka_cluster.bootstrap_servers) from exc
        except (kafka.errors.KafkaError, KeyError) as exc:
            raise TopicError(f"cannot read the settings of topic {topic}: {exc}") from exc
    return {key: str(entry["value"]) for key, entry in settings.items()}


def max_message_bytes(kafka_cluster: Kafka, topic: str) -> int:
    """Return the largest message that a topic takes, and that our clients send; ours where the broker does not say.

    Raises:
        BrokerUnavailableError: No broker answers.
    """
    try:
        return min(int(topic_settings(kafka_cluster, topic)["max.message.bytes"]), MAX_MESSAGE_BYTES)
    except (TopicError, KeyError, ValueError):
        return MAX_MESSAGE_BYTES
