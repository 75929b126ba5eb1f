"""Figures as people read them. Pure."""

_KIB = 1024


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
