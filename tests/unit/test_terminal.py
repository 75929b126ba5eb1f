"""Names from outside must not command the terminal, forge a line or be read as markup."""

import json
import math
import unicodedata

import pytest

from streamer.terminal import harmless, print_json, print_table, working

HOSTILE = [
    "a\x1b[2Jb",
    "a\nERROR forged",
    "a\r\x07\x08b",
    "\x9b31m",  # one character that begins a command by itself
    "a\u2028b\u2029c\x85d",
    "right\u202eleft\u2066",
    "zero\u200bwidth\ufeff",
    "\ud800",
    "\x00\x7f",
    "\U000e0041",
]


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_what_commands_a_terminal_is_made_visible(text: str) -> None:
    shown = harmless(text)
    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert len(shown.splitlines()) == 1
    assert "\\x" in shown
    shown.encode()


@pytest.mark.parametrize("text", ["line-1", "größe ✓ 线路 🏭", "[bold]x[/bold]", "", "a b"])
def test_what_is_harmless_stays(text: str) -> None:
    assert harmless(text) == text


def test_it_is_cut() -> None:
    assert harmless("x" * 120) == "x" * 120
    assert harmless("x" * 121) == "x" * 120 + "…"
    assert harmless("abc", 2) == "ab…"


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_a_table_shows_names_as_they_are(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_table("[red]title[/red]", ("camera", "[b]n[/b]"), [(text, 1), ("[bold]x[/bold]", 2)])
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert harmless(text) in out
    assert "[bold]x[/bold]" in out
    assert "[red]title[/red]" in out
    assert "[b]n[/b]" in out
    assert len(out.splitlines()) == 7


@pytest.mark.parametrize("text", [*HOSTILE, "a[/x].onnx"], ids=ascii)
def test_what_goes_on_is_shown_as_it_is(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("rich.status.Status.update", lambda _, words: shown.append(words.plain))
    with working(text) as say:
        say(text)
    assert shown == [harmless(text)]


def test_in_a_file_nothing_is_left_out_and_a_row_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    settings = " ".join(f"setting.{number}=9223372036854775807" for number in range(10))
    print_table("", ("topic", "settings"), [("frames", settings)])
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "frames" in line)
    assert settings in row


def test_a_cell_has_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("", ("a",), [("x" * 100_000,)])
    assert max(map(len, capsys.readouterr().out.splitlines())) < 1100


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    value = {"camera": "größe\x1b\n\u2028\ud800"}
    print_json(value)
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert "\x1b" not in out
    assert json.loads(out) == value


def test_json_knows_no_nan() -> None:
    with pytest.raises(ValueError, match="JSON"):
        print_json({"x": math.nan})
