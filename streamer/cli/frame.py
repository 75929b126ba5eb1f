"""`streamer frame`: what the model saw, with what was said about it."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from config.settings import KafkaSettings, Settings
from streamer.cli.command import Call, Command, UsageError
from streamer.cli.output_file import add_output_flags, check_output, is_piped, write_output
from streamer.cli.progress import ProgressBar
from streamer.cli.way_formats import add_way_flags, facts_of, note_other_form, picture_line, said, who
from streamer.terminal import harmless, print_json

if TYPE_CHECKING:
    from engine.images.header import ImageLimits
    from streamer.evidence import FrameWay

_PROGRAM = "streamer frame"


def _run(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names
    from streamer.evidence import caption_of, draw_caption, fetch_picture, find_way

    settings, arguments = call.loaded.settings, call.arguments
    image_format = _check(arguments)
    cluster, topics = kafka_of(settings), topic_names(settings)
    note_other_form(arguments.id)
    with ProgressBar("reading the topics") as progress:
        way = find_way(cluster, topics, arguments.id, since_us=arguments.since, on_progress=progress)
    shown = way.shown(_group(way, arguments.group))
    if arguments.json:
        print_json(facts_of(way))
    elif not is_piped(arguments):
        _print(way)
    if arguments.output is not None:
        data = fetch_picture(cluster, topics, way, shown).data
        if not arguments.raw:
            data = draw_caption(data, caption_of(shown), image_format, _limits(settings))
            if shown is not None and len(way.groups) > 1 and arguments.group is None:
                print(f"the picture has what {who(shown.group)} said: --group chooses another", file=sys.stderr)
        write_output(arguments, data)
    return 0


def _group(way: "FrameWay", name: str | None) -> str | None:
    """Return the group that was asked for, whose name may be given as it is shown."""
    from streamer.dead_letters.stored import names_of
    from streamer.evidence import EvidenceError

    if name is None:
        return None
    for group in way.groups:
        if name in names_of(group):
            return group
    there = ", ".join(harmless(group) for group in way.groups if group) or "none"
    raise EvidenceError(f"group {harmless(name)} has no outcome of this frame; groups that have: {there}")


def _check(arguments: Namespace) -> str:
    """Refuse what cannot be written before anything is read; return Pillow's name of the format."""
    from streamer.evidence.drawing import FORMATS

    if arguments.raw and arguments.output is None:
        raise UsageError(f"{_PROGRAM}: --raw needs -o FILE: where to write the bytes")
    check_output(_PROGRAM, arguments)
    if arguments.raw or arguments.output is None or is_piped(arguments):
        return "JPEG"
    suffix = arguments.output.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{_PROGRAM}: -o takes a name that ends in {', '.join(FORMATS)}; --raw writes under any name")
    return FORMATS[suffix]


def _limits(settings: Settings) -> "ImageLimits":
    from engine.images.header import ImageLimits

    return ImageLimits(settings.max_frame_bytes, settings.max_frame_pixels)


def _print(way: "FrameWay") -> None:
    from messaging.timestamps import format_us

    captured = f", captured {format_us(way.captured_at_us)}" if way.captured_at_us is not None else ""
    print(f"frame {harmless(way.frame_id, 1000)}{captured}")
    for group, outcome in way.last.items():
        took = f" ({outcome.answer.latency_ms.total:.1f} ms)" if outcome.answer is not None else ""
        print(f"{who(group)}: {said(outcome)}{took}")
    if not way.groups:
        print("no group has an outcome of it yet")
    for reading in way.readings:
        print(picture_line(reading))


def _arguments(parser: ArgumentParser) -> None:
    add_way_flags(parser)
    add_output_flags(parser, "the picture, with label and score under it,")
    parser.add_argument("--raw", action="store_true", help="write the frame's bytes as they are")
    parser.add_argument("--group", metavar="G", help="with the outcome of this consumer group (default: the newest)")


COMMAND = Command(
    help="Show what became of one frame in each consumer group, and write its picture.\n\n"
    "The picture has the label and the score under it, or why there is none; the suffix of FILE says the format.\n"
    "Pictures are kept as long as the frames topic keeps them, those of dead letters as long as that topic does.\n"
    "Exit code 1: nothing is known of the frame, or retention has removed its picture.",
    run=_run,
    settings=((KafkaSettings, ""),),
    add_arguments=_arguments,
    examples="streamer frame line-1/8f3a/42\nstreamer frame line-1/8f3a/42 -o frame.png\n"
    "streamer frame line-1/8f3a/42 --raw -o - | sha256sum",
)
