"""`streamer results`: follow the classifications."""

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import ExitStack, closing
from threading import Event
from typing import Any

from config.settings import KafkaSettings
from messaging.errors import MessageError
from messaging.reader import TopicReader
from streamer.cli.command import Call, Command, positive
from streamer.cli.live_results import LiveTable
from streamer.cli.result_formats import CsvLines, JsonLines, Output, PlainTable, read_result
from streamer.cli.result_latency import LatencySummary
from streamer.stopping import stop_on_signals
from streamer.terminal import harmless

log = logging.getLogger(__name__)

_POLL_S = 0.2


class _LeftOut:
    """Records that are no results of ours: said once with its place, and counted."""

    def __init__(self) -> None:
        self._count = 0

    def note(self, record: Any, exc: MessageError) -> None:
        """Count one, and say so if it is the first."""
        self._count += 1
        if self._count == 1:
            where = f"{record.topic}-{record.partition} offset {record.offset}"
            log.warning("left out %s, and whatever else is like it: %s", where, harmless(str(exc), 200))

    def close(self) -> None:
        """Say how many there were."""
        if self._count > 1:
            log.warning("%d records were left out, which are no results of streamer", self._count)


def _records(reader: TopicReader, until: Event) -> Iterator[Any]:
    """Yield records as they come, and None where there was none for a moment, until told to stop."""
    while not until.is_set():
        records = reader.poll(_POLL_S)
        for record in records:
            if until.is_set():
                return
            yield record
        if not records:
            yield None


def _run(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names

    settings, arguments = call.loaded.settings, call.arguments
    stop = stop_on_signals()
    reader = TopicReader(kafka_of(settings), topic_names(settings).results, from_beginning=arguments.from_beginning)
    with reader, closing(_LeftOut()) as left_out, ExitStack() as stack:
        summary = LatencySummary() if arguments.latency else None
        output = _output(arguments.format, summary, stack)
        _show(_records(reader, stop), output, summary, left_out, arguments)
    return 0


def _show(
    records: Iterator[Any], output: Output, summary: LatencySummary | None, left_out: _LeftOut, arguments: Namespace
) -> None:
    """Show what was asked for, until there is enough of it."""
    shown = 0
    for record in records:
        if record is None:
            output.tick()
            continue
        try:
            result = read_result(record)
            if arguments.camera in (None, result.outcome.camera):
                if summary is not None:
                    summary.add(result.outcome)
                output.show(result)
                shown += 1
        except MessageError as exc:
            left_out.note(record, exc)
        if shown == arguments.count:
            return


def _output(name: str, summary: LatencySummary | None, stack: ExitStack) -> Output:
    """Return where results go; a summary is said at the end, where it is not seen all the time."""
    if name == "table" and sys.stdout.isatty():
        return stack.enter_context(LiveTable(summary))
    if summary is not None:
        stack.callback(lambda: print(summary.line(), file=sys.stderr))
    if name == "json":
        return JsonLines()
    has_parts = summary is not None
    return CsvLines(has_parts=has_parts) if name == "csv" else PlainTable(has_parts=has_parts)


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", metavar="C", help="results of this camera alone")
    parser.add_argument("--from-beginning", action="store_true", help="begin with the oldest result that is kept")
    parser.add_argument("--count", type=positive, metavar="N", help="end after so many results (default: go on)")
    parser.add_argument(
        "--latency",
        action="store_true",
        help="where each frame's time went, in ms, and the median and p95 of each part",
    )
    parser.add_argument(
        "--format", choices=("table", "json", "csv"), default="table", help="how to show them (default: table)"
    )


COMMAND = Command(
    help="Show results as they come, until Ctrl-C or --count.\n\n"
    "Rows end with the frame's id: `streamer trace ID` shows where its time went, `streamer frame ID` its picture.\n"
    "`json` prints each result as it is on one line, with `ce_id` (the frame's id) and `ce_source` (whose result it\n"
    "is: /groups/G, or /cameras/C for a frame that the camera gave up). `csv` marks cells that a spreadsheet would\n"
    "take for a formula with an apostrophe. Reads beside all others, without a consumer group, and only what is\n"
    "committed.",
    run=_run,
    settings=((KafkaSettings, ""),),
    add_arguments=_arguments,
    examples="streamer results\nstreamer results --latency\n"
    "streamer results --camera line-1 --format json | jq .label\n"
    "streamer results --from-beginning --count 1000 --format csv > results.csv",
)
