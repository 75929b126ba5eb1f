"""`streamer quantize`: a model in 8-bit integers."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from config.settings import KafkaSettings
from streamer.cli.command import Call, Command, UsageError
from streamer.cli.model_tools import REPLACES, add_json_flag, comparison_rows, say_notes
from streamer.cli.output_file import writable

_MAX_FRAMES = 512


def _run(call: Call) -> int:
    from engine.models.tools.quantization import quantize_model
    from streamer.compose import kafka_of, topic_names
    from streamer.recent_frames import recent_frames
    from streamer.terminal import print_json, print_table, working

    arguments, settings = call.arguments, call.loaded.settings
    if arguments.calibration is not None and arguments.frames is not None:
        raise UsageError("streamer quantize: give --calibration DIR or --frames N, not both")
    source, target = arguments.source, Path(arguments.target)
    calibration: Path | list[bytes] | None = arguments.calibration
    with working(f"quantising {Path(source).name}") as status:
        if arguments.frames is not None:
            status("reading frames")
            calibration = recent_frames(kafka_of(settings), topic_names(settings).frames, arguments.frames)
        result = quantize_model(source, target, arguments.type, calibration=calibration, on_progress=status)
    say_notes(result.notes)
    if arguments.json:
        print_json(result.as_json())
    else:
        print_table(f"{source} → {target}, {result.type}", ("", "value"), comparison_rows(result.comparison))
    return 0


def _frame_count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= _MAX_FRAMES:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {_MAX_FRAMES}")
    return int(text)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("source", metavar="IN", help="an .onnx, .npz or .tflite file in floats, or `workpiece`")
    parser.add_argument("target", metavar="OUT", type=writable, help=f"the file to make, of the same kind{REPLACES}")
    parser.add_argument("--type", default="int8", choices=("int8",), help="of weights and values (default: int8)")
    parser.add_argument(
        "--calibration", metavar="DIR", type=Path, help="pictures, on which the ranges of values are measured"
    )
    parser.add_argument(
        "--frames", metavar="N", type=_frame_count, help="measure them on the newest N frames of the frames topic"
    )
    add_json_flag(parser)


COMMAND = Command(
    help="Write a copy of a model that computes in 8-bit integers, and compare both on the same inputs.\n\n"
    "An .onnx gets pairs of QuantizeLinear and DequantizeLinear (QDQ), with a scale for each channel of the weights.\n"
    "Pictures are decoded as the model's description says; --calibration takes 512 at the most. Without pictures the\n"
    "ranges are measured on drawn ones, or found anew at each run: what was done is said.",
    run=_run,
    settings=((KafkaSettings, ""),),
    add_arguments=_arguments,
    examples="streamer quantize model.onnx model-int8.onnx --type int8 --calibration pictures/\n"
    "streamer quantize workpiece workpiece-int8.onnx --frames 200 --bootstrap-servers 127.0.0.1:9092\n"
    "streamer quantize model.tflite model-int8.tflite --json",
)
