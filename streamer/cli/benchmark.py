"""`streamer benchmark`: run a model as fast as its device takes it."""

import sys
from argparse import ArgumentParser

from config.errors import ConfigError
from config.settings import BenchmarkSettings, EngineSettings
from streamer.cli.command import Call, Command

#: Figures of a run that is shorter than this are mostly chance.
_SHORT_S = 0.5


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    from engine.session import Session
    from streamer.compose import engine_keywords
    from streamer.terminal import print_json, print_table, working

    if call.arguments.rows:
        return _print_rows(as_json=call.arguments.json)
    settings = call.loaded.settings
    wanted = settings.benchmark
    if wanted.num_inferences is not None and wanted.time is not None:
        raise ConfigError("give --num-inferences or --time, not both")
    keywords = engine_keywords(settings) | ({"device": wanted.device} if wanted.device is not None else {})
    with working("compiling and loading"):
        session = Session(call.arguments.model, **keywords)
    with session:
        session.setup()
        seconds = wanted.time.total_seconds() if wanted.time is not None else None
        with working("running"):
            result = session.run_benchmark(wanted.num_inferences, seconds)
        health = session.health()
    values = dict(zip(result._fields, result, strict=True))
    if call.arguments.json:
        print_json(
            values
            | {
                "inf_unit": "batch",
                "images_per_s": result.images_per_s,
                "latency_ms": result.latency_ms(0.95),
                "latency_p50_ms": result.latency_ms(0.5),
                "latency_p99_ms": result.latency_ms(0.99),
                "backend": session.backend_name,
                "device": health.detail,
                "simulated": session.is_simulated,
            }
        )
        return 0
    title = f"{call.arguments.model or settings.row} on {health.detail}"
    rows = [
        ("inf_completed", f"{result.inf_completed:,} batches"),
        ("inf_rate", f"{result.inf_rate:,.1f} batches/s, {result.images_per_s:,.1f} images/s"),
        ("inf_time", f"{result.inf_time:.3f} s"),
        ("batch_size", f"{result.batch_size} {'image' if result.batch_size == 1 else 'images'}"),
        *((f"latency p{percent}", f"{result.latency_ms(percent / 100):.3f} ms a batch") for percent in (50, 95, 99)),
    ]
    print_table(title, ("figure", "value"), rows)
    if result.inf_time < _SHORT_S:
        print(f"a short run: --time 2 tells more than {result.inf_time:.3f} s", file=sys.stderr)
    return 0


def _print_rows(*, as_json: bool) -> int:
    """Print the cards that the simulator knows."""
    from dataclasses import asdict

    from engine.backends.simulator.figures import read_figures
    from streamer.terminal import print_json, print_table

    rows = list(read_figures().rows.values())
    if as_json:
        print_json({"rows": [asdict(row) | {"latency_is_reproduced": row.latency_is_reproduced} for row in rows]})
        return 0
    print_table(
        "Published figures of Cloud AI 100 (Qualcomm); * the listed latency follows from Little's law",
        ("row", "images/s", "latency p95 ms", "batch", "in flight", "px"),
        (
            (
                row.name,
                f"{row.images_per_s:,.0f}",
                f"{row.latency_p95_ms or 0:.1f}{' *' if row.latency_is_reproduced else '  '}",
                row.batch_size,
                f"{row.instances} × {row.set_size}",
                row.image_size_px,
            )
            for row in rows
        ),
    )
    return 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="an .onnx file, a QPC, `workpiece`; none for a simulated card alone"
    )
    parser.add_argument("--rows", action="store_true", help="list the cards that the simulator knows, and end")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Run a model as fast as its device takes it, on random data, and print what `Session.run_benchmark` gives.\n\n"
    "It counts batches; images per second stand beside them. A batch's latency counts from when the device takes it\n"
    "up; of the JSON's three, latency_ms is the 95th percentile.",
    run=_run,
    settings=((BenchmarkSettings, "benchmark"), (EngineSettings, "")),
    add_arguments=_arguments,
    examples="streamer benchmark workpiece\n"
    "streamer benchmark resnet50.onnx --time 20 --activations 2 --json\n"
    "streamer benchmark --backend simulator --row resnet50/best-throughput --time 5",
)
