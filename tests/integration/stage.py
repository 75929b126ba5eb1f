"""Topics of a test's own, frames to feed them, and consumers that run in a thread."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

import numpy as np
import simplejpeg

from config.settings import Settings
from consumers.consumer import Consumer
from messaging.dead_letter import DeadLetter, read_dead_letter
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.outcome import Outcome, read_outcome
from messaging.reader import TopicReader
from messaging.timestamps import now_us
from messaging.topics import TopicNames
from messaging.trace_context import new_traceparent
from streamer.compose import classifier_of, consumer_of
from tests.fakes.waiting import DEADLINE_S


def jpeg(seed: int = 0, side_px: int = 64) -> bytes:
    random = np.random.default_rng(seed)
    pixels = np.kron(random.integers(0, 256, (8, 8, 3)), np.ones((side_px // 8, side_px // 8, 1))).astype(np.uint8)
    encoded: bytes = simplejpeg.encode_jpeg(pixels, quality=85)
    return encoded


@dataclass(frozen=True)
class Stage:
    """Topics of one test on the shared broker."""

    cluster: Kafka
    topics: TopicNames

    def settings(self, **changes: Any) -> Settings:
        return Settings(
            bootstrap_servers=self.cluster.bootstrap_servers,
            frames_topic=self.topics.frames,
            results_topic=self.topics.results,
            dead_letter_topic=self.topics.dead_letters,
            status_topic=self.topics.status,
            **{"group": f"group-{uuid.uuid4().hex[:8]}"} | changes,
        )

    def flags(self) -> list[str]:
        return [
            *("--bootstrap-servers", self.cluster.bootstrap_servers),
            *("--frames-topic", self.topics.frames, "--results-topic", self.topics.results),
            *("--dead-letter-topic", self.topics.dead_letters, "--status-topic", self.topics.status),
        ]

    def feed(self, frames: list[Frame]) -> None:
        producer = self.cluster.producer(linger_ms=5)
        for frame in frames:
            key, value, headers, timestamp_ms = write_frame(frame)
            producer.send(self.topics.frames, value, key, headers, timestamp_ms=timestamp_ms)
        producer.flush(DEADLINE_S)
        producer.close()

    def records(self, topic: str) -> list[Any]:
        with TopicReader(self.cluster, topic, from_beginning=True) as reader:
            return list(reader.read_to_end(DEADLINE_S))

    def results(self) -> list[Outcome]:
        return [read_outcome(record.value) for record in self.records(self.topics.results)]

    def dead_letters(self) -> list[DeadLetter]:
        return [read_dead_letter(record) for record in self.records(self.topics.dead_letters)]

    def committed(self, group: str) -> dict[int, int]:
        admin = self.cluster.admin()
        try:
            offsets = admin.list_group_offsets(group)[group]
        finally:
            admin.close()
        return {tp.partition: entry.offset for tp, entry in offsets.items() if tp.topic == self.topics.frames}


def camera_frames(camera: str, count: int, *, data: bytes | None = None, age_us: int = 0) -> list[Frame]:
    captured_at_us = now_us() - age_us
    return [
        Frame(
            camera=camera,
            session="test",
            sequence=sequence,
            frame_id=frame_id(camera, "test", sequence),
            captured_at_us=captured_at_us,
            data=data if data is not None else jpeg(sequence),
            content_type="image/jpeg",
            traceparent=new_traceparent(),
            truth=f"truth-{sequence}",
        )
        for sequence in range(count)
    ]


@contextmanager
def running(consumer: Consumer) -> Iterator[Thread]:
    """Run a consumer in a thread of its own; it is stopped, and its failure raised, at the end."""
    stop, failures = Event(), list[BaseException]()

    def run() -> None:
        try:
            consumer.run(stop)
        except BaseException as exc:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(exc)

    thread = Thread(target=run, name="consumer")
    thread.start()
    try:
        yield thread
    finally:
        stop.set()
        thread.join(DEADLINE_S)
    assert not thread.is_alive(), "the consumer did not stop"
    if failures:
        raise failures[0]


def consume_all(settings: Settings) -> Consumer:
    """Consume what there is, until idle, with the real model; return the consumer with its counts."""
    settings = settings.model_copy(update={"until_idle": settings.until_idle or _IDLE})
    classifier = classifier_of(settings)
    try:
        consumer = consumer_of(settings, classifier)
        with running(consumer) as thread:
            thread.join(DEADLINE_S)
    finally:
        classifier.backend.close()
    return consumer


_IDLE = Settings.model_validate({"until_idle": "1s"}).until_idle
