"""Cells of CSV files that people open in a spreadsheet."""

from typing import Any

from streamer.terminal import harmless

_MAX_CELL_CHARS = 1000
#: A spreadsheet takes a cell that begins so for a formula.
#: Source: https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def csv_cell(value: Any) -> Any:
    """Return a cell as it may stand in a file that a spreadsheet opens."""
    if not isinstance(value, str):
        return value
    text = harmless(value, _MAX_CELL_CHARS)
    return f"'{text}" if value.startswith(_FORMULA_STARTS) else text
