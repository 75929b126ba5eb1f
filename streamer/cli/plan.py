"""`streamer plan`: what a site takes, and whether that holds."""

import os
import sys
from argparse import SUPPRESS, ArgumentParser
from contextlib import ExitStack
from typing import TYPE_CHECKING

from config.errors import ConfigError
from config.settings import PlanSettings
from streamer.cli.command import Call, Command
from streamer.cli.output_file import drawing, writable, write_text

if TYPE_CHECKING:
    from argparse import Namespace
    from pathlib import Path

    from streamer.sizing.host import HostCost
    from streamer.sizing.plan import Plan
    from streamer.sizing.verify import Verification
    from streamer.sizing.wish import Wish

_PICTURES = 16
#: Frames that are larger than what pictures of the size come to, by so much.
_LARGER = 1.2


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    if call.arguments.play is not None:
        return _play(call.arguments.play)
    from engine.backends.simulator.figures import read_figures
    from streamer.cli.broker import show_start
    from streamer.sizing.bench import Bench
    from streamer.sizing.hints import hints
    from streamer.sizing.host import other_work
    from streamer.sizing.measure import host_cost, reference
    from streamer.sizing.pictures import pictures
    from streamer.sizing.plan import make_plan
    from streamer.sizing.programs import find_programs
    from streamer.sizing.verify import verify

    settings, arguments = call.loaded.settings.plan, call.arguments
    if settings.cameras is None or settings.model is None:
        missing = "--cameras N" if settings.cameras is None else "--model NAME"
        raise ConfigError(f"{missing} is missing: try `streamer plan --cameras 300 --fps 5 --model resnet50`")
    table = read_figures()
    programs = find_programs(table, settings.model, settings.objective)
    is_measured = not arguments.no_measure and None in (settings.decode_us, settings.stream_us)
    count = _PICTURES if is_measured or arguments.verify else 1  # their size alone is wanted
    seen = pictures(count, settings.short_side, settings.frame_bytes)
    seen_bytes = sum(map(len, seen)) // len(seen)
    wish = _wish(settings, int(settings.frame_bytes or seen_bytes))
    found = None
    busy = other_work(os.getloadavg()[0], os.cpu_count() or 1) if is_measured or arguments.verify else None
    warnings = _told(busy, _size_warning(settings, wish, seen_bytes))
    with ExitStack() as stack:
        bench = stack.enter_context(Bench(seen, show_start)) if is_measured or arguments.verify else None
        host = reference(settings.short_side, wish.frame_bytes)
        if bench is not None and is_measured:
            _say("measuring what a frame costs this host, under a minute (--no-measure goes by reference figures)")
            host = host_cost(bench, list(table.rows.values()), seen, programs[0].image_size_px, _say)
            host = host.with_more(wish.frame_bytes - seen_bytes)
        host = _with_given(host, settings)
        plan = make_plan(programs, wish, host)
        warnings += _told(plan.broker.warning)
        _write(plan, arguments)
        if bench is not None and arguments.verify:
            _say("trying one worker of the plan on a simulated card, about three minutes")
            found = verify(plan, bench, _say)
    why = hints(plan, programs, host)
    if arguments.json:
        _print_json(plan, warnings, why, arguments.options, found)
    else:
        _print(plan, why, arguments.options, found)
    return 0 if found is None or found.has_held else 1


def _wish(settings: PlanSettings, frame_bytes: int) -> "Wish":
    from streamer.sizing.wish import Wish

    return Wish(
        settings.cameras or 0,
        settings.fps,
        settings.latency_budget.total_seconds(),
        frame_bytes,
        settings.retention.total_seconds(),
        settings.headroom,
        settings.drop_rate,
    )


def _with_given(host: "HostCost", settings: PlanSettings) -> "HostCost":
    """Return the cost with what is known better."""
    from dataclasses import replace

    given = []
    if settings.decode_us is not None:
        host = replace(host, decode_us=settings.decode_us)
        given.append("decoding")
    if settings.stream_us is not None:
        host = replace(host, frame_us=settings.stream_us, batch_us=0.0)
        given.append("stream")
    return replace(host, origin=f"{host.origin}; {' and '.join(given)} given") if given else host


def _size_warning(settings: PlanSettings, wish: "Wish", seen_bytes: int) -> str | None:
    """Return the warning that there are no pictures so large to measure with."""
    if wish.frame_bytes <= seen_bytes * _LARGER:
        return None
    return (
        f"a JPEG whose short side is {settings.short_side} has {seen_bytes:,} bytes at the most, and not "
        f"{wish.frame_bytes:,}: what the rest costs goes by reference figures; give the frames' --short-side"
    )


def _told(*warnings: str | None) -> list[str]:
    """Say the warnings that there are, and return them."""
    said = [warning for warning in warnings if warning is not None]
    for warning in said:
        _say(warning)
    return said


def _write(plan: "Plan", arguments: "Namespace") -> None:
    """Write the files that are wanted."""
    from streamer.sizing.commands import options_text
    from streamer.sizing.picture import svg

    if arguments.picture is not None:
        write_text(arguments.picture, svg(plan))
    if arguments.options is not None:
        write_text(arguments.options, options_text(plan))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _play(order: str) -> int:
    """Be the cameras of a trial."""
    import msgspec

    from streamer.sizing.load import LoadOrder, play
    from streamer.terminal import print_json

    print_json(msgspec.to_builtins(play(msgspec.json.decode(order, type=LoadOrder))))
    return 0


def _print_json(
    plan: "Plan", warnings: list[str], hints: list[str], options: "Path | None", found: "Verification | None"
) -> None:
    from streamer.sizing.report import as_json, verification_as_json
    from streamer.terminal import print_json

    verified = {"verify": verification_as_json(found)} if found is not None else {}
    print_json(as_json(plan, warnings, hints, options) | verified)


def _print(plan: "Plan", hints: list[str], options: "Path | None", found: "Verification | None") -> None:
    from streamer.sizing.report import as_rows, shown_commands, verification_rows
    from streamer.sizing.words import counted
    from streamer.terminal import print_table

    wish = plan.wish
    print_table(
        f"{counted(wish.cameras, 'camera')} of {wish.fps:g} frames/s, {wish.budget_s * 1e3:g} ms (p99); host: "
        f"{plan.lane.host.origin}",
        ("what", "how much", "why"),
        as_rows(plan),
    )
    print("\n".join([*hints, *shown_commands(plan, options)]))
    if found is None:
        return
    print()
    print_table(
        f"One worker beside broker and cameras on {found.cores} cores, {found.scale:.0%} of what the plan gives it",
        ("what", "predicted", "found", "apart"),
        verification_rows(found),
    )
    print(
        f"the prediction {'holds' if found.has_held else 'does not hold'} on this machine, whose own speed changed by "
        f"{found.drift:+.0%} meanwhile"
    )


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--no-measure", action="store_true", help="go by reference figures of the host, so that two runs say the same"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="try one worker of the plan on a simulated card and a real broker on this machine, and look for the most "
        "cameras that are served in time; about three minutes; exit code 1: the prediction does not hold",
    )
    parser.add_argument(
        "--picture", metavar="FILE.svg", type=drawing, help="draw the latency over the number of cameras"
    )
    parser.add_argument(
        "--options",
        metavar="FILE.yaml",
        type=writable,
        help="write how the card's program is compiled there; the commands name it (--options-path)",
    )
    parser.add_argument("--json", action="store_true", help="the plan as one JSON object, on the last line")
    parser.add_argument("--play", help=SUPPRESS)  # from whoever tries a plan


COMMAND = Command(
    help="Say what a site takes: cards, workers, batches, partitions, host cores, the broker's disk and network, and\n"
    "how old its results are; by the published figures of Cloud AI 100, and by a measurement of this host.\n\n"
    "The measurement and --verify need the extra `broker`: pip install 'aic-streamer[broker]'.",
    run=_run,
    settings=((PlanSettings, "plan"),),
    add_arguments=_arguments,
    examples="streamer plan --cameras 300 --fps 5 --model resnet50 --latency-budget 200ms\n"
    "streamer plan --cameras 40 --model vit_b_16 --no-measure --picture plan.svg --json\n"
    "streamer plan --cameras 300 --model resnet50 --no-measure --options resnet50.yaml\n"
    "streamer plan --cameras 300 --model resnet50 --verify",
)
