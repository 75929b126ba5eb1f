"""`streamer dlq`: list dead letters, look at one, and put their frames back."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from typing import TYPE_CHECKING

from config.settings import KafkaSettings, Settings
from streamer.cli.command import Call, Command, UsageError, moment_us, positive
from streamer.cli.dead_letter_formats import facts_of, headers_of, none_of, print_letters, print_summary, print_whole
from streamer.cli.output_file import add_output_flags, check_output, is_piped, write_output
from streamer.cli.progress import ProgressBar
from streamer.terminal import harmless, print_json

if TYPE_CHECKING:
    from streamer.dead_letters import Filters, ReplayPlan

_DEFAULT_COUNT = 1000
_MAX_NAMED = 20


def _list(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names
    from streamer.dead_letters import DeadLetterReader, StoredDeadLetter, newest

    settings, arguments = call.loaded.settings, call.arguments
    counts, letters = Counter[tuple[str, str]](), list[StoredDeadLetter]()
    with ProgressBar("reading the topics") as progress:
        reader = DeadLetterReader(kafka_of(settings), topic_names(settings), progress)
        found = reader.read(_filters(arguments))
        if arguments.summary:
            counts.update((stored.letter.reason, stored.letter.camera) for stored in found)
            number = counts.total()
        else:
            letters, number = newest(found, arguments.count)
    if reader.unreadable:
        print(f"{reader.unreadable} records are no dead letters of streamer's and were left out", file=sys.stderr)
    if not number and not arguments.json:
        print(none_of(reader.seen, arguments.since))
    elif arguments.summary:
        print_summary(counts, is_json=arguments.json)
    elif arguments.json:
        for stored in letters:
            print_json(facts_of(stored))
    else:
        print_letters(letters)
    if not arguments.summary and number > len(letters):
        older = number - len(letters)
        print(f"{older} older ones are not shown: --count {number} shows all, --summary counts them", file=sys.stderr)
    return 0


def _show(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names
    from streamer.dead_letters import find_dead_letter, frame_bytes

    settings, arguments = call.loaded.settings, call.arguments
    cluster, topics = kafka_of(settings), topic_names(settings)
    check_output("streamer dlq show", arguments)
    with ProgressBar("reading the topics") as progress:
        found = find_dead_letter(cluster, topics, arguments.id, progress)
    if arguments.json:
        print_json(facts_of(found.stored) | {"others": list(map(str, found.others)), "headers": headers_of(found)})
    elif not is_piped(arguments):
        print_whole(found)
    if arguments.output is not None:
        write_output(arguments, frame_bytes(cluster, topics, found))
    return 0


def _replay(call: Call) -> int:
    from streamer.compose import kafka_of, topic_names
    from streamer.dead_letters import DeadLetterNotFoundError, ReplayReport, plan_replay, put_back

    settings, arguments = call.loaded.settings, call.arguments
    if arguments.ids and arguments.all:
        raise UsageError("streamer dlq replay: give ids or --all, not both")
    if not arguments.ids and not arguments.all:
        raise UsageError(
            "streamer dlq replay: give the ids of dead letters or frames, or --all (with filters or without)"
        )
    cluster, topics = kafka_of(settings), topic_names(settings)
    with ProgressBar("reading the topics") as progress:
        plan = plan_replay(cluster, topics, _filters(arguments), again=arguments.again, on_progress=progress)
    for identity in plan.not_found:
        print(DeadLetterNotFoundError.of(identity), file=sys.stderr)
    for identity in plan.filtered_out:
        print(f"{harmless(identity)} is there, but the filters leave it out", file=sys.stderr)
    report = ReplayReport()
    if plan.letters and not arguments.dry_run:
        if not arguments.yes and not _is_confirmed(plan, settings):
            print("nothing was put back", file=sys.stderr)
            return 1
        with ProgressBar("reading the topics") as progress:
            report = put_back(cluster, topics, plan, on_progress=progress)
    for failure in report.failures:
        line = f"{failure.place} {failure.frame_id}: {failure.error}"
        print(harmless(line, 2000), file=sys.stderr)
    done = plan.letters if arguments.dry_run else report.replayed
    failed = len(report.failures) + len(plan.not_found) + len(plan.filtered_out)
    if arguments.json:
        figures = {
            "dry_run": arguments.dry_run,
            "chosen": len(plan.letters),
            "would_be_replayed": len(plan.letters) if arguments.dry_run else 0,
            "replayed": len(report.replayed),
            "answered": len(plan.answered),
            "failed": failed,
            "groups": dict(Counter(stored.letter.group for stored in done)),
        }
        print_json(figures)
    else:
        if arguments.dry_run and plan.letters:
            print_letters(plan.letters)
        print(_outcome(plan, len(done), failed, settings, is_dry_run=arguments.dry_run), file=sys.stderr)
    return 1 if failed else 0


def _outcome(plan: "ReplayPlan", done: int, failed: int, settings: Settings, *, is_dry_run: bool) -> str:
    """Say in a line what was put back, or would be."""
    if not (plan.letters or plan.answered or failed):
        return f"nothing to put back: {none_of(plan.seen)}"
    verb = "would be" if is_dry_run else "was" if done <= 1 else "were"
    could_not = f"; {failed} could not" if failed else ""
    return (
        f"{done or 'nothing'} {verb} put back on {settings.frames_topic}{_died_again(plan)}{_answered(plan)}{could_not}"
    )


def _died_again(plan: "ReplayPlan") -> str:
    again = sum(stored.letter.replay > 0 for stored in plan.letters)
    return f"; {again} of {len(plan.letters)} died again after an earlier replay" if again else ""


def _answered(plan: "ReplayPlan") -> str:
    left = len(plan.answered)
    if left == 1:
        return "; 1 left out, which has a result by now (--again puts it back, too)"
    return f"; {left} left out, which have a result by now (--again puts them back, too)" if left else ""


def _is_confirmed(plan: "ReplayPlan", settings: Settings) -> bool:
    """Ask; raises UsageError where nobody is there to answer."""
    frames = "1 frame" if len(plan.letters) == 1 else f"{len(plan.letters)} frames"
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"streamer dlq replay: not a terminal: add --yes to put {frames} back, or --dry-run")
    groups = sorted({harmless(stored.letter.group) for stored in plan.letters})
    named = ", ".join(groups[:_MAX_NAMED]) + (" …" if len(groups) > _MAX_NAMED else "")
    question = f"put {frames} back on {settings.frames_topic} for {named}{_died_again(plan)}{_answered(plan)}? [y/N] "
    print(question, end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _filters(arguments: Namespace) -> "Filters":
    from streamer.dead_letters import Filters

    ids = getattr(arguments, "ids", ())
    return Filters(arguments.camera, arguments.reason, arguments.group, arguments.since, frozenset(ids))


def _reason(text: str) -> str:
    from messaging.dead_letter import REASONS

    if text not in REASONS:
        raise ArgumentTypeError(f"{text!r} is none of {', '.join(REASONS)}")
    return text


def _identity(text: str) -> str:
    from streamer.dead_letters import is_identity

    if not is_identity(text):
        raise ArgumentTypeError(f"{text!r} is neither PARTITION:OFFSET nor a frame's id")
    return text


def _filter_flags(parser: ArgumentParser) -> None:
    parser.add_argument("--camera", metavar="C", help="of this camera alone")
    parser.add_argument("--reason", type=_reason, metavar="R", help="of this reason alone, such as truncated")
    parser.add_argument("--group", metavar="G", help="of this consumer group alone")
    parser.add_argument("--since", type=moment_us, metavar="TIME", help="not older: 10m (ago), or 2026-11-21T08:00:00Z")


def _list_arguments(parser: ArgumentParser) -> None:
    _filter_flags(parser)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument(
        "--count", type=positive, default=_DEFAULT_COUNT, metavar="N", help="the newest N (default: %(default)s)"
    )
    extent.add_argument("--summary", action="store_true", help="how many, by reason and camera")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def _show_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "id", type=_identity, metavar="ID", help="a frame's id, or where the dead letter stands, such as 0:17"
    )
    add_output_flags(parser, "the frame's bytes")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def _replay_arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "ids", type=_identity, nargs="*", metavar="ID", help="frames' ids, or where dead letters stand, such as 0:17"
    )
    parser.add_argument("--all", action="store_true", help="every one that the filters let through")
    _filter_flags(parser)
    parser.add_argument("--again", action="store_true", help="also frames that have a result of the group by now")
    parser.add_argument("--dry-run", action="store_true", help="say what would be put back, and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


_SETTINGS = ((KafkaSettings, ""),)

COMMAND = Command(
    help="Dead letters: frames that could not be classified, with the reason.",
    subcommands={
        "list": Command(
            help="List dead letters, the newest last.\n\n"
            "Each has two names: its frame's id, and where it stands in its topic (0:17 is offset 17 of partition 0).\n"
            "Bytes that the topic could not take were left behind: `show -o` and `replay` take them from the frames\n"
            "topic while they are there.",
            run=_list,
            settings=_SETTINGS,
            add_arguments=_list_arguments,
            examples="streamer dlq list --since 1h\nstreamer dlq list --summary\n"
            "streamer dlq list --camera line-1 --reason truncated --json | jq -r .frame_id",
        ),
        "show": Command(
            help="Show all that is known of one dead letter; the newest one where a frame has several.",
            run=_show,
            settings=_SETTINGS,
            add_arguments=_show_arguments,
            examples="streamer dlq show 0:17\nstreamer dlq show line-1/8f3a/42 -o picture.jpg",
        ),
        "replay": Command(
            help="Put frames back on the frames topic, for the group that could not classify them.\n\n"
            "First put right what made them dead letters: a model, a limit. Other groups pass over a frame that is\n"
            "put back, it is never too old, and its last outcome counts.\n\n"
            "A dead letter stays where it is, and the next replay takes it again unless the group has a result of the\n"
            "frame by then: also while a frame that was put back still waits to be read, which is then there twice.\n"
            "Exit code 1: some could not be put back.",
            run=_replay,
            settings=_SETTINGS,
            add_arguments=_replay_arguments,
            examples="streamer dlq replay --all --reason inference-failed --dry-run\n"
            "streamer dlq replay --all --group streamer-device-0 --since 1h --yes\n"
            "streamer dlq replay 0:17 line-1/8f3a/42",
        ),
    },
)
