"""`streamer analyze`: what a model is made of, what it costs, and where it runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.cli.command import Call, Command, seconds
from streamer.cli.model_tools import add_json_flag, say_notes

if TYPE_CHECKING:
    from engine.models.tools.analysis import Analysis

_SHOWN_LAYERS = 15


def _run(call: Call) -> int:
    from engine.models.tools.analysis import analyze_model
    from streamer.terminal import print_json, working

    arguments = call.arguments
    with working(f"analysing {Path(arguments.source).name}") as status:
        result = analyze_model(
            arguments.source,
            backends=not arguments.no_backends,
            backend_timeout_s=arguments.backend_timeout,
            on_progress=status,
        )
    say_notes(result.notes)
    if arguments.json:
        print_json(result.as_json())
    else:
        _print(result)
    return 0


def _print(result: "Analysis") -> None:
    from streamer.terminal import print_table

    operators = ", ".join(f"{name} × {count}" if count > 1 else name for name, count in result.operators.items())
    print_table(
        str(result.path),
        ("figure", "value"),
        [
            *((f"input {value.name}", value) for value in result.inputs),
            *((f"output {value.name}", value) for value in result.outputs),
            ("parameters", f"{result.parameters:,}"),
            ("FLOPs", "not known: shapes are open" if result.flops is None else f"{result.flops:,} for one row"),
            ("size", f"{result.size_bytes:,} bytes"),
            ("operators", operators),
        ],
    )
    if result.layers:
        shown = result.layers[:_SHOWN_LAYERS]
        rest = len(result.layers) - len(shown)
        print_table(
            f"slowest layers on ONNX Runtime{f' ({rest} more: --json)' if rest else ''}",
            ("layer", "operator", "ms", "share"),
            [(layer.name, layer.operator, f"{layer.ms:.4f}", f"{layer.share:.1%}") for layer in shown],
        )
    if result.backends:
        print_table(
            "back ends", ("back end", "runs it"), [(name, why or "yes") for name, why in result.backends.items()]
        )


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="an .onnx, .npz, .tflite or torch file, or `workpiece`")
    parser.add_argument("--no-backends", action="store_true", help="do not try which back ends run it")
    parser.add_argument(
        "--backend-timeout", type=seconds, default=120.0, metavar="TIME", help="for one back end (default: 2m)"
    )
    add_json_flag(parser)


COMMAND = Command(
    help="Show what a model takes and gives, its parameters, operations, size and operators, how long each of its\n"
    "layers takes on this machine's CPU, and which back ends run it here.\n\n"
    "FLOPs are two for each multiplication with an addition, in convolutions and matrix products, for one row.",
    run=_run,
    add_arguments=_arguments,
    examples="streamer analyze model.onnx\nstreamer analyze workpiece --no-backends --json",
)
