"""What people see: tables, and text from outside made harmless."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any


def harmless(text: str, max_chars: int = 120) -> str:
    """Return text from outside (a camera's name, a label) with control characters made visible, and cut.

    A name could otherwise move the cursor, recolour the screen or forge a line.
    """
    shown = "".join(
        character if not unicodedata.category(character).startswith("C") else f"\\x{ord(character):02x}"
        for character in text[:max_chars]
    )
    return shown + "…" if len(text) > max_chars else shown


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; the cells are shown as they are, never read as markup."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(Text(harmless(str(cell))) for cell in row))
    Console().print(table)


def print_json(value: Any) -> None:
    """Print one JSON object on a line of its own, for programs; ASCII alone, so no terminal is harmed."""
    print(json.dumps(value, ensure_ascii=True, allow_nan=False), flush=True)  # noqa: T201
