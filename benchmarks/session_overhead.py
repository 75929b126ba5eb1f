"""`Session.run_benchmark` and `Session.run` beside a bare loop over ONNX Runtime, on a small and on a large model.

python benchmarks/session_overhead.py [--seconds 3] [--activations 1]

A ratio of 1 means that the session costs nothing. Both sides have the same threads, the same settings and take turns,
three times each; the best of each side counts, since the machine may do other things meanwhile.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.models.files import BUILT_IN
from engine.session import Session

_ROUNDS = 3
_BLOCKS = 12
_CHANNELS = 96


def save_large(path: Path) -> Path:
    """Save a plain network of about 5 GFLOP: convolutions over 112×112 pixels, random weights."""
    random = np.random.default_rng(0)
    nodes, weights, previous, channels = [], [], "image", 3
    for block in range(_BLOCKS):
        kernel = random.standard_normal((_CHANNELS, channels, 3, 3)).astype(np.float32) * 0.05
        weights.append(numpy_helper.from_array(kernel, f"w{block}"))
        stride = 2 if block in (0, 6) else 1
        nodes.append(
            helper.make_node(
                "Conv", [previous, f"w{block}"], [f"c{block}"], pads=[1, 1, 1, 1], strides=[stride, stride]
            )
        )
        nodes.append(helper.make_node("Relu", [f"c{block}"], [f"r{block}"]))
        previous, channels = f"r{block}", _CHANNELS
    nodes.append(helper.make_node("GlobalAveragePool", [previous], ["pooled"]))
    nodes.append(helper.make_node("Flatten", ["pooled"], ["answer"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 224, 224])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", _CHANNELS])
    graph = helper.make_graph(nodes, "large", [image], [answer], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def bare(path: Path, inputs: dict[str, NDArray[np.generic]], threads: int, seconds: float) -> float:
    """Return inferences per second of `threads` loops over one session of ONNX Runtime."""
    settings = onnxruntime.SessionOptions()
    settings.inter_op_num_threads = 1
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    session.run(names, inputs)
    counts: list[int] = []
    began_s = time.monotonic()

    def loop() -> None:
        done = 0
        while time.monotonic() - began_s < seconds:
            session.run(names, inputs)
            done += 1
        counts.append(done)

    loops = [threading.Thread(target=loop) for _ in range(threads)]
    for thread in loops:
        thread.start()
    for thread in loops:
        thread.join()
    return sum(counts) / (time.monotonic() - began_s)


def best(measure: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    """Return the best of each side, taking turns."""
    rounds = [(measure(), other()) for _ in range(_ROUNDS)]
    return max(first for first, _ in rounds), max(second for _, second in rounds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--activations", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        models = {"small (workpiece)": BUILT_IN["workpiece"], "large": save_large(Path(folder) / "large.onnx")}
        print(f"{'model':20} {'bare inf/s':>12} {'run_benchmark':>14} {'ratio':>7} {'run':>10} {'ratio':>7}")
        for name, path in models.items():
            keywords = {"num_activations": arguments.activations, "inference_threads": 1, "backend": "onnxruntime"}
            with Session(path, **keywords) as session:
                random = np.random.default_rng(0)
                inputs: dict[str, NDArray[np.generic]] = {
                    key: random.integers(0, 255, shape).astype(dtype)
                    for key, (shape, dtype) in session.model_input_shape_dict().items()
                }

                def through_session(
                    session: Session = session, inputs: dict[str, NDArray[np.generic]] = inputs
                ) -> float:
                    return session.run_benchmark(inf_time=arguments.seconds, input_dict=inputs).inf_rate

                def through_run(session: Session = session, inputs: dict[str, NDArray[np.generic]] = inputs) -> float:
                    began_s, done = time.monotonic(), 0
                    while time.monotonic() - began_s < arguments.seconds:
                        session.run(inputs)
                        done += 1
                    return done / (time.monotonic() - began_s)

                def through_bare(path: Path = path, inputs: dict[str, NDArray[np.generic]] = inputs) -> float:
                    return bare(path, inputs, arguments.activations, arguments.seconds)

                bare_rate, session_rate = best(through_bare, through_session)
                run_rate = max(through_run() for _ in range(_ROUNDS))
            print(
                f"{name:20} {bare_rate:12.1f} {session_rate:14.1f} {session_rate / bare_rate:7.3f} "
                f"{run_rate:10.1f} {run_rate / bare_rate * arguments.activations:7.3f}"
            )


if __name__ == "__main__":
    main()
