"""The entry point: finds the command, reads its settings, runs it, and turns errors into one line and an exit code."""

import os
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
    "audit": "check that every frame has exactly one outcome",
    "doctor": "check broker, model, device and clock, and say how to mend them",
    "config": "show the settings and where each came from, or their schema",
}

_INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed while running, 2 wrong use or settings."""
    argv = sys.argv[1:] if argv is None else argv
    is_debug = "--debug" in argv
    try:
        return _run(argv)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; say nothing, and keep Python from saying it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:  # noqa: BLE001 - the last resort: one line, never a traceback unasked
        if is_debug:
            traceback.print_exc()
        code = getattr(exc, "exit_code", None)
        hint = "" if isinstance(code, int) or is_debug else " (an error of streamer's own; --debug shows where)"
        message = " ".join(str(exc).split()) or type(exc).__name__
        print(f"streamer: {message}{hint}", file=sys.stderr)
        return code if isinstance(code, int) else 1


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
        print(f"streamer: unknown {kind} {name}: {hint}", file=sys.stderr)
        return 2
    command: Command = import_module(f"streamer.cli.{name}").COMMAND
    program = f"streamer {name}"
    while command.subcommands:
        if not rest or rest[0] in ("-h", "--help"):
            print(_group_overview(program, command))
            return 0 if rest else 2
        if rest[0] not in command.subcommands:
            print(f"{program}: unknown command {rest[0]}: there are {', '.join(command.subcommands)}", file=sys.stderr)
            return 2
        program, command, rest = f"{program} {rest[0]}", command.subcommands[rest[0]], rest[1:]
    return _call(program, command, rest)


def _call(program: str, command: "Command", argv: list[str]) -> int:
    from config.load import load
    from streamer.cli.command import Call, make_parser, parse
    from streamer.logs import set_up_logs

    flags, arguments = parse(make_parser(program, command), argv)
    if command.run is None:
        raise ValueError(f"{program} has nothing to run")
    set_up_logs(is_debug=arguments.debug)
    return command.run(Call(load(flags, file=arguments.config), arguments))


def _overview() -> str:
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {help_text}" for name, help_text in COMMANDS.items())
    return (
        "streamer classifies camera frames with Qualcomm Cloud AI 100 cards, over Apache Kafka.\n\n"
        f"usage: streamer COMMAND [FLAGS]\n\n{lines}\n\n"
        "try:\n  streamer demo                        everything at once, on this machine\n"
        "  streamer consume --help              the flags of a command, with examples\n\n"
        "Each flag is also a setting in streamer.toml and a variable STREAMER_…: `streamer config show` lists them."
    )


def _group_overview(program: str, command: "Command") -> str:
    width = max(map(len, command.subcommands))
    lines = "\n".join(f"  {name:<{width}}  {sub.help.splitlines()[0]}" for name, sub in command.subcommands.items())
    return f"{command.help}\n\nusage: {program} COMMAND [FLAGS]\n\n{lines}"


if __name__ == "__main__":
    sys.exit(main())
