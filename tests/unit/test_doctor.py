"""What the doctor makes of what it is told: topics, clocks, and checks that fail or hang."""

import itertools
from dataclasses import replace
from threading import Event

import pytest

from messaging.topics import TopicDescription, TopicPlan
from streamer.doctor.check import Check, Finding, run_checks
from streamer.doctor.clocks import Report, clock_finding, clock_offsets, offset_finding
from streamer.doctor.topics import topic_findings

PLAN = TopicPlan()
SECOND_US = 1_000_000
NOW_US = 1_800_000_000 * SECOND_US


def as_planned() -> dict[str, TopicDescription]:
    return {
        name: TopicDescription(name, PLAN.partitions_of(name), 1, settings)
        for name, settings in PLAN.settings().items()
    }


def judged(changes: dict[str, str | None], topic: str = PLAN.names.frames, brokers: int = 1) -> Finding:
    """Judge the planned topics with these settings changed, or left to the broker where None."""
    topics = as_planned()
    settings = dict(topics[topic].settings) | changes
    kept = {name: value for name, value in settings.items() if value is not None}
    topics[topic] = replace(topics[topic], settings=kept)
    findings = topic_findings(PLAN, list(topics.values()), brokers, "host:9092,other:9092")
    return next(finding for finding in findings if finding.name == f"topic {topic}")


def test_topics_as_planned_are_fine() -> None:
    findings = topic_findings(PLAN, list(as_planned().values()), 1, "host:9092")
    assert [finding.state for finding in findings] == ["ok"] * 4
    assert findings[0].found == "8 partitions, kept for 10m"


def test_a_missing_topic_says_what_to_run() -> None:
    topics = as_planned()
    del topics[PLAN.names.results]
    findings = topic_findings(PLAN, list(topics.values()), 1, "host:9092")
    (missing,) = (finding for finding in findings if finding.state != "ok")
    assert (missing.name, missing.state) == ("topic streamer.results", "warn")
    assert "streamer topics create" in missing.mend


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"max.message.bytes": None}, "above 1.0 MiB"),
        ({"max.message.bytes": "100000"}, "above 0.1 MiB"),
        ({"message.timestamp.type": "LogAppendTime"}, "times of capture"),
        ({"message.timestamp.after.max.ms": None}, "1.0 h ahead"),
        ({"segment.ms": None}, "keeps more than it was told"),
        ({"segment.bytes": "9999999999"}, "keeps more than it was told"),
    ],
)
def test_a_setting_that_does_not_fit_is_named_with_its_mend(changes: dict[str, str | None], words: str) -> None:
    finding = judged(changes)
    (name,) = changes
    assert finding.state == "warn"
    assert words in finding.found
    assert finding.mend == (
        "kafka-configs.sh --bootstrap-server host:9092 --alter --entity-type topics --entity-name streamer.frames "
        f"--add-config {name}={PLAN.settings()['streamer.frames'][name]}"
    )


@pytest.mark.parametrize("topic", [PLAN.names.frames, PLAN.names.results, PLAN.names.dead_letters])
@pytest.mark.parametrize("policy", ["compact", "compact,delete"])
def test_a_compacted_topic_loses_frames(topic: str, policy: str) -> None:
    finding = judged({"cleanup.policy": policy}, topic)
    assert finding.state == "fail"
    assert "cleanup.policy=delete" in finding.mend


def test_a_status_topic_that_is_not_compacted_forgets() -> None:
    assert judged({"cleanup.policy": None}, PLAN.names.status).state == "warn"


def test_one_copy_is_too_few_where_there_are_several_brokers() -> None:
    finding = judged({}, brokers=3)
    assert finding.state == "warn"
    assert "one copy on 3 brokers" in finding.found
    assert "kafka-reassign-partitions.sh" in finding.mend


def test_another_retention_is_said_and_is_no_fault() -> None:
    finding = judged({"retention.ms": "3600000"})
    assert (finding.state, finding.found) == ("ok", "8 partitions, kept for 1h, where the settings here say for 10m")
    assert judged({"retention.ms": "-1"}).found.startswith("8 partitions, kept for ever")


def reports(*offsets_s: tuple[str, float]) -> list[Report]:
    return [Report(subject, NOW_US + round(offset * SECOND_US)) for subject, offset in offsets_s]


def test_clocks_that_agree() -> None:
    said = reports(("a", -3), ("b", -2.5), ("a", -2), ("b", -1.5), ("a", -1), ("b", 0.4))
    assert clock_offsets(said, NOW_US) == {}


def test_a_camera_that_was_switched_off_long_ago_is_not_behind() -> None:
    assert clock_offsets(reports(("off", -5000), ("a", -2), ("a", -1)), NOW_US) == {}


def test_a_status_from_the_future_is_of_a_clock_that_is_ahead() -> None:
    said = reports(("a", -2), ("ahead", 3600), ("a", -1), ("ahead", 3601), ("b", 0))
    assert clock_offsets(said, NOW_US) == {"ahead": 3601 * SECOND_US}


def test_a_status_older_than_those_before_it_is_of_a_clock_that_is_behind() -> None:
    said = reports(("a", -2), ("behind", -62), ("a", -1), ("behind", -61))
    assert clock_offsets(said, NOW_US) == {"behind": -60 * SECOND_US}


def test_the_newest_status_counts() -> None:
    said = reports(("a", -5), ("a", 3600), ("a", -1))
    assert clock_offsets(said, NOW_US) == {}


def test_those_who_disagree_are_named_the_worst_first() -> None:
    finding = offset_finding({"a": 3 * SECOND_US, "b": -90 * SECOND_US, "c": SECOND_US * 5, "d": SECOND_US * 4}, 9)
    assert finding.state == "warn"
    assert finding.found == "b is 90 s behind, c is 5 s ahead, d is 4 s ahead and 1 more"
    assert finding.mend
    assert offset_finding({}, 9).state == "ok"
    assert offset_finding({}, 0).state == "info"


def test_the_kernels_word_on_its_clock() -> None:
    assert clock_finding(0x0040, 16_000_000).state == "warn"
    assert clock_finding(0x2001, 3_000) == Finding("clock", "ok", "kept right, to 3 ms at worst")


def finding(name: str) -> list[Finding]:
    return [Finding(name, "ok", "fine")]


def test_a_check_that_fails_stops_no_other() -> None:
    def fail() -> list[Finding]:
        raise ZeroDivisionError("by\nnought")

    checks = [Check("bad", fail, mend="mend it"), Check("good", lambda: finding("good"))]
    bad, good = run_checks(checks)
    assert bad == Finding("bad", "fail", "ZeroDivisionError('by\\nnought')", "mend it")
    assert good.state == "ok"


def test_an_error_of_ours_does_not_say_twice_what_to_do() -> None:
    class OurError(Exception):
        exit_code = 1

    def fail() -> list[Finding]:
        raise OurError("nothing answers: start it")

    (found,) = run_checks([Check("bad", fail, mend="start it")])
    assert (found.found, found.mend) == ("nothing answers", "start it")


def test_a_check_that_hangs_is_given_up() -> None:
    release = Event()

    def hang() -> list[Finding]:
        release.wait()
        return finding("hang")

    try:
        hung, good = run_checks([Check("hang", hang, timeout_s=0.05), Check("good", lambda: finding("good"))])
    finally:
        release.set()
    assert (hung.name, hung.state) == ("hang", "fail")
    assert good.state == "ok"


def test_what_needs_a_check_that_failed_is_not_looked_at() -> None:
    ran: list[str] = []

    def run(name: str, state: str) -> list[Finding]:
        ran.append(name)
        return [Finding(name, "fail" if state == "fail" else "ok", "")]

    checks = [
        Check("root", lambda: run("root", "fail")),
        Check("leaf", lambda: run("leaf", "ok"), needs="root"),
        Check("leaf of leaf", lambda: run("leaf of leaf", "ok"), needs="leaf"),
        Check("other", lambda: run("other", "ok")),
    ]
    started: list[str] = []
    states = [found.state for found in run_checks(checks, started.append)]
    assert states == ["fail", "info", "info", "ok"]
    assert ran == ["root", "other"]
    assert started == ["root", "leaf", "leaf of leaf", "other"]


def test_each_state_is_told_apart_without_colour() -> None:
    from streamer.cli.doctor import _SHOWN

    words = [word for word, _ in _SHOWN.values()]
    assert all(one != other for one, other in itertools.combinations(words, 2))
