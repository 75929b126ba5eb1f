"""Times on the wire: RFC 3339 in UTC with microseconds; in the program: integer µs since 1970."""

import time
from datetime import UTC, datetime


def now_us() -> int:
    """Return the wall clock in µs since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def format_us(time_us: int) -> str:
    """Write `time_us` (µs since 1970, UTC) as RFC 3339, for example `2026-11-21T08:00:00.123456Z`."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{microseconds:06d}Z"


def parse_us(text: str) -> int:
    """Read an RFC 3339 time with a time zone as µs since 1970, UTC; digits beyond the µs are cut off.

    Raises:
        ValueError: It is not such a time, or has no time zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    # A float holds µs since 1970 exactly until the year 2255.
    return round(moment.timestamp() * 1_000_000)
