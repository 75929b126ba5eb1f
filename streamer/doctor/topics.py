"""Whether the topics are fit for frames: decided from what the broker says of them."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from config.types import format_duration
from messaging.topics import TopicDescription, TopicPlan
from streamer.doctor.check import Finding, State

#: What a topic has where nobody said anything. Source: Kafka's documentation, "Topic Configs".
_DEFAULTS = {
    "cleanup.policy": "delete",
    "max.message.bytes": str(1024 * 1024 + 12),
    "message.timestamp.type": "CreateTime",
    "message.timestamp.after.max.ms": "3600000",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.ms": "604800000",
    "segment.bytes": str(1024 * 1024 * 1024),
}
_HOUR_MS = 3_600_000


class _Fault(NamedTuple):
    """Something about a topic, with the settings that mend it."""

    state: State
    text: str
    settings: tuple[str, ...] = ()


def topic_findings(
    plan: TopicPlan, topics: Sequence[TopicDescription], brokers: int, bootstrap_servers: str
) -> list[Finding]:
    """Judge the topics.

    Args:
        plan: What they are called, and how we would make them.
        topics: As the broker has them; those that are missing are missing here.
        brokers: How many there are in the cluster.
        bootstrap_servers: For the command that mends a topic.
    """
    found = {topic.name: topic for topic in topics}
    findings = []
    for name, wanted in plan.settings().items():
        if name not in found:
            mend = "run `streamer topics create`"
            findings.append(Finding(f"topic {name}", "warn", "missing; it is created when it is needed", mend))
            continue
        topic = found[name]
        faults = list(_faults(plan, topic, wanted, brokers))
        if not faults:
            findings.append(Finding(f"topic {name}", "ok", _fits(topic, wanted)))
            continue
        worst: State = "fail" if any(fault.state == "fail" for fault in faults) else "warn"
        settings = [setting for fault in faults for setting in fault.settings]
        findings.append(
            Finding(
                f"topic {name}",
                worst,
                "; ".join(fault.text for fault in faults),
                _mend(name, {setting: wanted[setting] for setting in settings}, bootstrap_servers),
            )
        )
    return findings


def _fits(topic: TopicDescription, wanted: Mapping[str, str]) -> str:
    number = "1 partition" if topic.partitions == 1 else f"{topic.partitions} partitions"
    have = _DEFAULTS | dict(topic.settings)
    if "compact" in have["cleanup.policy"]:
        return f"{number}, compacted"
    kept, planned = _number(have, "retention.ms"), int(wanted["retention.ms"])
    other = "" if kept == planned else f", where the settings here say {_duration(planned)}"
    return f"{number}, kept {_duration(kept)}{other}"


def _duration(milliseconds: int) -> str:
    return "for ever" if milliseconds < 0 else f"for {format_duration(timedelta(milliseconds=milliseconds))}"


def _mend(topic: str, settings: Mapping[str, str], bootstrap_servers: str) -> str:
    if not settings:
        return "move its partitions with kafka-reassign-partitions.sh"
    pairs = ",".join(f"{name}={value}" for name, value in settings.items())
    server = bootstrap_servers.split(",", maxsplit=1)[0]
    return (
        f"kafka-configs.sh --bootstrap-server {server} --alter --entity-type topics --entity-name {topic} "
        f"--add-config {pairs}"
    )


def _faults(plan: TopicPlan, topic: TopicDescription, wanted: Mapping[str, str], brokers: int) -> Iterator[_Fault]:
    have = _DEFAULTS | dict(topic.settings)
    is_compacted = "compact" in have["cleanup.policy"]
    if topic.name == plan.names.status and not is_compacted:
        yield _Fault("warn", "not compacted: the last word of a camera that is off gets lost", ("cleanup.policy",))
    if topic.name != plan.names.status and is_compacted:
        yield _Fault("fail", "compacted: Kafka throws away all but each camera's newest", ("cleanup.policy",))
    if _number(have, "max.message.bytes") < int(wanted["max.message.bytes"]):
        size = _number(have, "max.message.bytes") / 1024 / 1024
        yield _Fault("warn", f"refuses messages above {size:.1f} MiB", ("max.message.bytes",))
    if have["message.timestamp.type"] != wanted["message.timestamp.type"]:
        text = "replaces the times of capture by its own"
        yield _Fault("warn", text, ("message.timestamp.type",))
    if _number(have, "message.timestamp.after.max.ms") < int(wanted["message.timestamp.after.max.ms"]):
        hours = _number(have, "message.timestamp.after.max.ms") / _HOUR_MS
        text = f"refuses a camera whose clock is {hours:.1f} h ahead"
        yield _Fault("warn", text, ("message.timestamp.after.max.ms",))
    if not is_compacted and topic.name != plan.names.status:
        yield from _retention_faults(have)
    if topic.replication == 1 and brokers > 1:
        yield _Fault("warn", f"one copy on {brokers} brokers: the loss of one stops it")


def _retention_faults(have: Mapping[str, str]) -> Iterator[_Fault]:
    """Look for a segment that outlives the retention: what is being written to is never deleted."""
    for unit in ("ms", "bytes"):
        retention, segment = _number(have, f"retention.{unit}"), _number(have, f"segment.{unit}")
        if 0 <= retention < segment:
            text = f"keeps more than it was told: segment.{unit} is {segment}, retention.{unit} {retention}"
            yield _Fault("warn", text, (f"segment.{unit}",))


def _number(settings: Mapping[str, str], name: str) -> int:
    return int(settings[name])
