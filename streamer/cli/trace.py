"""`streamer trace`: one frame's way, and where its time went."""

import shutil
from argparse import ArgumentParser

from config.settings import KafkaSettings
from streamer.cli.command import Call, Command
from streamer.cli.progress import ProgressBar
from streamer.cli.way_formats import add_way_flags, facts_of, note_other_form
from streamer.terminal import print_json


def _run(call: Call) -> int:
    from streamer.cli.trace_tree import tree_of
    from streamer.compose import kafka_of, topic_names
    from streamer.evidence import find_way

    settings, arguments = call.loaded.settings, call.arguments
    note_other_form(arguments.id)
    with ProgressBar("reading the topics") as progress:
        way = find_way(
            kafka_of(settings), topic_names(settings), arguments.id, since_us=arguments.since, on_progress=progress
        )
    if arguments.json:
        print_json(facts_of(way))
    else:
        for line in tree_of(way, shutil.get_terminal_size().columns).lines():
            print(line)
    return 0


def _arguments(parser: ArgumentParser) -> None:
    add_way_flags(parser)


COMMAND = Command(
    help="Show one frame's way as a tree: capture, each part of its latency, results, dead letters, trace.\n\n"
    "It is read from Kafka alone, whether or not anything is traced. Each consumer group has a branch of its own; of\n"
    "several outcomes the last counts, such as the one after `streamer dlq replay`. The parts tile the time from\n"
    "capture to hand-over; `hand_over` is there where a result waited for its transaction.",
    run=_run,
    settings=((KafkaSettings, ""),),
    add_arguments=_arguments,
    examples="streamer trace line-1/8f3a/42\nstreamer trace line-1/8f3a/42 --json | jq '.groups[].outcome.latency_ms'",
)
