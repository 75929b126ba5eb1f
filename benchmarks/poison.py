"""What frames that cannot be classified cost the others: 5 % of them beside none, at full rate.

Two topics with the same number of good frames; every 20th frame of the second one is poison: empty, text, a picture
that is cut, one of 400 million pixels, one of 16 bits. The real command reads both in turn, in a process and a group of
its own each time; the throughput is that of the good frames alone. Run it by `python -m benchmarks.poison`.
"""

import argparse
import json
import tempfile
import uuid
from io import BytesIO
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from benchmarks.consumer_cpu import consume, feed, near_free_model, pictures
from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.kafka import Kafka
from messaging.topics import TopicNames, TopicPlan, create_topics

_EVERY = 20


def poison(jpegs: list[bytes]) -> list[bytes]:
    """Return one frame of each kind that cannot be classified, about as large as the pictures where it can be."""
    random = np.random.default_rng(2)
    deep = BytesIO()
    Image.fromarray(random.integers(0, 65535, (72, 72), dtype=np.uint16)).save(deep, "PNG")
    bomb = BytesIO()
    Image.new("1", (64, 64)).save(bomb, "BMP")
    bomb_size = np.array([20_000, 20_000], "<i4").tobytes()
    return [
        b"",
        b"this is no picture " * 500,
        jpegs[0][: len(jpegs[0]) * 2 // 3],
        bomb.getvalue()[:18] + bomb_size + bomb.getvalue()[26:] + bytes(10_000),
        deep.getvalue(),
    ]


def mixed(jpegs: list[bytes]) -> list[bytes]:
    """Return the pictures with poison in every 20th place, each kind in turn."""
    good = iter(jpegs * _EVERY)
    return [each if place == 0 else next(good) for each in poison(jpegs) for place in range(_EVERY)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=7600, help="good frames of a run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each kind, in turn")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("consume", nargs="*", help="more flags for streamer consume, after --")
    arguments = parser.parse_args()
    jpegs = pictures(64)
    blocks = max(arguments.frames // (_EVERY - 1), 1)
    wanted = blocks * (_EVERY - 1)
    fps: dict[str, list[float]] = {"clean": [], "poisoned": []}
    cpu_us: dict[str, list[float]] = {"clean": [], "poisoned": []}
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerOptions()) as broker:
        model = Path(folder) / "near-free.onnx"
        near_free_model(model)
        cluster = Kafka(broker.bootstrap_servers)
        for kind, values, frames in (("clean", jpegs, wanted), ("poisoned", mixed(jpegs), blocks * _EVERY)):
            topics = TopicNames(frames=kind)
            create_topics(cluster, TopicPlan(topics))
            feed(cluster, topics, values, frames)
        for _ in range(arguments.rounds):
            for kind, dead in (("clean", 0), ("poisoned", blocks)):
                flags = ["--group", f"{kind}-{uuid.uuid4().hex[:8]}", "--until-idle", "5s", *arguments.consume]
                cpu_s, _, figures = consume(cluster, TopicNames(frames=kind), model, flags)
                all_fps = figures["fps"]
                if (figures["classified"], figures["dead_lettered"]) != (wanted, dead) or not isinstance(
                    all_fps, float
                ):
                    raise SystemExit(f"not what was sent: {figures}")
                fps[kind].append(all_fps * wanted / (wanted + dead))
                cpu_us[kind].append(cpu_s / wanted * 1e6)
    report = {
        "good_frames": wanted,
        "poison_share": round(1 / _EVERY, 3),
        "clean_frames_per_second": round(median(fps["clean"]), 1),
        "poisoned_good_frames_per_second": round(median(fps["poisoned"]), 1),
        "ratio": round(median(poisoned / clean for clean, poisoned in zip(*fps.values(), strict=True)), 3),
        "clean_cpu_us_per_good_frame_with_start": round(median(cpu_us["clean"]), 1),
        "poisoned_cpu_us_per_good_frame_with_start": round(median(cpu_us["poisoned"]), 1),
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:45} {value}")


if __name__ == "__main__":
    main()
