"""`streamer optimize`: make a model smaller or faster."""

from argparse import ArgumentParser
from pathlib import Path

from streamer.cli.command import Call, Command
from streamer.cli.model_tools import REPLACES, add_json_flag, comparison_rows, say_notes
from streamer.cli.output_file import writable


def _run(call: Call) -> int:
    from engine.models.tools.optimization import optimize_model
    from streamer.terminal import print_json, print_table, working

    arguments = call.arguments
    source, target = arguments.source, Path(arguments.target)
    with working(f"optimising {Path(source).name}") as status:
        result = optimize_model(source, target, arguments.level, on_progress=status)
    say_notes(result.notes)
    if arguments.json:
        print_json(result.as_json())
    else:
        print_table(f"{source} → {target}, level {result.level}", ("", "value"), comparison_rows(result.comparison))
    return 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="an .onnx, .npz or .tflite file, or `workpiece`")
    parser.add_argument("target", metavar="OUT", type=writable, help=f"the file to make, of the same kind{REPLACES}")
    parser.add_argument("--level", type=int, default=2, choices=range(4), help="how far, 0–3 (default: 2)")
    add_json_flag(parser)


COMMAND = Command(
    help="Write an optimised copy of a model, and compare both on the same inputs.\n\n"
    "level  .onnx, .npz                                       .tflite\n"
    "    0  checked and copied                                the same\n"
    "    1  constants folded, unused parts removed,           unused parts removed,\n"
    "       equal weights shared                              equal buffers shared\n"
    "    2  and fused, with operators that every runtime has  and weights as float16\n"
    "    3  (.onnx) for ONNX Runtime on this processor alone  or weights as int8, computed in floats",
    run=_run,
    add_arguments=_arguments,
    examples="streamer optimize model.onnx smaller.onnx\n"
    "streamer optimize model.onnx fast.onnx --level 3 --json\n"
    "streamer optimize model.tflite half.tflite --level 2",
)
