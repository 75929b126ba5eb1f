"""Times on the wire: RFC 3339 in UTC with microseconds; in the program: integer µs since 1970."""

import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIRST_US = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST_US = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND


def now_us() -> int:
    """Return the wall clock in µs since 1970-01-01 UTC."""
    return time.time_ns() // 1000


def format_us(time_us: int) -> str:
    """Write `time_us` (µs since 1970, UTC) as RFC 3339, for example `2026-11-21T08:00:00.123456Z`.

    Raises:
        OverflowError: It is not within the years 1 to 9999; see `is_writable`.
    """
    moment = _EPOCH + timedelta(microseconds=time_us)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def is_writable(time_us: int) -> bool:
    """Tell whether `format_us` can write `time_us`: RFC 3339 has four digits for the year."""
    return _FIRST_US <= time_us <= _LAST_US


def parse_us(text: str) -> int:
    """Read an RFC 3339 time with a time zone as µs since 1970, UTC; digits beyond the µs are cut off.

    Raises:
        ValueError: It is not such a time, or has no time zone.
    """
    moment = datetime.fromisoformat(text.upper())  # RFC 3339 allows `t` and `z`, Python does not
    if moment.tzinfo is None:
        raise ValueError("a time without a time zone")
    time_us = (moment - _EPOCH) // _MICROSECOND
    if not is_writable(time_us):
        raise ValueError("a time that is beyond the years 1 to 9999 in UTC")
    return time_us
