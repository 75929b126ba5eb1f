"""Exactly-once on a real broker: outcomes and offsets together, whatever is refused, aborted, fenced or left open."""

import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, redirect_stderr
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
from messaging.frame import Frame, frame_id
from messaging.kafka import abort, close_producer
from messaging.reader import TopicReader
from streamer.compose import classifier_of, consumer_of
from tests.fakes.waiting import DEADLINE_S, wait_until
from tests.integration.stage import Stage, camera_frames, consume_all, running

pytestmark = pytest.mark.broker

TOO_SMALL = {"max.message.bytes": "100"}
LARGE = {"max.message.bytes": "8388608"}
TIMEOUT_MS = 30_000
Failure = TypeVar("Failure", bound=BaseException)


@pytest.fixture
def settings(stage: Stage, tmp_path: Any) -> Settings:
    """Of a consumer that shares its slots with no other test."""
    return stage.settings(delivery="exactly-once", state_directory=tmp_path / "state", until_idle="500ms")


@pytest.fixture(scope="module")
def classifier() -> Iterator[Classifier]:
    """One model for the consumers that need none of their own."""
    opened = classifier_of(Settings())
    yield opened
    opened.backend.close()


def changed(settings: Settings, **changes: Any) -> Settings:
    return Settings.model_validate(settings.model_dump(by_alias=True) | changes)


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


class EventHook(io.StringIO):
    """Standard error of a consumer with `--events`, that calls somebody in the middle of what it tells of."""

    def __init__(self, called: Callable[[str, dict[str, Any]], None]) -> None:
        super().__init__()
        self._called = called
        self.failures: list[BaseException] = []

    def write(self, line: str) -> int:
        event = json.loads(line)
        try:
            self._called(event["event"], event)
        except BaseException as exc:
            self.failures.append(exc)
            raise
        return len(line)


def hooked(settings: Settings, classifier: Classifier, called: Callable[[str, dict[str, Any]], None]) -> Consumer:
    with redirect_stderr(EventHook(called)):
        return consumer_of(changed(settings, events=True), classifier)


def failure_of(consumer: Consumer, kind: type[Failure], meanwhile: Callable[[], None] = lambda: None) -> Failure:
    """Run a consumer until it ends with a failure of this kind."""

    def run() -> None:
        with running(consumer) as thread:
            meanwhile()
            thread.join(DEADLINE_S)

    with pytest.raises(kind) as caught:
        run()
    return caught.value


# Together.


def test_outcomes_and_offsets_appear_together(stage: Stage, settings: Settings, classifier: Classifier) -> None:
    stage.feed([frame for camera in ("a", "b", "c") for frame in camera_frames(camera, 8)])
    group = group_of(settings)
    looked = Counter[str]()

    def look(event: str, facts: dict[str, Any]) -> None:
        looked[event] += 1
        if event == "produced" and looked[event] <= 5:
            # In the middle of a transaction: its outcomes are with the broker, and nobody sees them.
            assert answered(stage).keys() == below(stage.committed(group))
        elif event == "committed" and looked[event] <= 5:
            # The broker writes it down in each partition within moments of saying so.
            ends = {int(partition): end for partition, end in facts["offsets"].items()}
            wait_until(lambda: ends.items() <= stage.committed(group).items(), "the offsets", 5.0)
            wait_until(lambda: answered(stage).keys() >= below(ends), "the outcomes", 5.0)

    small = changed(settings, max_in_flight=8, batch_size=2, commit_interval="10ms")
    consumer = hooked(small, classifier, look)
    with running(consumer) as thread:
        thread.join(DEADLINE_S)
    assert looked["produced"] >= 3, "several transactions"
    assert looked["committed"] == looked["produced"]
    assert_exactly_once(stage, group)


def test_outcomes_of_every_kind_advance_the_offsets(stage: Stage, settings: Settings) -> None:
    good = camera_frames("good", 5)
    bad = camera_frames("bad", 5, data=b"no picture")
    old = camera_frames("old", 5, age_us=3_600_000_000)
    for_others = [
        Frame(
            camera=f"replayed-{number}",
            session="s",
            sequence=0,
            frame_id=frame_id(f"replayed-{number}", "s", 0),
            captured_at_us=good[0].captured_at_us,
            data=good[0].data,
            content_type="image/jpeg",
            traceparent=good[0].traceparent,
            replay_for="another-group",
            replay=1,
        )
        for number in range(8)  # in every partition the last ones
    ]
    stage.feed(good + bad + old)
    stage.feed(for_others)
    consumer = consume_all(changed(settings, max_age="10m"))

    assert consumer.counts.frames == {"classified": 5, "dead-lettered": 5, "skipped": 5}
    results = Counter((result.camera, type(result).__name__) for result in stage.results())
    assert results == {("good", "Classified"): 5, ("old", "Skipped"): 5}
    assert Counter(letter.camera for letter in stage.dead_letters()) == {"bad": 5}
    assert below(stage.committed(group_of(settings))) == frames_of(stage)


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
    with running(consumer) as thread:
        wait_until(lambda: "a transaction was aborted and is tried again" in caplog.text, "a refusal")
        assert answered(stage) == {}
        assert below(stage.committed(group_of(settings))) == set()
        limit(stage, stage.topics.results, LARGE)
        thread.join(DEADLINE_S)
    assert consumer.counts.frames == {"classified": 30}
    assert inferred == dict.fromkeys(frames_of(stage), 1)
    assert consumer.counts.batched_frames == 30
    assert_exactly_once(stage, group_of(settings))


def test_three_refusals_in_a_row_end_it_with_nothing_committed_and_nothing_left_open(
    stage: Stage, settings: Settings, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    limit(stage, stage.topics.results, TOO_SMALL)
    # Bad frames' outcomes are taken: they are in the same transaction.
    stage.feed(camera_frames("good", 60) + camera_frames("bad", 20, data=b"no picture"))
    group = group_of(settings)
    # Far more outcomes wait than let a transaction begin early.
    consumer = consumer_of(changed(settings, max_in_flight=64), classifier)
    began_s = time.monotonic()
    failure = failure_of(consumer, PublishError)
    assert (failure.exit_code, failure.retriable) == (1, False)
    assert stage.topics.results in str(failure)
    assert "good/test/" in str(failure)
    assert time.monotonic() - began_s >= 1.5, "it waited between them, though it had enough to say"
    assert consumer.counts.total == 0
    assert below(stage.committed(group)) == set()
    assert stage.records(stage.topics.results) == []
    assert stage.dead_letters() == []
    wait_until(lambda: stable(stage, stage.topics.dead_letters), "no transaction is left open", 5.0)
    with slots_of(settings).left_open() as left:
        assert left == []

    limit(stage, stage.topics.results, LARGE)
    consume_all(settings)
    assert_exactly_once(stage, group)


def stable(stage: Stage, topic: str) -> bool:
    """Tell whether a read-committed reader gets as far as any other: no transaction is open there."""
    with closing(stage.cluster.consumer(isolation_level="read_uncommitted")) as consumer:
        ends = consumer.end_offsets([TopicPartition(topic, number) for number in range(4)])
    with TopicReader(stage.cluster, topic, from_beginning=True) as reader:
        return reader.end_offsets() == {partition.partition: end for partition, end in ends.items()}


def test_offsets_that_were_refused_are_not_committed_with_the_next_transaction(stage: Stage) -> None:
    first, second = (TopicPartition(stage.topics.frames, number) for number in (0, 1))
    group = "strict"
    producer = stage.cluster.transactional_producer(stage.topics.frames, TIMEOUT_MS)
    try:
        producer.begin_transaction()
        with pytest.raises(kafka.errors.CommitFailedError):
            producer.send_offsets_to_transaction(
                {first: OffsetAndMetadata(77, "", -1)}, ConsumerGroupMetadata(group, 5, "nobody", None)
            )
        abort(producer)
        producer.begin_transaction()
        nobody = ConsumerGroupMetadata(group, -1, "", None)
        producer.send_offsets_to_transaction({second: OffsetAndMetadata(3, "", -1)}, nobody)
        producer.commit_transaction()
    finally:
        close_producer(producer, DEADLINE_S)
    assert stage.committed(group) == {1: 3}


# Taken over, and left open.


def test_a_fenced_producer_does_not_fence_its_successor(stage: Stage) -> None:
    older = stage.cluster.transactional_producer(stage.topics.results, TIMEOUT_MS)
    older.begin_transaction()
    older.send(stage.topics.results, b"of the older", partition=0).get(DEADLINE_S)
    newer = stage.cluster.transactional_producer(stage.topics.results, TIMEOUT_MS)
    try:
        newer.begin_transaction()
        newer.send(stage.topics.results, b"of the newer", partition=0)
        fenced = older.send(stage.topics.results, b"of the fenced", partition=0)
        with pytest.raises(kafka.errors.KafkaError):
            fenced.get(DEADLINE_S)
        with pytest.raises(kafka.errors.KafkaError):
            older.commit_transaction()
        with pytest.raises(kafka.errors.KafkaError):
            abort(older)
        newer.commit_transaction()
        newer.begin_transaction()
        newer.send(stage.topics.results, b"of the newer again", partition=0)
        newer.commit_transaction()
    finally:
        close_producer(older, 1.0)
        close_producer(newer, 1.0)
    assert [record.value for record in stage.records(stage.topics.results)] == [b"of the newer", b"of the newer again"]


def slots_of(settings: Settings) -> Slots:
    assert settings.state_directory is not None
    return Slots(settings.state_directory, settings.bootstrap_servers, group_of(settings), settings.device)


def transactional_id(settings: Settings, classifier: Classifier, slot: Slot) -> str:
    identity = ConsumerIdentity(group_of(settings), settings.device, classifier.backend.name, classifier.spec)
    return identity.worker_name(slot.number)


def test_a_worker_whose_id_is_taken_over_ends_and_another_start_mends_it(
    stage: Stage, settings: Settings, classifier: Classifier
) -> None:
    stage.feed(camera_frames("a", 10))
    slots = slots_of(settings)
    consumer = consumer_of(changed(settings, until_idle=None), classifier)

    def take_over() -> None:
        wait_until(lambda: consumer.counts.total == 10, "its first transactions")
        close_producer(producer_of_slot(stage, settings, classifier, 0), DEADLINE_S)
        stage.feed(camera_frames("b", 10))

    assert failure_of(consumer, FencedError, take_over).retriable
    assert {result.camera for result in stage.results()} == {"a"}
    with slots.left_open() as left:
        assert left == [], "whoever took over ended it"
    consume_all(settings)
    assert_exactly_once(stage, group_of(settings))


def producer_of_slot(stage: Stage, settings: Settings, classifier: Classifier, number: int) -> Any:
    """Return a producer of a worker's transactions, as if it were that worker."""
    name = transactional_id(settings, classifier, Slot(number, -1))
    return stage.cluster.transactional_producer(name, TIMEOUT_MS)


@pytest.mark.parametrize("is_restarted", [True, False], ids=["by itself, restarted", "by another worker"])
def test_a_transaction_that_a_dead_worker_left_open_is_ended_at_the_next_start(
    stage: Stage, settings: Settings, classifier: Classifier, *, is_restarted: bool
) -> None:
    slots = slots_of(settings)
    held = [] if is_restarted else [slots.take()]
    dead = slots.take()
    dead.begin_transactions()
    producer = producer_of_slot(stage, settings, classifier, dead.number)
    producer.begin_transaction()
    for partition in range(4):
        producer.send(stage.topics.results, b"never committed", partition=partition).get(DEADLINE_S)
    close_producer(producer, 0.0)
    for slot in (dead, *held):
        slot.free()
    assert not stable(stage, stage.topics.results)

    stage.feed(camera_frames("a", 10))
    consume_all(settings)
    assert_exactly_once(stage, group_of(settings))
    assert stable(stage, stage.topics.results), "long before the broker would have ended it"
    with slots.left_open() as left:
        assert left == []


def test_a_worker_that_was_left_out_in_the_middle_of_a_rebalance_ends_or_goes_on(
    stage: Stage, settings: Settings, classifier: Classifier
) -> None:
    stage.feed([frame for camera in "abcdefgh" for frame in camera_frames(camera, 20)])
    long = changed(settings, until_idle=None, drain_timeout="1s", session_timeout="3s")
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
            second = consumer_of(long, classifier)
            with running(second):
                assert is_left_out.wait(DEADLINE_S)
                wait_until(lambda: len(answered(stage)) == 160, "the outcomes of all frames")
    except FencedError:
        pass  # it ended instead; a supervisor starts it again
    assert_exactly_once(stage, group_of(settings))
