"""Figures and sentences as people read them. Pure."""

import re

_KIB = 1024
#: A word of the language, not a name such as `streamer.frames` or `decode:`.
_FIRST_WORD = re.compile(r"[a-z]+(?![\w.:/-])")
_CODE = re.compile(r"`([^`]+)`")


def count(number: float) -> str:
    """Write a count: `12,345`."""
    return f"{number:,.0f}"


def rate(per_second: float) -> str:
    """Write a rate, with a digit where it is small."""
    return f"{per_second:,.0f}" if per_second >= 100 else f"{per_second:.1f}"


def milliseconds(value: float | None) -> str:
    """Write a time in ms, with as many digits as are worth reading."""
    if value is None:
        return "–"
    if abs(value) >= 10_000:
        return f"{value / 1000:,.1f} s"
    return f"{value:,.0f} ms" if abs(value) >= 100 else f"{value:.1f} ms"


def seconds(value: float) -> str:
    """Write how long something is ago, or takes: `0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`."""
    if value < 0:
        return f"-{seconds(-value)}"
    if value < 10:
        return f"{value:.1f} s"
    for limit, unit_s, unit in ((100, 1, "s"), (6000, 60, "min"), (48 * 3600, 3600, "h")):
        if value < limit:
            return f"{value / unit_s:.0f} {unit}"
    return f"{value / 86400:.0f} d"


def percent(share: float | None) -> str:
    """Write a share of 1: `98.3 %`."""
    return "–" if share is None else f"{share * 100:.1f} %"


def size(size_bytes: int) -> str:
    """Write bytes: `9.8 KiB`."""
    if size_bytes < _KIB:
        return f"{size_bytes} B"
    if size_bytes < _KIB * _KIB:
        return f"{size_bytes / _KIB:.1f} KiB"
    return f"{size_bytes / _KIB / _KIB:.1f} MiB"


def reasons(by_reason: dict[str, int]) -> str:
    """Write counts by reason, the largest first: `too-old 12, superseded 3`."""
    largest_first = sorted(by_reason.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{reason} {count(number)}" for reason, number in largest_first if number)


def capitalised(text: str) -> str:
    """Begin with a capital letter, unless it begins with a name."""
    return text[0].upper() + text[1:] if _FIRST_WORD.match(text) else text


def sentence(text: str) -> str:
    """Make a whole sentence of a message, such as an error's: with a capital letter and a full stop."""
    return capitalised(text) if text.endswith((".", "!", "?")) else f"{capitalised(text)}."


def pieces(text: str) -> list[tuple[str, bool]]:
    """Split a text at what stands between backticks; each piece says whether it is that."""
    return [(piece, number % 2 == 1) for number, piece in enumerate(_CODE.split(text)) if piece]
