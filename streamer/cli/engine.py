"""`streamer engine`: the engines, tried on a model."""

import asyncio
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from config.settings import EngineSettings, WorkerSettings
from producers.sources.address import redact
from streamer.cli.command import Call, Command, UsageError, positive, seconds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.engines.async_batch import AsyncBatchInferenceEngine
    from engine.models.program import Program

_MODES = {
    "basic": "one input after the other, through a Session",
    "batch": "inputs in batches, callbacks, no event loop",
    "async": "the same on an event loop",
    "stream": "a source that is asked for inputs for --duration, or until Ctrl-C",
    "distributed": "inputs here and on --worker-urls",
    "worker": "serve the model at --host and --port, until Ctrl-C",
}
_INTERVAL_S = 0.1
_MAX_PROBLEM_CHARS = 200
_TIMES = frozenset({"avg_inference_time", "avg_latency", "avg_waiting"})


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    from streamer.terminal import print_json, working

    arguments = call.arguments
    if arguments.mode == "worker":
        return _serve(call)
    modes = {"basic": _basic, "batch": _batch, "async": _async, "stream": _stream, "distributed": _distributed}
    with working(f"{arguments.mode}: {arguments.model}"):
        stats = modes[arguments.mode](call)
    if arguments.json:
        print_json({"mode": arguments.mode, "model": arguments.model} | stats)
    else:
        _show(f"engine, mode {arguments.mode}: {arguments.model}", stats)
    return 1 if stats["failed_inputs"] else 0


def _show(title: str, stats: Mapping[str, Any]) -> None:
    """Print statistics for people."""
    from streamer.terminal import harmless, print_table

    rows: list[tuple[str, object]] = []
    for name, value in stats.items():
        if not isinstance(value, Mapping):
            unit = " ms" if name in _TIMES else ""
            rows.append((name, f"{value:.2f}{unit}" if isinstance(value, float) else value))
    for name, each in stats.get("streams", {}).items():
        rows.append((f"stream {name}", f"{each['total_outputs']} outputs"))
    for url, each in stats.get("workers", {}).items():
        problem = each["problem"].removeprefix(f"worker {url}").lstrip(": ")
        count = f"{each['rows']} rows"
        rows.append((f"worker {url}", f"{count}; {harmless(problem, _MAX_PROBLEM_CHARS)}" if problem else count))
    print_table(title, ("figure", "value"), rows)


def _keywords(call: Call) -> dict[str, Any]:
    from streamer.compose import engine_keywords

    arguments = call.arguments
    return engine_keywords(call.loaded.settings) | {"device": arguments.device, "batch_size": arguments.batch_size}


def _inputs(program: "Program") -> "dict[str, NDArray[Any]]":
    """Return random data for one input of the model; an axis that the file leaves open is 1."""
    import numpy as np

    from engine.models.program import random_values

    random = np.random.default_rng(0)
    return {
        spec.name: random_values(random, (1, *(size or 1 for size in spec.shape[1:])), spec.dtype)
        for spec in program.inputs
    }


def _basic(call: Call) -> dict[str, Any]:
    from engine.engines.devices import session_keywords
    from engine.session import Session
    from streamer.compose import engine_keywords

    keywords = engine_keywords(call.loaded.settings)
    keywords |= session_keywords(keywords.pop("backend", None), call.arguments.device)
    with Session(call.arguments.model, enable_metrics=True, **keywords) as session:
        inputs = _inputs(session.program)
        with suppress(KeyboardInterrupt):  # here and below: what was done until then is shown
            for _ in range(call.arguments.num_inputs):
                session.run(inputs)
        metrics = session.get_metrics()
    count = int(metrics["num_of_inferences"])
    return {
        "total_inputs": count,
        "total_outputs": count,
        "failed_inputs": 0,
        "avg_inference_time": metrics["avg_latency"] * 1e3,
        "latency_ms": {"p50": metrics["P50"] * 1e3, "p99": metrics["P99"] * 1e3},
    }


def _batch(call: Call) -> dict[str, Any]:
    from engine.engines.synchronous import BatchInferenceEngine

    with BatchInferenceEngine(call.arguments.model, **_keywords(call)) as engine:
        inputs = _inputs(engine.program)
        with suppress(KeyboardInterrupt):
            for number in range(call.arguments.num_inputs):
                engine.add_input(f"input_{number}", inputs)
    return engine.get_stats()


def _async(call: Call) -> dict[str, Any]:
    from engine.engines.async_batch import AsyncBatchInferenceEngine

    return asyncio.run(_feed(call, AsyncBatchInferenceEngine(call.arguments.model, **_keywords(call))))


def _distributed(call: Call) -> dict[str, Any]:
    from engine.engines.distributed import DistributedInferenceEngine, is_worker_url

    urls = call.arguments.worker_urls
    if not urls:
        raise UsageError("streamer engine --mode distributed: give --worker-urls http://HOST:PORT …")
    for url in urls:
        if not is_worker_url(url):
            raise UsageError(
                f"streamer engine: --worker-urls {redact(url)}: give http://HOST:PORT, without a user; "
                "STREAMER_WORKER_TOKEN holds the token of workers that want one"
            )
    keywords = _keywords(call) | {"worker_timeout": call.arguments.worker_timeout}
    return asyncio.run(_feed(call, DistributedInferenceEngine(call.arguments.model, worker_urls=urls, **keywords)))


async def _feed(call: Call, engine: "AsyncBatchInferenceEngine") -> dict[str, Any]:
    async with engine:
        inputs = _inputs(engine.program)
        with suppress(asyncio.CancelledError):  # what Ctrl-C is to a task
            for number in range(call.arguments.num_inputs):
                await engine.add_input(f"input_{number}", inputs)
    return engine.get_stats()


def _stream(call: Call) -> dict[str, Any]:
    from engine.engines.synchronous import SyncStreamingInferenceEngine

    with SyncStreamingInferenceEngine(call.arguments.model, **_keywords(call)) as engine:
        inputs = _inputs(engine.program)
        engine.start_stream("demo", lambda: inputs, lambda _: None, interval=_INTERVAL_S)
        with suppress(KeyboardInterrupt):
            time.sleep(call.arguments.duration)
        engine.stop_stream("demo")
    return engine.get_stats()


def _serve(call: Call) -> int:
    """Be `streamer worker`."""
    from streamer.cli.worker import serve

    arguments = call.arguments
    wanted = WorkerSettings(
        model=arguments.model,
        device=arguments.device,
        host=arguments.host,
        port=arguments.port,
        batch_size=arguments.batch_size,
    )
    return asyncio.run(serve(call.loaded.settings, wanted, as_json=arguments.json))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--model", required=True, metavar="MODEL", help="an .onnx file, an .npz, a QPC, or `workpiece`")
    text = "; ".join(f"{name}: {what}" for name, what in _MODES.items())
    parser.add_argument("--mode", choices=_MODES, default="basic", help=f"{text} (default: basic)")
    parser.add_argument("--device", help="AUTO, CPU, CUDA, OCL, or the back end's own name (default: AUTO)")
    parser.add_argument("--batch-size", type=positive, default=4, metavar="N", help="rows in a batch (default: 4)")
    parser.add_argument("--num-inputs", type=positive, default=10, metavar="N", help="inputs to run (default: 10)")
    parser.add_argument("--duration", type=seconds, default=5.0, metavar="TIME", help="of a stream (default: 5s)")
    parser.add_argument(
        "--worker-urls",
        nargs="+",
        default=[],
        metavar="URL",
        help="http://HOST:PORT of workers; the variable STREAMER_WORKER_TOKEN holds the token of those that want one",
    )
    parser.add_argument(
        "--worker-timeout", type=seconds, default=30.0, metavar="TIME", help="of a worker's answer (default: 30s)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="where the worker listens (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8070, help="its port; 0 takes a free one (default: 8070)")
    parser.add_argument("--json", action="store_true", help="the statistics as one JSON object, on the last line")


COMMAND = Command(
    help="Try the engines on a model, with random data, and print what they count and how long it took (ms).",
    run=_run,
    settings=((EngineSettings, ""),),
    add_arguments=_arguments,
    examples="streamer engine --model workpiece\n"
    "streamer engine --model mobilenet_v2.onnx --mode batch --batch-size 4 --num-inputs 10\n"
    "streamer engine --model mobilenet_v2.onnx --mode stream --duration 5.0\n"
    "streamer engine --model mobilenet_v2.onnx --mode distributed --worker-urls http://worker1:8070 http://worker2:8070",
)
