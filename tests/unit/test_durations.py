import re
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from config.types import Duration, Numbers, Seconds, format_duration, parse_duration

MS = timedelta(milliseconds=1)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("20ms", 20),
        ("5s", 5000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("7d", 604_800_000),
        ("500us", 0.5),
        ("0.5s", 500),
        ("1.5m", 90_000),
        ("0ms", 0),
        ("  20 ms ", 20),
    ],
)
def test_a_duration_and_its_unit(text: str, milliseconds: float) -> None:
    assert parse_duration(text) == MS * milliseconds
    assert parse_duration(text, bare_is_seconds=True) == MS * milliseconds


@pytest.mark.parametrize("bare", ["5", "0.5", 5, 0.5])
def test_a_bare_number_means_seconds_only_where_that_is_said(bare: object) -> None:
    assert parse_duration(bare, bare_is_seconds=True) == timedelta(seconds=float(str(bare)))
    with pytest.raises(ValueError, match="needs a unit, such as 20ms"):
        parse_duration(bare)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "ms",
        "-5s",
        "+5s",
        "5 parsecs",
        "5S",
        "1e3s",
        "5s5ms",
        "٥s",
        "5,5s",
        "nan",
        "inf",
        "1_0s",
        True,
        None,
        [],
        "s5",
    ],
)
def test_what_is_no_duration_is_refused_without_being_quoted(bad: object) -> None:
    for bare_is_seconds in (False, True):
        with pytest.raises(ValueError, match="such as 20ms, 5s, 10m or 7d") as caught:
            parse_duration(bad, bare_is_seconds=bare_is_seconds)
        assert not re.search("parsecs|True|nan", str(caught.value))


@pytest.mark.parametrize("bad", ["999999999999d", "9" * 400 + "s"])
def test_what_is_too_long_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="too long a time"):
        parse_duration(bad)


def test_a_timedelta_stays_what_it_is() -> None:
    assert parse_duration(timedelta(days=-1)) == timedelta(days=-1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(0), "0ms"),
        (timedelta(milliseconds=20), "20ms"),
        (timedelta(seconds=90), "90s"),
        (timedelta(minutes=120), "2h"),
        (timedelta(days=7), "7d"),
        (timedelta(microseconds=1500), "1500us"),
    ],
)
def test_a_duration_is_written_with_its_largest_whole_unit(value: timedelta, text: str) -> None:
    assert format_duration(value) == text


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500)))
def test_what_is_written_can_be_read(value: timedelta) -> None:
    assert parse_duration(format_duration(value)) == value


@pytest.mark.parametrize(("kind", "accepts_numbers"), [(Duration, False), (Seconds, True)])
def test_the_schema_takes_what_the_parser_takes(kind: Any, accepts_numbers: bool) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert ("number" in schema["type"]) is accepts_numbers
    for text in ("20ms", "5s", "0.5h", "7d"):
        assert re.search(schema["pattern"], text)
        TypeAdapter(kind).validate_python(text)
    assert bool(re.search(schema["pattern"], "5")) is accepts_numbers
    for example in schema["examples"]:
        TypeAdapter(kind).validate_python(example)


@pytest.mark.parametrize(
    "value", ["0.485,0.456,0.406", "0.485, 0.456 ,0.406", "0.485 0.456 0.406", [0.485, 0.456, 0.406]]
)
def test_numbers_in_one_word_or_a_list(value: object) -> None:
    assert TypeAdapter(Numbers).validate_python(value) == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("bad", ["a,b", "0.5;0.5", 0.5, None])
def test_what_are_no_numbers(bad: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - pydantic's own message
        TypeAdapter(Numbers).validate_python(bad)
