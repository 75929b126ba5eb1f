"""The engines beside the bare session, and the worker beside LitServe and mosec, in one run.

    python -m benchmarks.engines [--seconds 5] [--peers PYTHON]

mobilenet_v2 with random weights, 224×224×3 uint8 in, on ONNX Runtime's CPU, and the built-in model. The engine and the
session take turns; each has the same batches. The clients of the servers are one process with a few threads that send
prepared bodies over kept connections, each its next one when the last is answered, so what a server does not take of
the machine the others have alike. `--peers` names a Python in which litserve, mosec, numpy and onnxruntime are
installed; without it our own figures come alone.
"""

import argparse
import asyncio
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, compose, helper, numpy_helper

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.v2 import HEADER_LENGTH
from engine.models.files import BUILT_IN
from engine.session import Session
from streamer.processes import CommandProcess

_BATCH = 8
_ROUNDS = 3
_TIMEOUT_S = 0.02
_READY_S = 60.0
_RAW = {"Content-Type": "application/octet-stream"}
#: Where each takes requests.
_PEERS = {"litserve": "/predict", "mosec": "/inference"}
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Batch = NDArray[np.generic]


def save_mobilenet(path: Path) -> Path:
    """Save mobilenet_v2 that takes uint8[n, 224, 224, 3] and normalises by itself."""
    from engine.models.zoo.building import build
    from engine.models.zoo.catalog import find_architecture
    from engine.models.zoo.export import export_onnx

    architecture = find_architecture("mobilenet_v2")
    export_onnx(build(architecture, "random", architecture.image_size_px), path)
    model = onnx.load(path)
    scale = 1 / (255 * np.array(_STD, np.float32))
    shift = -np.array(_MEAN, np.float32) / np.array(_STD, np.float32)
    constants = [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(shift, "shift")]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "scale"], ["scaled"]),
        helper.make_node("Add", ["scaled", "shift"], ["shifted"]),
        helper.make_node("Transpose", ["shifted"], ["pixels"], perm=[0, 3, 1, 2]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", 224, 224, 3])
    pixels = helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, 224, 224])
    front = helper.make_model(
        helper.make_graph(nodes, "front", [image], [pixels], constants),
        opset_imports=model.opset_import,
        ir_version=model.ir_version,
    )
    name = model.graph.input[0].name
    onnx.save(compose.merge_models(front, model, [("pixels", name)]), path)
    return path


def batches_of(model: Path) -> tuple[str, Batch]:
    """Return the name of a model's input, and a batch of noise for it."""
    random = np.random.default_rng(0)
    with Session(model) as session:
        (spec,) = session.program.inputs
        shape = (_BATCH, *(int(size or 1) for size in spec.shape[1:]))
        if spec.dtype == np.uint8:
            return spec.name, random.integers(0, 256, shape, np.uint8)
        return spec.name, random.random(shape).astype(spec.dtype)


def bare(model: Path, inputs: dict[str, Batch], seconds: float) -> float:
    """Return batches/s of a session that always has work, as its own benchmark keeps it."""
    with Session(model) as session:
        count = session.slots
        done = [0] * count
        session.run(inputs)
        until_s = time.monotonic() + seconds

        def loop(number: int) -> None:
            while time.monotonic() < until_s:
                session.run(inputs)
                done[number] += 1

        began_s = time.monotonic()
        threads = [threading.Thread(target=loop, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sum(done) / (time.monotonic() - began_s)


def engine(model: Path, name: str, batch: Batch, rows: int, seconds: float) -> float:
    """Return batches/s of the engine that always has work, in inputs of so many rows."""
    inputs = [{name: batch[start : start + rows]} for start in range(0, _BATCH, rows)]

    async def saturate() -> float:
        answered, last_s = 0, 0.0

        def count(*_: Any) -> None:
            nonlocal answered, last_s
            answered, last_s = answered + rows, time.monotonic()

        async with AsyncBatchInferenceEngine(
            model, batch_size=_BATCH, batch_timeout=_TIMEOUT_S, max_queue_size=8 * _BATCH // rows
        ) as batches:
            for each in inputs:
                await batches.infer(each)
            began_s, number = time.monotonic(), 0
            while time.monotonic() < began_s + seconds:
                await batches.add_input(number, inputs[number % len(inputs)], count)
                number += 1
        return answered / _BATCH / (last_s - began_s)  # what was still queued is answered, as the bare session's is

    return asyncio.run(saturate())


@dataclass(frozen=True)
class Served:
    """What clients got.

    Attributes:
        images_per_s: All of them together.
        p99_ms: From a request to the end of its answer.
    """

    images_per_s: float
    p99_ms: float


def ask(port: int, path: str, headers: dict[str, str], body: bytes, rows: int, clients: int, seconds: float) -> Served:
    """Let clients ask again and again; each waits for its answer."""
    latencies_ms: list[list[float]] = [[] for _ in range(clients)]
    failures: list[str] = []
    until_s = time.monotonic() + seconds

    def client(own: list[float]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while (time.monotonic() < until_s or not own) and not failures:
                began_s = time.monotonic()
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                data = answer.read()
                if answer.status != http.client.OK:
                    failures.append(f"{answer.status}: {data[:200]!r}")
                own.append((time.monotonic() - began_s) * 1e3)
        except (OSError, http.client.HTTPException) as exc:
            failures.append(str(exc))
        finally:
            connection.close()

    began_s = time.monotonic()
    threads = [threading.Thread(target=client, args=(own,)) for own in latencies_ms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise RuntimeError(failures[0])
    every = sorted(latency for own in latencies_ms for latency in own)
    fps = len(every) * rows / (time.monotonic() - began_s)
    return Served(fps, every[min(int(len(every) * 0.99), len(every) - 1)])


@contextmanager
def our_worker(model: Path) -> Iterator[int]:
    """Serve the model with `streamer worker`."""
    words = ["worker", "--model", str(model), "--port", "0", "--batch-size", str(_BATCH), "--json"]
    with CommandProcess("streamer worker", [*words, "--batch-timeout", f"{_TIMEOUT_S * 1e3:g}ms"]) as worker:
        worker.start(os.environ)
        yield int(worker.first_json(_READY_S)["address"].rpartition(":")[2])
        worker.terminate()


@contextmanager
def peer(name: str, python: str, model: Path, batch: Batch, requests_in_a_batch: int) -> Iterator[int]:
    """Serve the model with a peer."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = os.environ | {
        "PEER_MODEL": str(model),
        "PEER_PORT": str(port),
        "PEER_ROW": ",".join(str(size) for size in batch.shape[1:]),
        "PEER_DTYPE": batch.dtype.str,
        "PEER_BATCH": str(requests_in_a_batch),
        "PEER_TIMEOUT_S": str(_TIMEOUT_S),
    }
    program = [python, "-m", f"benchmarks.peers.with_{name}"]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            program, cwd=Path(__file__).parents[1], env=environ, stdout=said, stderr=said, start_new_session=True
        )
        try:
            _wait_for(port, batch[:1].tobytes(), name, process)
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for(port: int, body: bytes, name: str, process: subprocess.Popen[bytes]) -> None:
    until_s = time.monotonic() + _READY_S
    while time.monotonic() < until_s and process.poll() is None:
        try:
            ask(port, _PEERS[name], _RAW, body, 1, 1, 0.0)
        except RuntimeError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"{name} does not answer")


def v2_request(model: Path, name: str, batch: Batch) -> tuple[str, dict[str, str], bytes]:
    """Return path, headers and body of a request with binary tensors."""
    kind = {"uint8": "UINT8", "float32": "FP32"}[batch.dtype.name]
    data = batch.tobytes()
    head = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": batch.shape,
                    "datatype": kind,
                    "parameters": {"binary_data_size": len(data)},
                }
            ],
            "parameters": {"binary_data_output": True},
        }
    ).encode()
    return f"/v2/models/{model.stem}/infer", {HEADER_LENGTH: str(len(head))}, head + data


def in_process(model: Path, seconds: float) -> tuple[float, dict[str, float]]:
    """Return images/s of the bare session, and what share of it the engine reaches, by the rows of an input."""
    name, batch = batches_of(model)
    sides: dict[str, Callable[[], float]] = {
        "session": lambda: bare(model, {name: batch}, seconds),
        "engine, 8 rows an input": lambda: engine(model, name, batch, _BATCH, seconds),
        "engine, 1 row an input": lambda: engine(model, name, batch, 1, seconds),
    }
    found: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(_ROUNDS):
        for side, measure in sides.items():
            found[side].append(measure() * _BATCH)
    ratios = {
        side: median(one / session for one, session in zip(found[side], found["session"], strict=True))
        for side in list(sides)[1:]
    }
    return median(found["session"]), ratios


def over_http(
    model: Path, peers: str | None, rows: int, clients: tuple[int, ...], seconds: float
) -> dict[int, dict[str, Served]]:
    """Return what so many clients get of each server, with requests of so many rows."""
    name, batch = batches_of(model)
    body = batch[:rows]
    raw = body.tobytes()
    with ExitStack() as stack:
        servers = {"streamer worker": (stack.enter_context(our_worker(model)), *v2_request(model, name, body))}
        for server, path in _PEERS.items() if peers is not None else ():
            port = stack.enter_context(peer(server, peers or "", model, batch, _BATCH // rows))
            servers[server] = (port, path, _RAW, raw)
        return {
            count: {
                server: Served(median(each.images_per_s for each in found), median(each.p99_ms for each in found))
                for server, found in _in_turn(servers, rows, count, seconds).items()
            }
            for count in clients
        }


def _in_turn(
    servers: dict[str, tuple[int, str, dict[str, str], bytes]], rows: int, clients: int, seconds: float
) -> dict[str, list[Served]]:
    """Ask each server in turn, round by round; the first round warms up."""
    found: dict[str, list[Served]] = {server: [] for server in servers}
    for number in range(_ROUNDS + 1):
        for server, (port, path, headers, body) in servers.items():
            served = ask(port, path, headers, body, rows, clients, seconds)
            if number:
                found[server].append(served)
    return found


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--peers", metavar="PYTHON", help="a Python with litserve, mosec, numpy and onnxruntime")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for model in (save_mobilenet(Path(folder) / "mobilenet_v2.onnx"), BUILT_IN["workpiece"]):
            fps, ratios = in_process(model, arguments.seconds)
            print(f"{model.stem}: bare session {fps:.1f} images/s in batches of {_BATCH}")
            for side, ratio in ratios.items():
                print(f"  {side}: {ratio:.3f} of it")
            for rows, clients in ((_BATCH, (1, 2, 4)), (1, (8, 16, 32))):
                for count, found in over_http(model, arguments.peers, rows, clients, arguments.seconds).items():
                    for server, served in found.items():
                        print(
                            f"  {server}, requests of {rows}, {count} clients: {served.images_per_s:.1f} images/s "
                            f"({served.images_per_s / fps:.3f}), p99 {served.p99_ms:.1f} ms",
                            flush=True,
                        )


if __name__ == "__main__":
    main()
