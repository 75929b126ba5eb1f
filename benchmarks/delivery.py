"""Exactly-once beside at-least-once: throughput, CPU per frame, and latency from capture to the acknowledged result.

Runs of the two alternate on one broker, so that what else the machine does meets both. Each run has two parts, each
with the real command in a process of its own: a backlog, worked off as fast as it goes, for throughput and CPU (the
slope between few and many frames, without the price of the start); and frames that come at a steady rate, for the
latency: up to the broker's acknowledgement, and under exactly-once up to the commit of the transaction. The model and
the pictures are those of `consumer_cpu.py`. Printed are medians over the runs, and their ratio. Run it by
`python -m benchmarks.delivery`.
"""

import argparse
import json
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from threading import Event, Thread

from benchmarks.consumer_cpu import consume, feed, near_free_model, pictures
from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.timestamps import now_us
from messaging.topics import TopicNames, TopicPlan, create_topics
from messaging.trace_context import new_traceparent

_DELIVERIES = ("at-least-once", "exactly-once")
_CAMERAS = 8
_STEADY_FPS = 100
#: What a consumer takes to start, about.
_JOIN_S = 3.0

_Figures = dict[str, float]


def _new_topics(cluster: Kafka) -> TopicNames:
    mark = uuid.uuid4().hex[:8]
    topics = TopicNames(frames=f"frames-{mark}", results=f"results-{mark}")
    create_topics(cluster, TopicPlan(topics))
    return topics


def _backlog(cluster: Kafka, model: Path, jpegs: list[bytes], frames: int, flags: list[str]) -> tuple[float, float]:
    """Return frames/s and CPU µs per frame of working off a backlog."""
    runs = []
    for count in (frames // 8, frames):
        topics = _new_topics(cluster)
        feed(cluster, topics, jpegs, count)
        runs.append(consume(cluster, topics, model, flags))
    (few_cpu_s, _, _), (many_cpu_s, _, figures) = runs
    fps = figures["fps"]
    assert isinstance(fps, float)
    return fps, (many_cpu_s - few_cpu_s) / (frames - frames // 8) * 1e6


def send_paced(
    cluster: Kafka, topic: str, jpegs: list[bytes], moments: Iterable[tuple[float, float]], cameras: int, until: Event
) -> None:
    """Send frames at their time.

    Args:
        cluster: Where.
        topic: Where to.
        jpegs: What the frames show, in turn.
        moments: For each frame when it was captured, and when it is sent, in order; seconds from now.
        cameras: Whose frames they are, in turn.
        until: Ends it.
    """
    producer = cluster.producer(linger_ms=0)
    began_s, began_us = time.monotonic(), now_us()
    for number, (captured_at_s, sent_at_s) in enumerate(moments):
        if until.wait(max(began_s + sent_at_s - time.monotonic(), 0.0)):
            break
        camera, sequence = f"camera-{number % cameras}", number // cameras
        frame = Frame(
            camera=camera,
            session="paced",
            sequence=sequence,
            frame_id=frame_id(camera, "paced", sequence),
            captured_at_us=began_us + round(captured_at_s * 1e6),
            data=jpegs[number % len(jpegs)],
            content_type="image/jpeg",
            traceparent=new_traceparent(),
        )
        message = write_frame(frame)
        producer.send(topic, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms)
    producer.flush(30)
    producer.close()


def _latency_ms(cluster: Kafka, model: Path, jpegs: list[bytes], seconds: float, flags: list[str]) -> dict[str, float]:
    """Return the latency of frames that come at a steady rate; those before the consumer joined are left out."""
    topics = _new_topics(cluster)
    until = Event()
    moments = [(number / _STEADY_FPS,) * 2 for number in range(int((seconds + _JOIN_S) * _STEADY_FPS))]
    feeder = Thread(target=send_paced, args=(cluster, topics.frames, jpegs, moments, _CAMERAS, until), name="feeder")
    feeder.start()
    try:
        _, _, figures = consume(cluster, topics, model, [*flags, "--from", "latest"])
    finally:
        until.set()
        feeder.join()
    latency = figures["latency_ms"]
    assert isinstance(latency, dict)
    return latency


def _run(cluster: Kafka, model: Path, jpegs: list[bytes], given: argparse.Namespace, flags: list[str]) -> _Figures:
    fps, cpu_us = _backlog(cluster, model, jpegs, given.frames, flags)
    latency = _latency_ms(cluster, model, jpegs, given.seconds, flags)
    return {
        "frames_per_second": fps,
        "cpu_us_per_frame": cpu_us,
        **{f"latency_ms_{name}": value for name, value in latency.items()},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8000, help="of the backlog")
    parser.add_argument("--seconds", type=float, default=15.0, help="of steady frames")
    parser.add_argument("--runs", type=int, default=3, help="of each delivery, in turn")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    jpegs = pictures(64)
    runs: dict[str, list[_Figures]] = {delivery: [] for delivery in _DELIVERIES}
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerOptions()) as broker:
        model = Path(folder) / "near-free.onnx"
        near_free_model(model)
        cluster = Kafka(broker.bootstrap_servers)
        for _ in range(given.runs):
            for delivery in _DELIVERIES:
                flags = ["--delivery", delivery, "--state-directory", folder]
                runs[delivery].append(_run(cluster, model, jpegs, given, flags))
    report: dict[str, _Figures] = {
        delivery: {name: round(median(run[name] for run in figures), 3) for name in figures[0]}
        for delivery, figures in runs.items()
    }
    before, after = (report[delivery] for delivery in _DELIVERIES)
    report["ratio"] = {name: round(after[name] / before[name], 3) for name in before}
    if given.json:
        print(json.dumps(report | {"runs": runs}))
        return
    print(f"{'median of ' + str(given.runs):24} {_DELIVERIES[0]:>14} {_DELIVERIES[1]:>14} {'ratio':>8}")
    for name in before:
        print(f"{name:24} {before[name]:14.1f} {after[name]:14.1f} {report['ratio'][name]:8.3f}")


if __name__ == "__main__":
    main()
