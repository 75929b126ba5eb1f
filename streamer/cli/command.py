"""What a command is: its help, the settings that become its flags, and the function that does the work."""

from argparse import (
    SUPPRESS,
    Action,
    ArgumentParser,
    ArgumentTypeError,
    BooleanOptionalAction,
    Namespace,
    RawDescriptionHelpFormatter,
)
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args, get_origin

from pydantic import BaseModel, ByteSize, SecretStr
from pydantic.fields import FieldInfo

from config.load import Loaded, flag_name, is_secret, known_settings, nearest, setting_name, variable_name
from config.types import format_duration, parse_duration
from producers.sources.address import redact

_SETTING = "setting:"


class UsageError(Exception):
    """The command line is wrong; the message is one line that says what would be right."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a command.

    Attributes:
        loaded: The settings, from the file, the environment and the flags.
        arguments: What is given on the command line alone.
        argv: The command line as it was typed, after the command's name.
    """

    loaded: Loaded
    arguments: Namespace
    argv: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """One command, or a group of them.

    Attributes:
        help: What it does: one line, then whatever a user should know.
        run: Does it; the exit code.
        settings: Groups of settings that become flags, each with its table's name ("" for none).
        examples: Lines to try, for the end of the help.
        add_arguments: Adds what is no setting: names, ids, `--json`.
        subcommands: The commands of a group; then there is no `run`.
    """

    help: str
    run: Callable[[Call], int] | None = None
    settings: tuple[tuple[type[BaseModel], str], ...] = ()
    examples: str = ""
    add_arguments: Callable[[ArgumentParser], None] | None = None
    subcommands: Mapping[str, "Command"] = field(default_factory=dict)


class Parser(ArgumentParser):
    """argparse that says what is wrong in one line, with the nearest right word."""

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage."""
        raise UsageError(f"{self.prog}: {message} (`{self.prog} --help` explains)")


class AnyText(Action):
    """An argument whose value may begin with a dash, such as another program's flags.

    argparse takes such a word for a flag of its own, so `parse` joins it to this one.
    """

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keep the value."""
        del parser, option_string
        setattr(namespace, self.dest, values)


def make_parser(program: str, command: Command) -> Parser:
    """Make the parser of one command."""
    examples = "\n".join(f"  {line}" for line in command.examples.strip().splitlines())
    parser = Parser(
        prog=program,
        description=command.help,
        epilog=f"examples:\n{examples}" if examples else None,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    if command.add_arguments is not None:
        command.add_arguments(parser)
    for group, section in command.settings:
        title = (group.__doc__ or "").strip().splitlines()[0].rstrip(".").lower()
        flags = parser.add_argument_group(title)
        for name, info in group.model_fields.items():
            if not is_secret(info):
                _add_setting(flags, setting_name(name, info), section, info)
    common = parser.add_argument_group("always")
    common.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: streamer.toml, if there)")
    common.add_argument("--debug", action="store_true", help="log more, and show where an error came from")
    return parser


def parse(parser: Parser, argv: list[str]) -> tuple[dict[str, Any], Namespace]:
    """Read a command line.

    Returns:
        The settings that were given, by path, and the other arguments.

    Raises:
        UsageError: A flag is unknown or has no value.
    """
    arguments, unknown = parser.parse_known_args(_with_any_text(parser, argv))
    if unknown:
        actions = parser._actions  # noqa: SLF001 - no public list
        known = [flag for action in actions for flag in action.option_strings]
        own = {action.dest.removeprefix(_SETTING) for action in actions}
        # A misplaced argument may be a camera's address with its password.
        word = redact(unknown[0].partition("=")[0])
        secrets = (path for path, info in known_settings() if is_secret(info) and f"{path}_file" in own)
        secret = next((path for path in secrets if flag_name(path) == word), None)
        if secret is not None:
            raise UsageError(
                f"{parser.prog}: {word} is no flag, since every user of this machine could read it: "
                f"set {variable_name(secret)}, or give {word}-file PATH"
            )
        kind = "flag" if word.startswith("-") else "argument"
        raise UsageError(
            f"{parser.prog}: unknown {kind} {word}{nearest(word, known)} (`{parser.prog} --help` lists all)"
        )
    flags = {name.removeprefix(_SETTING): value for name, value in vars(arguments).items() if name.startswith(_SETTING)}
    others = {name: value for name, value in vars(arguments).items() if not name.startswith(_SETTING)}
    return flags, Namespace(**others)


def _with_any_text(parser: Parser, argv: list[str]) -> list[str]:
    """Return a command line in which each flag that takes any text is one word with its value."""
    takers = {
        flag
        for action in parser._actions  # noqa: SLF001 - no public list
        if isinstance(action, AnyText)
        for flag in action.option_strings
    }
    words, joined = iter(argv), list[str]()
    for word in words:
        value = next(words, None) if word in takers else None
        joined.append(word if value is None else f"{word}={value}")
    return joined


def positive(text: str) -> int:
    """Read a whole number above 0, as argparse wants it of an argument's `type`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 18 or int(text) == 0:
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def seconds(text: str) -> float:
    """Read how long something takes, as argparse wants it of an argument's `type`: 5, 2.5 or 500ms, below a day."""
    try:
        read = parse_duration(text, bare_is_seconds=True)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from None
    if not timedelta(0) < read < timedelta(days=1):
        raise ArgumentTypeError("give a time above 0 and below a day, such as 5, 500ms or 2m")
    return read.total_seconds()


def moment_us(text: str) -> int:
    """Read a moment, as argparse wants it of an argument's `type`: how long ago, or RFC 3339; µs since 1970."""
    from messaging.timestamps import now_us, parse_us

    try:
        return now_us() - round(parse_duration(text).total_seconds() * 1e6)
    except ValueError:
        pass
    try:
        return parse_us(text)
    except (ValueError, OverflowError):
        raise ArgumentTypeError("give how long ago, such as 10m, or a time such as 2026-11-21T08:00:00Z") from None


def _add_setting(flags: Any, name: str, section: str, info: FieldInfo) -> None:
    """Add the flag of a setting; its value stays text, so that there is one place that checks it."""
    options: dict[str, Any] = {
        "dest": f"{_SETTING}{section}.{name}" if section else f"{_SETTING}{name}",
        "default": SUPPRESS,
        "help": _help(info),
    }
    if info.annotation is bool:
        flags.add_argument(flag_name(name), action=BooleanOptionalAction, **options)
    else:
        flags.add_argument(flag_name(name), metavar=_metavar(name, info), **options)


def _help(info: FieldInfo) -> str:
    text = (info.description or "").replace("%", "%%")
    default = info.get_default(call_default_factory=True)
    if default is None or default is False or "default" in text or isinstance(default, BaseModel) or info.is_required():
        return text
    return f"{text} (default: {_text(default)})"


def _text(value: object) -> str:
    if isinstance(value, ByteSize):
        return value.human_readable(separator=" ")
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, SecretStr):
        return "***"
    return str(value)


def _metavar(name: str, info: FieldInfo) -> str:
    choices = next(
        (get_args(kind) for kind in (info.annotation, *get_args(info.annotation)) if get_origin(kind) is Literal), ()
    )
    if choices:
        return "|".join(str(choice) for choice in choices)
    kinds = (info.annotation, *get_args(info.annotation))
    for kind, word in ((timedelta, "TIME"), (ByteSize, "BYTES"), (Path, "PATH"), (int, "N"), (float, "X")):
        if kind in kinds:
            return word
    return name.rpartition("_")[2].upper()
