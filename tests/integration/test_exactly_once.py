"""Exactly-once on a real broker: outcomes and offsets together, whatever is refused, aborted, fenced or left open."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from threading import Event
from typing import Any, TypeVar

import kafka.errors
import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove
from kafka.consumer.group import ConsumerGroupMetadata
from kafka.structs import OffsetAndMetadata

from config.settings import Settings
from consumers.consumer import Consumer
from consumers.errors import FencedError, PublishError
from consumers.outcomes import ConsumerIdentity
from consumers.slots import Slot, Slots
from engine.models.classifier import Classifier
from messaging.cloudevents import Message
from messaging.errors import FencedProducerError
from messaging.frame import write_frame
from messaging.reader import TopicReader
from messaging.transactions import Transactions
from streamer.compose import classifier_of, consumer_of
from tests.fakes.event_hook import changed, hooked
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, running

pytestmark = pytest.mark.broker

TOO_SMALL = {"max.message.bytes": "100"}
LARGE = {"max.message.bytes": "8388608"}
TIMEOUT_S = 30.0
Failure = TypeVar("Failure", bound=BaseException)


@pytest.fixture
def settings(stage: Stage, tmp_path: Any) -> Settings:
    """Of a consumer that shares its slots with no other test."""
    return stage.settings(delivery="exactly-once", state_directory=tmp_path / "state", session_timeout="3s")


@pytest.fixture(scope="module")
def classifier() -> Iterator[Classifier]:
    """One model for the consumers that need none of their own."""
    opened = classifier_of(Settings())
    yield opened
    opened.backend.close()


def group_of(settings: Settings) -> str:
    assert settings.group is not None
    return settings.group


def limit(stage: Stage, topic: str, configs: dict[str, str]) -> None:
    with closing(stage.cluster.admin()) as admin:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])


def frames_of(stage: Stage) -> set[tuple[int, int]]:
    """Partition and offset of every frame."""
    return {(record.partition, record.offset) for record in stage.records(stage.topics.frames)}


def answered(stage: Stage) -> Counter[tuple[int, int]]:
    """Partition and offset of the frames that a read-committed reader sees an outcome of."""
    results = [(result.source.partition, result.source.offset) for result in stage.results() if result.source]
    letters = [(letter.original_partition, letter.original_offset) for letter in stage.dead_letters()]
    return Counter(results + letters)


def below(committed: dict[int, int]) -> set[tuple[int, int]]:
    return {(partition, offset) for partition, end in committed.items() for offset in range(end)}


def assert_exactly_once(stage: Stage, group: str) -> None:
    frames = frames_of(stage)
    assert answered(stage) == dict.fromkeys(frames, 1)
    assert below(stage.committed(group)) == frames


def consume(consumer: Consumer, frames: int, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Run a consumer until so many of its frames have an outcome."""
    with running(consumer) as thread:
        meanwhile()
        wait_until(lambda: consumer.counts.total >= frames or not thread.is_alive(), f"{frames} outcomes")


def failure_of(consumer: Consumer, kind: type[Failure], meanwhile: Callable[[], None] = lambda: None) -> Failure:
    """Run a consumer until it ends with a failure of this kind."""
    with pytest.raises(kind) as caught:
        consume(consumer, 1_000_000, meanwhile)
    return caught.value


# Together.


def test_outcomes_and_offsets_appear_together(stage: Stage, settings: Settings, classifier: Classifier) -> None:
    stage.feed([frame for camera in ("a", "b", "c") for frame in camera_frames(camera, 20)])
    group = group_of(settings)
    looked = Counter[str]()

    def look(event: str, facts: dict[str, Any]) -> None:
        looked[event] += 1
        if event == "produced" and looked[event] <= 3:
            # In the middle of a transaction: its outcomes are with the broker, and nobody sees them.
            assert answered(stage).keys() == below(stage.committed(group))
        elif event == "committed" and looked[event] <= 3:
            # The broker writes it down in each partition within moments of saying so.
            ends = {int(partition): end for partition, end in facts["offsets"].items()}
            wait_until(lambda: ends.items() <= stage.committed(group).items(), "the offsets", 5.0)
            wait_until(lambda: answered(stage).keys() >= below(ends), "the outcomes", 5.0)

    small = changed(settings, max_in_flight=8, batch_size=2, commit_interval="10ms")
    consumer = hooked(small, classifier, look)
    consume(consumer, 60)
    assert looked["produced"] >= 3, "several transactions"
    assert looked["committed"] == looked["produced"]
    assert_exactly_once(stage, group)


def replay_for_others(stage: Stage, count: int) -> None:
    """Put frames back that are another group's business."""
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for number in range(count):
            key, value, headers, _ = write_frame(camera_frames(f"replayed-{number}", 1)[0])
            theirs = [("ce_replayfor", b"another-group"), ("ce_replay", b"1")]
            producer.send(stage.topics.frames, value, key, [*headers, *theirs], partition=number % 4)
        producer.flush(DEADLINE_S)


def test_outcomes_of_every_kind_advance_the_offsets(stage: Stage, settings: Settings, classifier: Classifier) -> None:
    good = camera_frames("good", 5)
    bad = camera_frames("bad", 5, data=b"no picture")
    old = camera_frames("old", 5, age_us=3_600_000_000)
    stage.feed(good + bad + old)
    replay_for_others(stage, 8)  # in every partition the last ones
    consumer = consumer_of(changed(settings, max_age="10m"), classifier)
    with running(consumer):
        committed = group_of(settings)
        wait_until(lambda: below(stage.committed(committed)) == frames_of(stage), "the offsets of all frames")

    assert consumer.counts.frames == {"classified": 5, "dead-lettered": 5, "skipped": 5}
    results = Counter((result.camera, type(result).__name__) for result in stage.results())
    assert results == {("good", "Classified"): 5, ("old", "Skipped"): 5}
    assert Counter(letter.camera for letter in stage.dead_letters()) == {"bad": 5}


# Refused by the broker.


def test_what_was_aborted_is_said_again_without_being_computed_again(
    stage: Stage, settings: Settings, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    limit(stage, stage.topics.results, TOO_SMALL)
    stage.feed([frame for camera in ("a", "b", "c") for frame in camera_frames(camera, 10)])
    inferred = Counter[tuple[int, int]]()

    def count(event: str, facts: dict[str, Any]) -> None:
        if event == "inference_started":
            inferred.update((partition, offset) for partition, offset in facts["frames"])

    consumer = hooked(settings, classifier, count)

    def allow() -> None:
        wait_until(lambda: "a transaction was aborted and is tried again" in caplog.text, "a refusal")
        limit(stage, stage.topics.results, LARGE)

    consume(consumer, 30, allow)
    assert consumer.counts.frames == {"classified": 30}
    assert inferred == dict.fromkeys(frames_of(stage), 1)
    assert consumer.counts.batched_frames == 30
    assert "OutOfOrderSequence" not in caplog.text, "the second transaction is as good as the first"
    assert_exactly_once(stage, group_of(settings))


def test_three_refusals_in_a_row_end_it_with_nothing_committed_and_nothing_left_open(
    stage: Stage, settings: Settings, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    limit(stage, stage.topics.results, TOO_SMALL)
    stage.feed(camera_frames("first", 1, data=b"no picture"))
    group = group_of(settings)
    has_begun = Event()

    def hold(event: str, _: dict[str, Any]) -> None:
        if event == "produced" and not has_begun.is_set():
            has_begun.set()
            wait_until(lambda: len(consumer._delivery._waiting) == 41, "the outcomes of all others")  # type: ignore[attr-defined]

    def feed() -> None:
        assert has_begun.wait(DEADLINE_S)
        # The dead letters stand before what is refused: they are with the broker each time.
        stage.feed(camera_frames("a", 20, data=b"no picture") + camera_frames("a", 40)[20:])

    # Far more outcomes wait than let a transaction begin early.
    consumer = hooked(changed(settings, max_in_flight=128), classifier, hold)
    failure = failure_of(consumer, PublishError, feed)
    assert (failure.exit_code, failure.retriable) == (1, False)
    assert stage.topics.results in str(failure)
    assert "frame a/test/20 " in str(failure)
    refused_at = [record.created for record in caplog.records if "a transaction was aborted" in record.message]
    assert len(refused_at) == 3
    assert refused_at[2] - refused_at[0] >= 1.5, "it waited between them, though it had enough to say"
    assert consumer.counts.total == len(below(stage.committed(group))) == 1
    assert stage.records(stage.topics.results) == []
    assert [letter.frame_id for letter in stage.dead_letters()] == ["first/test/0"]
    wait_until(lambda: stable(stage, stage.topics.dead_letters), "no transaction is left open", 5.0)
    with slots_of(settings).left_open() as left:
        assert left == []

    limit(stage, stage.topics.results, LARGE)
    consume(consumer_of(settings, classifier), 40)
    assert_exactly_once(stage, group)


def stable(stage: Stage, topic: str) -> bool:
    """Tell whether a read-committed reader gets as far as any other: no transaction is open there."""
    with closing(stage.cluster.consumer(isolation_level="read_uncommitted")) as consumer:
        ends = consumer.end_offsets([TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic)])
    with TopicReader(stage.cluster, topic, from_beginning=True) as reader:
        return reader.end_offsets() == {partition.partition: end for partition, end in ends.items()}


def test_offsets_that_were_refused_are_not_committed_with_the_next_transaction(stage: Stage) -> None:
    first, second = (TopicPartition(stage.topics.frames, number) for number in (0, 1))
    group = "strict"
    transactions = Transactions(stage.cluster, stage.topics.frames, TIMEOUT_S)
    try:
        transactions.begin()
        with pytest.raises(kafka.errors.CommitFailedError):
            transactions.send_offsets(
                {first: OffsetAndMetadata(77, "", -1)}, ConsumerGroupMetadata(group, 5, "nobody", None)
            )
        transactions.abort()
        transactions.begin()
        nobody = ConsumerGroupMetadata(group, -1, "", None)
        transactions.send_offsets({second: OffsetAndMetadata(3, "", -1)}, nobody)
        transactions.commit()
    finally:
        transactions.close(DEADLINE_S)
    assert stage.committed(group) == {1: 3}


def test_outcomes_that_are_too_large_together_are_sent_in_parts(
    stage: Stage, settings: Settings, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    limit(stage, stage.topics.dead_letters, {"max.message.bytes": "100000"})
    stage.feed(camera_frames("bad", 8, data=b"no picture" * 2_000))
    # Long enough for all of them to be in one transaction, however slow the machine is.
    consumer = consumer_of(settings.model_copy(update={"commit_interval": timedelta(seconds=3)}), classifier)
    consume(consumer, 8)
    assert consumer.counts.frames == {"dead-lettered": 8}
    assert "splitting batch" in caplog.text, "they were too large for one request"
    assert "aborted" not in caplog.text
    assert_exactly_once(stage, group_of(settings))


# Taken over, and left open.


def test_a_fenced_producer_does_not_fence_its_successor(stage: Stage) -> None:
    def said(text: bytes) -> Message:
        return Message(b"camera", text, [])

    older = Transactions(stage.cluster, stage.topics.results, TIMEOUT_S)
    older.begin()
    older.wait_for([older.send(stage.topics.results, said(b"of the older"))])
    newer = Transactions(stage.cluster, stage.topics.results, TIMEOUT_S)
    try:
        newer.begin()
        newer.send(stage.topics.results, said(b"of the newer"))
        fenced = older.send(stage.topics.results, said(b"of the fenced"))
        with pytest.raises(kafka.errors.KafkaError):
            older.wait_for([fenced])
        with pytest.raises(kafka.errors.KafkaError):
            older.commit()
        with pytest.raises(FencedProducerError) as caught:
            older.abort()
        assert not caught.value.has_outlived
        newer.commit()
        newer.begin()
        newer.send(stage.topics.results, said(b"of the newer again"))
        newer.commit()
    finally:
        older.close(1.0)
        newer.close(1.0)
    assert [record.value for record in stage.records(stage.topics.results)] == [b"of the newer", b"of the newer again"]


def slots_of(settings: Settings) -> Slots:
    assert settings.state_directory is not None
    return Slots(settings.state_directory, settings.bootstrap_servers, group_of(settings), settings.device)


def transactional_id(settings: Settings, classifier: Classifier, slot: Slot) -> str:
    identity = ConsumerIdentity(group_of(settings), settings.device, classifier.backend.name)
    return identity.worker_name(slot.number)


def test_a_worker_whose_id_is_taken_over_ends_and_another_start_mends_it(
    stage: Stage, settings: Settings, classifier: Classifier
) -> None:
    stage.feed(camera_frames("a", 10))
    slots = slots_of(settings)
    consumer = consumer_of(settings, classifier)

    def take_over() -> None:
        wait_until(lambda: consumer.counts.total == 10, "its first transactions")
        transactions_of_slot(stage, settings, classifier, 0).close(DEADLINE_S)
        stage.feed(camera_frames("b", 10))

    assert failure_of(consumer, FencedError, take_over).retriable
    assert {result.camera for result in stage.results()} == {"a"}
    with slots.left_open() as left:
        assert left == [], "whoever took over ended it"
    consume(consumer_of(settings, classifier), 10)
    assert_exactly_once(stage, group_of(settings))


def transactions_of_slot(stage: Stage, settings: Settings, classifier: Classifier, number: int) -> Transactions:
    """Return a producer of a worker's transactions, as if it were that worker."""
    name = transactional_id(settings, classifier, Slot(number, -1))
    return Transactions(stage.cluster, name, TIMEOUT_S)


@pytest.mark.parametrize("is_restarted", [True, False], ids=["by itself, restarted", "by another worker"])
def test_a_transaction_that_a_dead_worker_left_open_is_ended_at_the_next_start(
    stage: Stage, settings: Settings, classifier: Classifier, *, is_restarted: bool
) -> None:
    slots = slots_of(settings)
    held = [] if is_restarted else [slots.take()]
    dead = slots.take()
    dead.begin_transactions()
    begun = transactions_of_slot(stage, settings, classifier, dead.number)
    begun.begin()
    messages = [Message(b"camera-%d" % number, b"never committed", []) for number in range(16)]
    begun.wait_for([begun.send(stage.topics.results, message) for message in messages])
    begun.close(0.0)
    for slot in (dead, *held):
        slot.free()
    assert not stable(stage, stage.topics.results)

    stage.feed(camera_frames("a", 10))
    consume(consumer_of(settings, classifier), 10)
    assert_exactly_once(stage, group_of(settings))
    assert stable(stage, stage.topics.results), "long before the broker would have ended it"
    with slots.left_open() as left:
        assert left == []


def test_a_worker_that_was_left_out_in_the_middle_of_a_rebalance_ends_or_goes_on(
    stage: Stage, settings: Settings, classifier: Classifier
) -> None:
    stage.feed([frame for camera in "abcdefgh" for frame in camera_frames(camera, 20)])
    long = changed(settings, drain_timeout="1s")
    in_transaction, is_left_out = Event(), Event()

    def leave_out(event: str, _: dict[str, Any]) -> None:
        if event != "produced" or is_left_out.is_set():
            return
        in_transaction.set()
        # The rebalance waits for this transaction, and the transaction is about to be refused.
        wait_until(lambda: first._delivery._is_held, "the rebalance")  # type: ignore[attr-defined]
        with closing(stage.cluster.admin()) as admin:
            member = first._parts.frames.membership.member
            admin.remove_group_members(group_of(settings), [MemberToRemove(member_id=member)])
        is_left_out.set()

    first = hooked(long, classifier, leave_out)
    try:
        with running(first):
            assert in_transaction.wait(DEADLINE_S)
            # A slow one: it is not done when the first is back.
            second = consumer_of(changed(long, max_in_flight=2, commit_interval="100ms"), classifier)
            with running(second):
                assert is_left_out.wait(DEADLINE_S)
                wait_until(lambda: len(answered(stage)) == 160, "the outcomes of all frames")
    except FencedError:
        pass  # it ended instead; a supervisor starts it again
    assert_exactly_once(stage, group_of(settings))
