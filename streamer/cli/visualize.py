"""`streamer visualize`: draw a model."""

import sys
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from streamer.cli.command import Call, Command
from streamer.cli.model_tools import add_json_flag
from streamer.cli.output_file import writable

_SUFFIXES = (".png", ".svg")


def _run(call: Call) -> int:
    from engine.models.tools.visualization import visualize_model
    from streamer.terminal import harmless, print_json, working

    arguments = call.arguments
    source, output = arguments.source, Path(arguments.output)
    with working(f"drawing {Path(source).name}") as status:
        visualize_model(source, output, arguments.type, on_progress=status)
    size_bytes = output.stat().st_size
    if arguments.json:
        print_json({"source": source, "type": arguments.type, "output": str(output), "size_bytes": size_bytes})
    else:
        print(f"{size_bytes:,} bytes written to {harmless(str(output))}", file=sys.stderr)
    return 0


def _picture(text: str) -> Path:
    path = writable(text)
    if path.suffix.lower() not in _SUFFIXES:
        raise ArgumentTypeError(f"{path}: a picture is {' or '.join(_SUFFIXES)}")
    return path


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="an .onnx, .npz, .tflite or torch file, or `workpiece`")
    parser.add_argument(
        "--type", default="architecture", choices=("architecture", "weights"), help="what is drawn (default: the first)"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=_picture, required=True, help="the picture, .png or .svg; overwritten"
    )
    add_json_flag(parser)


COMMAND = Command(
    help="Draw a model: its layers with shapes and numbers of parameters, or how its weights are distributed.\n\n"
    "Where there are many layers, several are one box, and the picture says so. Torch files are drawn as the ONNX\n"
    "graph that they are converted to.",
    run=_run,
    add_arguments=_arguments,
    examples="streamer visualize model.onnx --type architecture --output model.png\n"
    "streamer visualize model.tflite --type weights --output weights.svg",
)
