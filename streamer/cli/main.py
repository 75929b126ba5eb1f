"""The entry point: finds the command, reads its settings, runs it, and turns errors into one line and an exit code."""

import os
import select
import sys
import traceback
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamer.cli.command import Command

#: Command → what it does, in a line. The module is `streamer.cli.<command>` and is imported when it is called, so
#: that the list of commands needs nothing but this file.
COMMANDS = {
    "demo": "broker, four cameras, a consumer and the ledger, all on this machine",
    "broker": "a real Apache Kafka on this machine, until Ctrl-C",
    "topics": "create or describe the four topics",
    "produce": "publish the frames of a camera, or of many",
    "consume": "classify frames with one device, and publish the results",
    "results": "follow the classifications: table, JSON lines or CSV",
    "dashboard": "cameras, labels, latency, devices and dead letters in the browser, live",
    "web": "convert models, and manage the store of models, in the browser",
    "audit": "check that every frame has exactly one outcome",
    "frame": "what the model saw: a frame's picture with its label",
    "trace": "one frame's way from the camera to its results, and where the time went",
    "dlq": "look at dead letters, and put their frames back",
    "plan": "cards, workers, cores and disk for so many cameras, and whether that holds",
    "doctor": "check broker, topics, model, device and clocks, and say how to mend them",
    "pipeline": "run frames through a pipeline of steps, and see which step holds it up",
    "benchmark": "run a model as fast as its device takes it",
    "models": "the models of the store: list, add, make current, rename, delete, history",
    "convert": "convert a model: torch or TFLite to ONNX, and each of them for tinygrad",
    "analyze": "what a model is made of, what each layer takes, and which back ends run it",
    "visualize": "draw a model's layers, or its weights",
    "optimize": "make a model smaller or faster, and compare both",
    "quantize": "make a model compute in 8-bit integers, and compare both",
    "worker": "serve a model to other machines, over the Open Inference Protocol v2 (KServe, Triton)",
    "engine": "try the engines on a model: batches, streams, workers",
    "classifier": "benchmark one of 53 well-known classifiers: export, compile, run, compare with torch",
    "hub": "run models on a device at Qualcomm AI Hub, and list both",
    "config": "show the settings and where each came from, or their schema",
}

_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed while running, 2 wrong use or settings."""
    argv = sys.argv[1:] if argv is None else argv
    is_debug = "--debug" in argv
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where a reader that left is no error
    except KeyboardInterrupt:
        return _INTERRUPTED
    except Exception as exc:  # noqa: BLE001 - the last resort: one line, never a traceback unasked
        if isinstance(exc, BrokenPipeError) and _has_reader_left():
            return 0
        if is_debug:
            for line in traceback.format_exc().splitlines():
                _complain(line)
        known = getattr(exc, "exit_code", None)
        hint = "" if isinstance(known, int) or is_debug else " (an error of streamer's own; --debug shows where)"
        text = " ".join(str(exc).split()) or type(exc).__name__
        _complain(f"{_prefix(exc)}{text}{_mend(text)}{hint}")
        return known if isinstance(known, int) else 1
    return code


def _mend(text: str) -> str:
    """Return what to do where Kafka denies something, which no error of its says."""
    from messaging.errors import missing_right

    mend = missing_right(text)
    return f": {mend}" if mend else ""


def _prefix(exc: BaseException) -> str:
    """Return what an error's line begins with; one about the command line names its command itself."""
    return "" if str(exc).startswith("streamer ") else "streamer: "


def _has_reader_left() -> bool:
    """Tell whether the pipe that broke is our output, as in `streamer config schema | head`, and not a connection."""
    try:
        output = sys.stdout.fileno()
    except (AttributeError, OSError):  # it is closed, or no file at all
        return False
    poll = select.poll()
    poll.register(output, 0)
    has_left = any(event & select.POLLERR for _, event in poll.poll(0))
    if has_left:  # keep Python from saying it at exit
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, output)
        os.close(null)
    return has_left


def _complain(line: str) -> None:
    """Print one line on standard error; it may quote what came from outside."""
    import logging

    from streamer.logs import say

    say(line, logging.ERROR)


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if argv[0] == "--version":
        from streamer import __version__

        print(f"streamer {__version__}")
        return 0
    name, rest = argv[0], argv[1:]
    if name not in COMMANDS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else "`streamer --help` lists them"
        kind = "flag" if name.startswith("-") else "command"
        _complain(f"streamer: unknown {kind} {_shown(name)}: {hint}")
        return 2
    command: Command = import_module(f"streamer.cli.{name}").COMMAND
    program = f"streamer {name}"
    while command.subcommands:
        if not rest or rest[0] in ("-h", "--help"):
            print(_group_overview(program, command))
            return 0 if rest else 2
        if rest[0] not in command.subcommands:
            _complain(f"{program}: unknown command {_shown(rest[0])}: there are {', '.join(command.subcommands)}")
            return 2
        program, command, rest = f"{program} {rest[0]}", command.subcommands[rest[0]], rest[1:]
    return _call(program, command, rest)


def _call(program: str, command: "Command", argv: list[str]) -> int:
    from config.load import load
    from streamer.cli.command import Call, make_parser, parse
    from streamer.logs import set_up_logs

    try:
        flags, arguments = parse(make_parser(program, command), argv)
    except SystemExit as exc:  # argparse's, after --help
        return exc.code if isinstance(exc.code, int) else 0
    if command.run is None:
        raise ValueError(f"{program} has nothing to run")
    set_up_logs(is_debug=arguments.debug)
    loaded = load(flags, file=arguments.config)
    set_up_logs(is_debug=arguments.debug, form=loaded.settings.log_format)
    return command.run(Call(loaded, arguments, tuple(argv)))


def _shown(word: str) -> str:
    """Return a word of the command line without the password that a misplaced address may hold."""
    from producers.sources.address import redact

    return redact(word.partition("=")[0])


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {help_text}" for name, help_text in COMMANDS.items())
    return (
        "streamer classifies camera frames with Qualcomm Cloud AI 100 cards, over Apache Kafka.\n\n"
        f"usage: streamer COMMAND [FLAGS]\n\n{lines}\n\n"
        "try:\n  streamer demo                        everything at once, on this machine\n"
        "  streamer consume --help              the flags of a command, with examples\n\n"
        "A setting has one name in streamer.toml, as STREAMER_… and as a flag: `streamer config show` lists them."
    )


def _group_overview(program: str, command: "Command") -> str:
    width = max(map(len, command.subcommands))
    lines = "\n".join(f"  {name:<{width}}  {sub.help.splitlines()[0]}" for name, sub in command.subcommands.items())
    return f"{command.help}\n\nusage: {program} COMMAND [FLAGS]\n\n{lines}"


if __name__ == "__main__":
    sys.exit(main())
