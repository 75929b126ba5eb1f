"""What people see: tables, and text from outside made harmless."""

import json
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

_MAX_CELL_CHARS = 1000
_MAX_STATUS_CHARS = 300
_WIDTH_OF_A_FILE = 10_000
#: Columns that may fold keep that much.
_MIN_COLUMN_WIDTH = 8


def harmless(text: str, max_chars: int = 120) -> str:
    """Return text from outside (a camera's name, a label) with control characters made visible, and cut.

    A name could otherwise move the cursor, recolour the screen, turn the direction of writing or forge a line.
    """
    shown = "".join(
        f"\\x{ord(character):02x}" if _is_control(character) else character for character in text[:max_chars]
    )
    return shown + "…" if len(text) > max_chars else shown


def is_harmless(text: str) -> bool:
    """Tell whether text may stand in one line as it is: nothing in it is for a terminal, and nothing ends the line."""
    return not any(map(_is_control, text))


def _is_control(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")  # the last two end lines


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, unfolded: Collection[str] = ()
) -> None:
    """Print a table; the cells are shown as they are, never read as markup, and nothing is left out.

    A terminal's width folds long cells; in a file or a pipe a row stays one line, so that `grep` finds it whole.

    Args:
        title: Above the table; none where it is empty.
        columns: Their names.
        rows: A cell for each column.
        unfolded: Columns whose cells stay whole, to be copied; where they do not fit, the terminal breaks the line.
    """
    import sys

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(harmless(title, _MAX_CELL_CHARS)) if title else None, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(
            Text(column),
            justify="left" if number == 0 else "right",
            overflow="fold",
            no_wrap=column in unfolded,
        )
    for row in rows:
        table.add_row(*(Text(harmless(str(cell), _MAX_CELL_CHARS)) for cell in row))
    console = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
    if unfolded:
        console.width = max(console.width, _least_width(table))
    with console.capture() as capture:  # rich would end the program where the reader of a pipe left
        console.print(table)
    print(capture.get(), end="")  # noqa: T201


def _least_width(table: "Table") -> int:
    """Return the width at which the unfolded columns are whole, and the others no narrower than is worth reading."""
    from rich.cells import cell_len

    width = 1
    for column in table.columns:
        cells_width = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
        width += 3 + (cells_width if column.no_wrap else min(cells_width, _MIN_COLUMN_WIDTH))
    return width


@contextmanager
def working(what: str) -> Iterator[Callable[[str], None]]:
    """Show on standard error that something takes its time; in a file or a pipe nothing is said.

    Gives a function that says what goes on now.
    """
    from rich.console import Console
    from rich.text import Text

    def plain(words: str) -> Text:
        return Text(harmless(words, _MAX_STATUS_CHARS))  # no markup, and no escapes: names of files are among them

    with Console(stderr=True).status(plain(what)) as status:
        yield lambda words: status.update(plain(words))


def print_json(value: Any) -> None:
    """Print one JSON object on a line of its own, for programs; ASCII alone, so no terminal is harmed."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False), flush=True)  # noqa: T201
