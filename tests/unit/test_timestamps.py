from datetime import UTC, datetime

import pytest

from messaging.timestamps import format_us, is_writable, now_us, parse_us


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (1_795_248_000_123_456, "2026-11-21T08:00:00.123456Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        # A float would be one off.
        (10_413_792_000_123_457, "2300-01-01T00:00:00.123457Z"),
    ],
)
def test_a_time_and_its_text(time_us: int, text: str) -> None:
    assert format_us(time_us) == text
    assert parse_us(text) == time_us
    assert is_writable(time_us)


@pytest.mark.parametrize("time_us", [-62_135_596_800_000_001, 253_402_300_800_000_000, 2**63 * 1000, -(2**80)])
def test_a_time_beyond_four_digits_of_the_year_cannot_be_written(time_us: int) -> None:
    assert not is_writable(time_us)
    with pytest.raises(OverflowError):
        format_us(time_us)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-21",
        "2026-11-21T08:00:00",
        "2026-11-21T25:00:00Z",
        "2026-11-21T08:00:00+99:00",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "\ud800",
    ],
)
def test_what_is_no_time_with_a_zone_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is for nobody
        parse_us(text)


@pytest.mark.parametrize(
    "text",
    ["2026-11-21T08:00:00Z", "2026-11-21t08:00:00z", "2026-11-21 08:00:00+00:00", "2026-11-21T05:30:00.0000009-02:30"],
)
def test_the_spellings_of_rfc_3339(text: str) -> None:
    assert parse_us(text) == 1_795_248_000_000_000


def test_now_is_now() -> None:
    before = datetime.now(UTC).timestamp()
    assert before - 1 <= now_us() / 1e6 <= datetime.now(UTC).timestamp() + 1
