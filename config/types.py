"""The types of settings that Python has no word for: durations with a unit, lists in one word."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)
_EXAMPLES = "such as 20ms, 5s, 10m or 7d"


def parse_duration(value: Any, *, bare_is_seconds: bool = False) -> timedelta:
    """Read `20ms`, `5s`, `10m`, `1h` or `7d`.

    Args:
        value: Text, or a `timedelta` which is returned as it is.
        bare_is_seconds: Whether a number without a unit is allowed, and means seconds.

    Raises:
        ValueError: It is no such duration; the message does not quote it, as no message about a setting does.
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(f"no duration, {_EXAMPLES}")
    unit = match[2] or ("s" if bare_is_seconds else "")
    if unit not in _UNITS_S:
        raise ValueError(f"needs a unit, {_EXAMPLES}" if not unit else f"no unit of time, {_EXAMPLES}")
    try:
        return timedelta(seconds=float(match[1]) * _UNITS_S[unit])
    except OverflowError as exc:
        raise ValueError("too long a time") from exc


def format_duration(value: timedelta) -> str:
    """Write a duration with the largest unit that leaves no fraction."""
    microseconds = value // timedelta(microseconds=1)
    if microseconds == 0:
        return "0ms"
    for unit, size_s in sorted(_UNITS_S.items(), key=lambda item: -item[1]):
        if microseconds % round(size_s * 1e6) == 0:
            return f"{microseconds // round(size_s * 1e6)}{unit}"
    raise AssertionError("every whole number of µs has a unit")


def _parse_seconds(value: Any) -> timedelta:
    return parse_duration(value, bare_is_seconds=True)


_SCHEMA = WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(us|ms|s|m|h|d)$", "examples": ["20ms", "5s"]})
_SECONDS_SCHEMA = WithJsonSchema(
    {"type": ["string", "number"], "minimum": 0, "pattern": r"^\d+(\.\d+)?(us|ms|s|m|h|d)?$", "examples": ["5s", 5]}
)
_TO_TEXT = PlainSerializer(format_duration, return_type=str)

#: A duration that needs its unit.
Duration = Annotated[timedelta, BeforeValidator(parse_duration), _TO_TEXT, _SCHEMA]
#: A duration whose bare number means seconds.
Seconds = Annotated[timedelta, BeforeValidator(_parse_seconds), _TO_TEXT, _SECONDS_SCHEMA]


def _split_words(value: Any) -> Any:
    if isinstance(value, str):
        return [part for part in re.split(r"[,\s]+", value.strip()) if part]
    return value


def _read_number(value: Any) -> Any:
    is_number = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10
    return int(value) if is_number else value


#: Before a choice of numbers: pydantic reads text as a number, but not as one of several.
TextAsNumber = BeforeValidator(_read_number)

#: Numbers in one word, `0.485,0.456,0.406`, or a list in the file.
Numbers = Annotated[tuple[float, ...], BeforeValidator(_split_words)]
#: Names in one word, `one,two`, or a list in the file.
Names = Annotated[tuple[str, ...], BeforeValidator(_split_words)]
