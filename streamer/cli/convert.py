"""`streamer convert`: a model in another format, checked by running both."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from streamer.cli.command import Call, Command
from streamer.cli.model_tools import REPLACES, add_json_flag, comparison_rows, say_notes
from streamer.cli.output_file import writable


def _run(call: Call) -> int:
    from engine.models.tools.conversion import convert_model
    from streamer.terminal import print_json, print_table, working

    arguments = call.arguments
    source, target = arguments.source, Path(arguments.target)
    with working(f"converting {Path(source).name}") as status:
        result = convert_model(
            source,
            target,
            arguments.format,
            architecture=arguments.architecture,
            input_shape=arguments.input_shape,
            on_progress=status,
        )
    say_notes(result.notes)
    if arguments.json:
        print_json(result.as_json())
    else:
        print_table(f"{source} → {target}", ("", "value"), comparison_rows(result.comparison))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    """Read the sizes of an input's axes."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() and len(part) < 7 and int(part) for part in parts):
        raise ArgumentTypeError(f"{text!r} is no shape: give sizes such as 1,3,224,224")
    return tuple(map(int, parts))


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="a .pt, .pth, .pt2, .tflite, .onnx or .npz file, or `workpiece`")
    parser.add_argument("target", metavar="OUT", type=writable, help=f"the file to make: .onnx or .npz{REPLACES}")
    parser.add_argument(
        "--format", choices=("onnx", "tinygrad"), help="what to write (default: as the name of OUT ends)"
    )
    parser.add_argument(
        "--architecture", metavar="NAME", help="whose weights a state dict holds (default: found by their names)"
    )
    parser.add_argument(
        "--input-shape",
        type=_shape,
        metavar="N,…",
        help="what a torch model takes, with the batch, where its file does not say, such as 1,3,224,224",
    )
    add_json_flag(parser)


COMMAND = Command(
    help="Convert a model: torch or TFLite to ONNX, and any of them to the .npz that the tinygrad back end runs.\n"
    "Both are run on the same inputs, and the report says how far they differ, and their size and speed.\n\n"
    "A .pt file is TorchScript, an archive of torch.export, or a state dict of one of the classifiers that\n"
    "`streamer classifier` knows. A pickled module is refused: it could run anything.\n"
    "torch needs the extra `classifiers`, TFLite the extra `tflite`.",
    run=_run,
    add_arguments=_arguments,
    examples="streamer convert model.pt model.onnx --input-shape 1,3,224,224\n"
    "streamer convert resnet18_weights.pt resnet18.npz --architecture resnet18\n"
    "streamer convert mobilenet.tflite mobilenet.onnx\n"
    "streamer convert model.onnx model.npz --format tinygrad --json",
)
