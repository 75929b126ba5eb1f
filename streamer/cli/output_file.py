"""Where a command writes: a picture (the flags `-o` and `--force`), a drawing, a table."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from streamer.cli.command import UsageError

#: What `-o` takes for it.
_STANDARD_OUTPUT = Path("-")


class OutputError(Exception):
    """The file cannot be written after all; the message is one line."""

    exit_code: ClassVar[int] = 1


def writable(text: str) -> Path:
    """Read the path of a file that a command will write, as argparse wants it of an argument's `type`."""
    path = Path(text)
    if path.is_dir():
        raise ArgumentTypeError(f"{path} is a directory: give the name of a file")
    if not path.parent.is_dir():
        raise ArgumentTypeError(f"there is no directory {path.parent} for {path.name}: make it first")
    return path


def drawing(text: str) -> Path:
    """Read the path of a drawing that a command will write, as argparse wants it of an argument's `type`."""
    path = writable(text)
    if path.suffix.lower() != ".svg":
        raise ArgumentTypeError(f"{path}: the drawing is SVG: call it {path.stem}.svg")
    return path


def write_text(path: Path, text: str) -> None:
    """Write a `drawing`, or another `writable` file.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc


class GrowingText:
    """A `writable` file that is there as far as it has come; for a `with` block.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = path.open("w", encoding="utf-8", newline="")
        except OSError as exc:
            raise OutputError(f"cannot write {path}: {exc.strerror}") from exc

    def __enter__(self) -> Self:
        """Begin to write."""
        return self

    def add(self, text: str) -> None:
        """Write more of it, at once."""
        try:
            self._file.write(text)
            self._file.flush()
        except OSError as exc:
            raise OutputError(f"cannot write {self._path}: {exc.strerror}") from exc

    def __exit__(self, *_: object) -> None:
        """Close it; what was written is there already."""
        with suppress(OSError):
            self._file.close()


def add_output_flags(parser: ArgumentParser, what: str) -> None:
    """Add `-o FILE`, which writes `what` there, and `--force`."""
    parser.add_argument(
        "-o", dest="output", type=Path, metavar="FILE", help=f"write {what} there; - is standard output"
    )
    parser.add_argument("--force", action="store_true", help="overwrite FILE")


def is_piped(arguments: Namespace) -> bool:
    """Tell whether the picture goes to standard output, where nothing else may go then."""
    return bool(arguments.output == _STANDARD_OUTPUT)


def check_output(program: str, arguments: Namespace) -> None:
    """Refuse where the picture could not be written, before anything is read.

    Raises:
        UsageError: It could not; a message of one line.
    """
    path: Path | None = arguments.output
    if path is None:
        return
    wrong = ""
    try:
        if is_piped(arguments):
            if arguments.json:
                wrong = "-o - and --json both take standard output: give one of them"
            elif sys.stdout.isatty():
                wrong = "the bytes of a picture are nothing for a terminal: give -o FILE, or send them into a pipe"
        elif path.is_dir():
            wrong = f"{path} is a directory: give the name of a file"
        elif not path.parent.is_dir():
            wrong = f"there is no directory {path.parent}: make it first, or give another FILE"
        elif path.exists() and not arguments.force:
            wrong = f"{path} is there already: --force overwrites it"
    except OSError as exc:
        wrong = f"cannot write {path}: {exc.strerror}"
    if wrong:
        raise UsageError(f"{program}: {wrong}")


def write_output(arguments: Namespace, data: bytes) -> None:
    """Write the picture where `-o` says, and say on standard error how much it was.

    Raises:
        OutputError: The file cannot be written.
    """
    if is_piped(arguments):
        sys.stdout.buffer.write(data)
        return
    path: Path = arguments.output
    try:
        with path.open("wb" if arguments.force else "xb") as file:
            file.write(data)
    except OSError as exc:
        raise OutputError(f"cannot write {path}: {exc.strerror}") from exc
    print(f"{len(data)} bytes written to {path}", file=sys.stderr)
