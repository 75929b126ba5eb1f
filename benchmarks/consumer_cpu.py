"""CPU per frame of `streamer consume`, everything on, beside the bare work: decode and model, straight from memory.

A near-free model (a few pixels and a small product), 256×256 JPEGs of about 10 KB, a real broker on this machine. The
consumer is the real command in a process of its own; it runs twice, over few and over many frames, and the slope
between the two is the price of a frame without the price of the start. Run it by `make bench`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import simplejpeg
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.frame import Frame, frame_id, write_frame
from messaging.kafka import Kafka
from messaging.timestamps import now_us
from messaging.topics import TopicNames, TopicPlan, create_topics
from messaging.trace_context import new_traceparent

_SIDE_PX = 256
_CAMERAS = 8
_IDLE = "2s"


def near_free_model(path: Path) -> None:
    """Write a classifier that looks at 64 pixels: uint8[batch, 256, 256, 3] in, float32[batch, 5] out."""
    random = np.random.default_rng(0)
    weights = numpy_helper.from_array(random.standard_normal((192, 5)).astype(np.float32), "weights")
    constants = [
        numpy_helper.from_array(np.array(values, np.int64), name)
        for name, values in (("starts", [0, 0]), ("ends", [256, 256]), ("axes", [1, 2]), ("steps", [32, 32]))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Slice", ["image", "starts", "ends", "axes", "steps"], ["few"]),
            helper.make_node("Cast", ["few"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("Flatten", ["numbers"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        ],
        "near-free",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", _SIDE_PX, _SIDE_PX, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 5])],
        [weights, *constants],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def pictures(count: int) -> list[bytes]:
    """Return JPEGs of 256×256 pixels and about 10 KB."""
    random = np.random.default_rng(1)
    jpegs = []
    for _ in range(count):
        coarse = random.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(coarse).resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BICUBIC))
        noisy: NDArray[np.uint8] = np.clip(smooth + random.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)
        jpegs.append(simplejpeg.encode_jpeg(noisy, quality=80, colorspace="RGB", colorsubsampling="420"))
    return jpegs


def feed(cluster: Kafka, topics: TopicNames, jpegs: list[bytes], frames: int, sampled_every: int = 0) -> None:
    """Publish frames of several cameras, every so many of them sampled, and wait for the broker to have them."""
    producer = cluster.producer(linger_ms=20)
    for number in range(frames):
        camera, sequence = f"camera-{number % _CAMERAS}", number // _CAMERAS
        frame = Frame(
            camera=camera,
            session="benchmark",
            sequence=sequence,
            frame_id=frame_id(camera, "benchmark", sequence),
            captured_at_us=now_us(),
            data=jpegs[number % len(jpegs)],
            content_type="image/jpeg",
            traceparent=new_traceparent()[:-2] + ("01" if sampled_every and number % sampled_every == 0 else "00"),
        )
        message = write_frame(frame)
        producer.send(topics.frames, message.value, message.key, message.headers, timestamp_ms=message.timestamp_ms)
        if number % 500 == 499:
            producer.flush(30)
    producer.flush(30)
    producer.close()


def consume(
    cluster: Kafka,
    topics: TopicNames,
    model: Path | None,
    extra: list[str],
    variables: Mapping[str, str] | None = None,
) -> tuple[float, float, dict[str, object]]:
    """Run the real command over a topic; return its CPU seconds, its peak memory in MB and its figures."""
    said = ["--model", str(model)] if model is not None else []
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "streamer", "consume", *said, "--until-idle", _IDLE, "--json",
                "--bootstrap-servers", cluster.bootstrap_servers,
                "--frames-topic", topics.frames, "--results-topic", topics.results, *extra,
            ],
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=os.environ | dict(variables or {}),
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"streamer consume ended with {process.returncode}")
        output.seek(0)
        figures: dict[str, object] = json.loads(output.read().strip().splitlines()[-1])
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, figures


def bare(model: Path, jpegs: list[bytes], frames: int) -> float:
    """Return CPU µs per frame of decoding into a batch of 8 and running the model, and nothing else."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
    rows = np.empty((8, _SIDE_PX, _SIDE_PX, 3), np.uint8)
    began_s = time.process_time()
    for first in range(0, frames, 8):
        for row in range(8):
            simplejpeg.decode_jpeg(
                jpegs[(first + row) % len(jpegs)], "RGB", fastdct=True, fastupsample=True, buffer=rows[row]
            )
        session.run(None, {"image": rows})
    return (time.process_time() - began_s) / frames * 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=8000, help="frames of the long run")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("consume", nargs="*", help="more flags for streamer consume, after --")
    arguments = parser.parse_args()
    jpegs = pictures(64)
    few, many = arguments.frames // 8, arguments.frames
    runs = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerOptions()) as broker:
        model = Path(folder) / "near-free.onnx"
        near_free_model(model)
        cluster = Kafka(broker.bootstrap_servers)
        for frames in (few, many):
            topics = TopicNames(frames=f"frames-{frames}", results=f"results-{frames}")
            create_topics(cluster, TopicPlan(topics))
            feed(cluster, topics, jpegs, frames)
            runs.append(consume(cluster, topics, model, arguments.consume))
        limit_us = bare(model, jpegs, 4000)
    (few_cpu_s, _, _), (many_cpu_s, memory_mb, figures) = runs
    frame_us = (many_cpu_s - few_cpu_s) / (many - few) * 1e6
    report = {
        "jpeg_bytes_mean": round(sum(map(len, jpegs)) / len(jpegs)),
        "cpu_us_per_frame": round(frame_us, 1),
        "bare_decode_and_model_us_per_frame": round(limit_us, 1),
        "ratio": round(frame_us / limit_us, 3),
        "peak_memory_mb": round(memory_mb, 1),
        "frames_per_second": figures["fps"],
        "mean_batch_size": figures["batch"]["mean_size"],  # type: ignore[index]
        "classified": figures["classified"],
    }
    if arguments.json:
        print(json.dumps(report))
    else:
        for name, value in report.items():
            print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
