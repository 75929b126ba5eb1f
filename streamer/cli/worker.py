"""`streamer worker`: a model for other machines."""

import asyncio
import sys
from argparse import ArgumentParser

from config.settings import EngineSettings, ObservingSettings, Settings, WorkerSettings
from streamer.cli.command import Call, Command, UsageError


def _run(call: Call) -> int:
    if call.loaded.settings.worker.model is None:
        raise UsageError("streamer worker: give a model: --model mobilenet_v2.onnx, or --model workpiece")
    settings = call.loaded.settings
    return asyncio.run(serve(settings, settings.worker, as_json=call.arguments.json))


async def serve(settings: Settings, wanted: WorkerSettings, *, as_json: bool) -> int:
    """Serve a model until a signal ends it; return the exit code."""
    # Imported here: the help text needs none of it.
    from engine.engines.worker import WorkerServer
    from streamer.access_token import access_token
    from streamer.compose import engine_keywords
    from streamer.logs import say
    from streamer.monitoring import Monitoring
    from streamer.stopping import stop_on_signals
    from streamer.telemetry import Role, telemetry
    from streamer.terminal import print_json

    stop = stop_on_signals()
    with Monitoring(settings) as monitoring:
        server = WorkerServer(
            wanted.model or "",
            host=wanted.host,
            port=wanted.port,
            token=access_token(wanted.token, wanted.token_file, "worker.token_file"),
            max_body_bytes=int(wanted.max_body_bytes),
            max_connections=wanted.max_connections,
            model_name=wanted.model_name,
            device=wanted.device,
            batch_size=wanted.batch_size,
            batch_timeout=wanted.batch_timeout.total_seconds(),
            max_queue_size=wanted.max_queue_size,
            max_queue_bytes=int(wanted.max_queue_bytes),
            **engine_keywords(settings),
        )
        said = {"streamer.model": server.model_name}
        with telemetry(Role.WORKER, said, monitoring.prometheus):
            async with server:
                monitoring.watch(lambda: "", server.why_not_ready)
                if as_json:
                    print_json({"address": server.address, "model": server.model_name})
                else:
                    print(f"{server.model_name} is served at {server.address}; Ctrl-C ends it", file=sys.stderr)
                await asyncio.to_thread(stop.wait)
                say("stopping: requests under way are answered")
            stats = server.get_stats()
    say(f"{stats['total_outputs']} requests, {stats['failed_inputs']} failed, {stats['total_batches']} batches")
    return 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="its address as one JSON object, once it answers")


COMMAND = Command(
    help="Serve a model to other machines, over the Open Inference Protocol v2 that KServe and Triton speak, with\n"
    "binary tensors: health, metadata, infer, statistics, /metrics. Requests of all clients share batches.\n\n"
    "It needs the extra `distributed`: pip install 'aic-streamer[distributed]'.",
    run=_run,
    settings=((WorkerSettings, "worker"), (EngineSettings, ""), (ObservingSettings, "")),
    add_arguments=_arguments,
    examples="streamer worker --model mobilenet_v2.onnx --port 8070\n"
    "streamer worker --model workpiece --backend openvino --batch-size 16 --metrics-port 9464\n"
    "STREAMER_WORKER_TOKEN=… streamer worker --model mobilenet_v2.onnx --host 0.0.0.0",
)
