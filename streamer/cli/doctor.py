"""`streamer doctor`: what this program stands on, and how to mend it."""

import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from config.settings import KafkaSettings, ModelSettings, Settings
from streamer.cli.command import Call, Command
from streamer.compose import kafka_of, topic_plan
from streamer.doctor import machine
from streamer.doctor.check import Check, Finding, State, run_checks
from streamer.doctor.clocks import kernel_clock
from streamer.doctor.kafka_checks import KafkaChecks
from streamer.doctor.model import model_and_device
from streamer.terminal import harmless, print_json

#: A word and a symbol, so that nobody needs the colour.
_SHOWN: dict[State, tuple[str, str]] = {
    "ok": ("✓ ok", "green"),
    "info": ("· info", ""),
    "warn": ("! warn", "yellow"),
    "fail": ("✗ FAIL", "red"),
}
_MAX_CHARS = 1000
_WIDTH_OF_A_FILE = 10_000
#: A compiler of a card takes its time.
_MODEL_TIMEOUT_S = 120.0
_MEND_BROKER = "start one with `streamer broker`, or name yours with --bootstrap-servers"
_MEND_MODEL = "name a model with --model and a back end with --backend that fit this machine"


def _checks(settings: Settings, origins: Mapping[str, str]) -> list[Check]:
    kafka = KafkaChecks(partial(kafka_of, settings), topic_plan(settings))
    return [
        Check("settings", partial(_settings, origins)),
        Check("versions", machine.versions),
        Check("broker", kafka.broker, mend=_MEND_BROKER),
        Check("topics", kafka.topics, needs="broker"),
        Check("clock", lambda: [kernel_clock()]),
        Check("clocks of cameras and workers", kafka.clocks, timeout_s=30.0, needs="broker"),
        Check("model", partial(model_and_device, settings), timeout_s=_MODEL_TIMEOUT_S, mend=_MEND_MODEL),
        Check("decoding", machine.decoding),
        Check("checksums", machine.checksums),
        Check("machine", machine.resources),
        Check("broker on this machine", machine.embedded_broker),
    ]


def _settings(origins: Mapping[str, str]) -> Sequence[Finding]:
    """Say where the settings came from; that they are right was found out before."""
    places: dict[str, int] = {}
    for origin in origins.values():
        place = _place(origin)
        places[place] = places.get(place, 0) + 1
    found = ", ".join(f"{count} from {place}" for place, count in places.items()) or "all are defaults"
    return [Finding("settings", "info", f"{found} (`streamer config show` lists them)")]


def _place(origin: str) -> str:
    if origin.startswith("--"):
        return "flags"
    _, separator, path = origin.partition(" in ")
    return str(Path(path).resolve()) if separator else "the environment"


def _run(call: Call) -> int:
    checks = _checks(call.loaded.settings, call.loaded.origins)
    findings = list(run_checks(checks, on_start=_show_start))
    _clear_line()
    is_well = not any(finding.state == "fail" for finding in findings)
    if call.arguments.json:
        print_json({"ok": is_well, "checks": [asdict(finding) for finding in findings]})
    else:
        _print(findings)
    return 0 if is_well else 1


def _show_start(name: str) -> None:
    """Say at a terminal what is looked at: a broker or a card may take its time."""
    if sys.stderr.isatty():
        print(f"\r\x1b[Klooking at: {name}", end="", file=sys.stderr, flush=True)


def _clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        word, style = _SHOWN[finding.state]
        found = Text(harmless(finding.found, _MAX_CHARS), overflow="fold")
        table.add_row(Text(word, style), Text(harmless(finding.name), overflow="fold"), found)
        if finding.mend:
            table.add_row("", "", Text(f"→ {harmless(finding.mend, _MAX_CHARS)}", "bold", overflow="fold"))
    # A terminal folds long lines; in a file or a pipe each stays whole.
    Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE).print(table)
    counts = {state: sum(finding.state == state for finding in findings) for state in ("fail", "warn")}
    if any(counts.values()):
        print(f"{counts['fail']} failed, {counts['warn']} could be better")
    else:
        print("all is well")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the findings as one JSON object, on the last line")
    # Of what `streamer consume` takes, this alone decides whether the model opens.
    parser.add_argument(
        "--backend", dest="setting:backend", default=SUPPRESS, metavar="BACKEND", help="what computes, as for `consume`"
    )


COMMAND = Command(
    help="Look at the broker, the topics, the model, the device, the clocks and this machine, and say what is wrong\n"
    "and how to mend it. Nothing is changed. Exit code 1: something failed; what could be better is no failure.",
    run=_run,
    settings=((ModelSettings, ""), (KafkaSettings, "")),
    add_arguments=_arguments,
    examples="streamer doctor\nstreamer doctor --model bottles.onnx --json",
)
