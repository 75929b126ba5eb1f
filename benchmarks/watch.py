"""What it costs to watch a site: the share of a core, memory, and how soon there is something to see.

A process of its own plays the site on a real broker: cameras that send 256×256 JPEGs, a result for each frame, and the
statuses of cameras and workers. This process follows it, and asks once a second for all that a page shows. Run it by
`python -m benchmarks.watch`; `--seconds 600` shows whether memory is flat.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.cloudevents import Message
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.outcome import (
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    group_source,
    write_outcome,
)
from messaging.status import CameraStatus, PartitionStatus, StepStatus, WorkerStatus, write_status
from messaging.timestamps import format_us, now_us
from messaging.topics import TopicNames, TopicPlan, create_topics
from messaging.trace_context import new_traceparent
from streamer.watch.site import Site

_PARTITIONS = 8
_WORKERS = 4
_LATENCY_S = 0.1
_TICK_S = 0.02
_WARM_UP_S = 10.0
_PAGE_S = 1.0
_TOPICS = TopicNames()


class PlayedSite:
    """Cameras and workers that are played, for one thread."""

    def __init__(self, cluster: Kafka, cameras: int, fps: float, jpegs: list[bytes]) -> None:
        """Connect."""
        self._producer = cluster.producer(linger_ms=10)
        self._cameras = cameras
        self._period_s = 1 / fps
        self._jpegs = jpegs
        self._sequences = [0] * cameras
        #: When its result is due, and the frame with the future of its place.
        self._waiting: deque[tuple[float, Frame, Any]] = deque()
        self._number = 0

    def run(self) -> None:
        """Play until the process is ended."""
        began_s = time.monotonic()
        frame_s = [began_s + self._period_s * number / self._cameras for number in range(self._cameras)]
        status_s = began_s
        while True:
            now_s = time.monotonic()
            for number in range(self._cameras):
                if now_s >= frame_s[number]:
                    frame_s[number] += self._period_s
                    self._waiting.append((now_s + _LATENCY_S, *self._send_frame(number)))
            while self._waiting and now_s >= self._waiting[0][0] and self._waiting[0][2].is_done:
                _, frame, sent = self._waiting.popleft()
                self._send_result(frame, sent.get())
            if now_s >= status_s:
                status_s += 1.0
                self._send_statuses()
            time.sleep(_TICK_S)

    def _send(self, topic: str, message: Message) -> Any:
        return self._producer.send(
            topic, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms
        )

    def _send_frame(self, number: int) -> tuple[Frame, Any]:
        camera, sequence = f"camera-{number}", self._sequences[number]
        self._sequences[number] += 1
        frame = Frame(
            camera=camera,
            session="benchmark",
            sequence=sequence,
            frame_id=frame_id(camera, "benchmark", sequence),
            captured_at_us=now_us(),
            data=self._jpegs[(number + sequence) % len(self._jpegs)],
            content_type="image/jpeg",
            traceparent=new_traceparent(),
        )
        return frame, self._send(_TOPICS.frames, write_frame(frame))

    def _send_result(self, frame: Frame, place: Any) -> None:
        outcome = Classified(
            camera=frame.camera,
            sequence=frame.sequence,
            captured_at=format_us(frame.captured_at_us),
            group="benchmark",
            label="scratched",
            score=0.9,
            classes=tuple(ClassScore(f"class-{number}", 0.9 / (number + 1)) for number in range(5)),
            model="benchmark",
            model_digest="0" * 64,
            device="0",
            backend="onnxruntime",
            simulated=False,
            batch=BatchShape(6, 8),
            latency_ms=LatencyParts(10.0, 20.0, 5.0, 1.0, 50.0, 2.0, 88.0),
            source=FrameLocation(place.topic, place.partition, place.offset),
        )
        message = write_outcome(outcome, frame.frame_id, group_source("benchmark"), now_us(), frame.traceparent)
        self._send(_TOPICS.results, message)

    def _send_statuses(self) -> None:
        self._number += 1
        statuses: list[CameraStatus | WorkerStatus] = [self._camera(number) for number in range(self._cameras)]
        statuses += [self._worker(slot) for slot in range(_WORKERS)]
        for status in statuses:
            self._send(_TOPICS.status, write_status(status, self._number, now_us()))

    def _camera(self, number: int) -> CameraStatus:
        sequence = self._sequences[number]
        return CameraStatus(
            camera=f"camera-{number}",
            session="benchmark",
            source="synthetic:benchmark",
            state="running",
            captured=sequence,
            sent=sequence,
            shed={},
            fps_declared=1 / self._period_s,
            fps_delivered=1 / self._period_s,
            reconnects=0,
            updated_at=format_us(now_us()),
        )

    def _worker(self, slot: int) -> WorkerStatus:
        mine = range(slot, _PARTITIONS, _WORKERS)
        return WorkerStatus(
            group="benchmark",
            host="host",
            device="0",
            slot=slot,
            state="running",
            frames_topic=_TOPICS.frames,
            partitions=tuple(PartitionStatus(partition, 0, self._number, 0) for partition in mine),
            first_offsets={str(partition): 0 for partition in mine},
            model="benchmark",
            model_digest="0" * 64,
            backend="onnxruntime",
            simulated=False,
            classified=self._number,
            skipped=0,
            dead_lettered=0,
            waiting_frames=0,
            frames_in_flight=0,
            batch_size_mean=6.0,
            utilisation=0.5,
            steps=tuple(StepStatus(name, self._number, 5.0, 1.0) for name in ("decode", "model", "label")),
            updated_at=format_us(now_us()),
        )


def resident_mb() -> float:
    """Return the memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def wait(is_true: Callable[[], bool], timeout_s: float = 30.0) -> float:
    """Wait for something; return how long that took, s."""
    began_s = time.monotonic()
    while not is_true():
        if time.monotonic() - began_s > timeout_s:
            raise SystemExit("the site shows nothing")
        time.sleep(0.01)
    return time.monotonic() - began_s


def watch(cluster: Kafka, cameras: int, seconds: float) -> dict[str, float]:
    """Watch as a page does, and return the figures."""
    numbers = {f"camera-{number}": 0 for number in range(cameras)}
    with Site(cluster, _TOPICS) as site:
        with site.watching():
            first_s = wait(lambda: bool(site.pictures(numbers, 1)))
            all_s = first_s + wait(lambda: _labelled(site, numbers) == cameras)
            time.sleep(_WARM_UP_S)
            began_s, began_cpu_s, began_mb = time.monotonic(), time.process_time(), resident_mb()
            outcomes, shown, after = site.totals.outcomes["classified"], 0, 0
            while time.monotonic() < began_s + seconds:
                new = site.pictures(numbers, 64 * 1024 * 1024)
                numbers |= {camera: picture.number for camera, picture in new.items()}
                shown += len(new)
                after = max((outcome.number for outcome in site.outcomes(500, after)), default=after)
                site.cameras()
                site.seconds("benchmark")
                site.workers()
                time.sleep(_PAGE_S)
            took_s = time.monotonic() - began_s
            looked = (time.process_time() - began_cpu_s) / took_s
            ended_mb = resident_mb()
        time.sleep(_WARM_UP_S + 2.0)  # so long it goes on looking
        idle_s, idle_cpu_s = time.monotonic(), time.process_time()
        time.sleep(min(seconds, 20.0))
        unlooked = (time.process_time() - idle_cpu_s) / (time.monotonic() - idle_s)
        return {
            "first_picture_s": round(first_s, 2),
            "all_pictures_with_labels_s": round(all_s, 2),
            "core_share_while_looked_at": round(looked, 4),
            "core_share_while_nobody_looks": round(unlooked, 4),
            "results_per_second": round((site.totals.outcomes["classified"] - outcomes) / (took_s + 32), 1),
            "pictures_shown_per_second": round(shown / took_s, 1),
            "memory_mb": round(ended_mb, 1),
            "memory_growth_mb": round(ended_mb - began_mb, 1),
            "passed_over": site.totals.passed_over,
        }


def _labelled(site: Site, numbers: dict[str, int]) -> int:
    found = site.pictures(dict.fromkeys(numbers, 0), 64 * 1024 * 1024)
    return sum(picture.outcome is not None for picture in found.values())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cameras", type=int, default=64)
    parser.add_argument("--fps", type=float, default=5.0, help="of each camera")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to watch")
    parser.add_argument("--play", metavar="BOOTSTRAP_SERVERS", help="play the site on this broker, until ended")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.play:
        from benchmarks.consumer_cpu import pictures  # it loads much that the watching process does not need

        PlayedSite(Kafka(arguments.play), arguments.cameras, arguments.fps, pictures(16)).run()
    with EmbeddedBroker(BrokerOptions(port=0)) as broker:
        cluster = Kafka(broker.bootstrap_servers)
        create_topics(cluster, TopicPlan(partitions=_PARTITIONS))
        played = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.watch", "--play", broker.bootstrap_servers),
                *("--cameras", str(arguments.cameras), "--fps", str(arguments.fps)),
            ]
        )
        try:
            time.sleep(_WARM_UP_S)
            report = watch(cluster, arguments.cameras, arguments.seconds)
        finally:
            played.terminate()
            played.wait()
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:36} {value}")


if __name__ == "__main__":
    main()
