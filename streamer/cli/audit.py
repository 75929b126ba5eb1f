"""`streamer audit`: whether every frame has exactly one outcome."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from config.settings import KafkaSettings
from streamer.cli.command import Call, Command
from streamer.cli.progress import ProgressBar
from streamer.terminal import harmless, print_json, print_table

if TYPE_CHECKING:
    from streamer.audit import AuditReport, GroupReport
    from streamer.audit.report import Tally

#: What is named on the verdict line; `--json` names more.
_NAMED = 5


def _run(call: Call) -> int:
    from streamer.audit import audit
    from streamer.compose import kafka_of, topic_names

    settings, arguments = call.loaded.settings, call.arguments
    with ProgressBar("reading the topics") as progress:
        report = audit(
            kafka_of(settings),
            topic_names(settings),
            [arguments.group] if arguments.group else None,
            camera=arguments.camera,
            on_progress=progress,
        )
    if report.unreadable:
        print(f"{report.unreadable} records are not of streamer's and were left out", file=sys.stderr)
    if arguments.json:
        print_json({"conserved": report.is_conserved} | msgspec.to_builtins(report))
    else:
        _print(report)
    return 0 if report.is_conserved else 1


def _print(report: "AuditReport") -> None:
    if not report.groups:
        print("no group has an outcome yet: start one with `streamer consume`")
    for group in report.groups:
        _print_group(group)


def _print_group(group: "GroupReport") -> None:
    columns = ["camera", "captured", "classified", "skipped", "dead-lettered", "in flight", "missing", "duplicates"]
    columns += [name for name in ("timed", "unsent", "not checkable") if getattr(group, _field(name))]
    tallies: list[tuple[str, Tally]] = [(row.camera, row) for row in group.cameras]
    if len(tallies) > 1:
        tallies.append(("all", group))
    rows = [[name, *(getattr(tally, _field(column)) for column in columns[1:])] for name, tally in tallies]
    print_table(f"group {harmless(group.group)}", columns, rows)
    for line in _lines(group):
        print(line)


def _field(column: str) -> str:
    """Return the field of a tally that a column shows."""
    return {"captured": "published"}.get(column, column.replace(" ", "_").replace("-", "_"))


def _lines(group: "GroupReport") -> Iterator[str]:
    """Say how it stands, the verdict first."""
    if group.missing:
        yield f"MISSING: {_frames(group.missing)} without an outcome: {_names(group.missing_ids, group.missing)}"
    else:
        yield "no outcome is missing of what can be checked" if group.not_checkable else "ok: no outcome is missing"
    for title, reasons in (("skipped", group.skipped_reasons), ("dead-lettered", group.dead_letter_reasons)):
        if reasons:
            yield f"{title}: " + ", ".join(f"{count} {harmless(name, 40)}" for name, count in sorted(reasons.items()))
    if group.duplicates:
        yield f"duplicates: {group.duplicates}, such as {_names(group.duplicate_ids, 0)}"
    if group.in_flight:
        yield f"in flight: {_frames(group.in_flight)} that the group has yet to commit"
    if group.unsent:
        yield f"unsent: {_names(group.unsent_ranges, 0)}, by cameras that have not said that they ended"
    if group.not_checkable:
        yield f"not checkable: {_frames(group.not_checkable)} that retention has removed"
    if group.accuracy is not None:
        yield f"accuracy: {group.accuracy:.2%} of the labels are the truth"


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def _names(names: list[str], frames: int) -> str:
    more = frames > min(len(names), _NAMED)
    return ", ".join(harmless(name) for name in names[:_NAMED]) + (" …" if more else "")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--group", metavar="G", help="this consumer group (default: every one with outcomes)")
    parser.add_argument("--camera", metavar="C", help="this camera alone")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Check that every frame has exactly one outcome: a result or a dead letter, for each consumer group.\n\n"
    "Reads the four topics and changes nothing; it may run beside cameras and consumers. Frames that a group has\n"
    "yet to commit are in flight, what a killed camera never sent is unsent, and what retention has removed is not\n"
    "checkable. Exit code 1: an outcome is missing. Duplicates are counted: at-least-once allows them.",
    run=_run,
    settings=((KafkaSettings, ""),),
    add_arguments=_arguments,
    examples="streamer audit\nstreamer audit --group streamer-device-0 --json\nstreamer audit --camera line-1",
)
