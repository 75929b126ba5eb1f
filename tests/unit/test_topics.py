"""How the topics are to be made; that the broker takes it is shown in `tests/integration/test_topics_command.py`."""

from datetime import timedelta

import pytest

from messaging.kafka import MAX_MESSAGE_BYTES
from messaging.topics import TopicNames, TopicPlan

MIB = 1024 * 1024


def frames_settings(plan: TopicPlan) -> dict[str, str]:
    return plan.settings()[plan.names.frames]


def test_the_default_names_of_the_contract() -> None:
    assert TopicNames().all() == ("streamer.frames", "streamer.results", "streamer.dead-letters", "streamer.status")


def test_every_topic_takes_large_frames_and_clocks_that_are_ahead() -> None:
    assert MAX_MESSAGE_BYTES == 8 * MIB
    for settings in TopicPlan().settings().values():
        assert settings["max.message.bytes"] == str(8 * MIB)
        assert settings["message.timestamp.type"] == "CreateTime"
        assert settings["message.timestamp.after.max.ms"] == str(2**63 - 1)


@pytest.mark.parametrize(
    "retention", [timedelta(minutes=10), timedelta(days=7), timedelta(seconds=6), timedelta(milliseconds=6006)]
)
def test_a_segment_is_a_sixth_of_the_retention(retention: timedelta) -> None:
    settings = frames_settings(TopicPlan(frames_retention=retention))
    milliseconds = retention // timedelta(milliseconds=1)
    assert settings["retention.ms"] == str(milliseconds)
    assert settings["segment.ms"] == str(milliseconds // 6)
    assert settings["cleanup.policy"] == "delete"


def test_a_short_retention_does_not_make_a_segment_of_every_frame() -> None:
    assert frames_settings(TopicPlan(frames_retention=timedelta(seconds=1)))["segment.ms"] == "1000"


@pytest.mark.parametrize("retention_ms", [1001, 4003, 9_999_999])
def test_no_millisecond_is_lost(retention_ms: int) -> None:
    plan = TopicPlan(frames_retention=timedelta(milliseconds=retention_ms))
    assert frames_settings(plan)["retention.ms"] == str(retention_ms)


@pytest.mark.parametrize(
    ("retention_bytes", "segment_bytes"),
    [
        (2048 * MIB, 2048 * MIB // 6),
        (MIB, 16 * MIB),
        # `segment.bytes` is an int of 32 bits: a sixth of this is refused by the broker.
        (1024 * 1024 * MIB, 1024 * MIB),
    ],
)
def test_the_retention_in_bytes(retention_bytes: int, segment_bytes: int) -> None:
    settings = frames_settings(TopicPlan(frames_retention_bytes=retention_bytes))
    assert settings["retention.bytes"] == str(retention_bytes)
    assert settings["segment.bytes"] == str(segment_bytes)
    assert int(settings["segment.bytes"]) < 2**31


def test_results_and_dead_letters_are_kept_longer_and_the_status_is_compacted() -> None:
    plan = TopicPlan()
    settings = plan.settings()
    assert list(settings) == list(plan.names.all())
    week_ms = str(7 * 24 * 3600 * 1000)
    assert [settings[name]["retention.ms"] for name in (plan.names.results, plan.names.dead_letters)] == [week_ms] * 2
    status = settings[plan.names.status]
    assert status["cleanup.policy"] == "compact"
    assert "retention.ms" not in status


def test_a_cameras_results_stand_where_its_frames_do() -> None:
    plan = TopicPlan(partitions=12)
    assert [plan.partitions_of(name) for name in plan.names.all()] == [12, 12, 1, 1]
