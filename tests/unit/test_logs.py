"""Log lines go to the terminal, and quote what cameras and other producers say of themselves."""

import json
import logging
import re
import unicodedata

import pytest

from messaging.frame import read_frame
from messaging.trace_context import log_context
from streamer.logs import set_up_logs
from tests.fakes.records import record

_LINE = re.compile(r"\d\d:\d\d:\d\d (DEBUG|INFO|WARNING|ERROR) \S")

HOSTILE = [
    pytest.param("\x1b[2J\x1b[31mred", id="colours"),
    pytest.param("\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link", id="commands to the window"),
    pytest.param("\x9b31m\x90q\x9c", id="commands of one character"),
    pytest.param("a\n12:00:00 ERROR forged\r\n12:00:00 ERROR forged", id="lines"),
    pytest.param("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg", id="other ends of lines"),
    pytest.param("\u202egnp.exe\u2066\u2067\u200f", id="directions"),
    pytest.param("x" * 10_000, id="length"),
    pytest.param("\x1b[31m" * 10_000, id="length in commands"),
    pytest.param("a\u0301" * 10_000, id="accents"),
    pytest.param("\ud800\udfff", id="halves of characters"),
    pytest.param(read_frame(record(key=b"\xff\xfe\x1b[31m\n")).camera, id="no UTF-8"),
    pytest.param("%s %d {x}", id="formats"),
]


@pytest.mark.parametrize("is_debug", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_one_harmless_line(name: str, is_debug: bool, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(is_debug=is_debug)
    for logger in ("consumers.consumer", "producers.camera", "messaging.record_reading", "somebody.else"):
        logging.getLogger(logger).warning("camera %s: a picture was left out: %s", name, ValueError(name))
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    assert len(lines) == 4
    for line in lines:
        assert _LINE.match(line)
        assert_harmless(line)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_traceback_that_quotes_one_is_harmless_too(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(is_debug=True)
    try:
        raise ValueError(name)
    except ValueError:
        logging.getLogger("producers.camera").exception("camera %s", name)
    first, *others = capsys.readouterr().err.rstrip("\n").split("\n")
    assert _LINE.match(first)
    assert any("Traceback" in line for line in others)
    assert all(line.startswith("  ") for line in others)
    for line in (first, *others):
        assert_harmless(line)


def test_without_debug_there_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(is_debug=False)
    try:
        raise ValueError("why")
    except ValueError:
        logging.getLogger("producers.camera").exception("what")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("ERROR what")


def test_an_empty_message_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(is_debug=False)
    logging.getLogger("producers.camera").warning("")
    assert len(capsys.readouterr().err.splitlines()) == 1


def assert_harmless(line: str) -> None:
    assert len(line) < 12_000
    assert not any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in line)


@pytest.mark.parametrize("name", HOSTILE)
def test_json_lines_are_whole_objects_whatever_they_quote(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logs(is_debug=False, form="json", worker="2")
    logging.getLogger("consumers.consumer").warning(
        "camera %s: %s", name, ValueError(name), extra=log_context(f"00-{'a' * 32}-{'b' * 16}-00")
    )
    (line,) = capsys.readouterr().err.splitlines()
    said = json.loads(line)
    assert_harmless(said["message"])
    assert said | {"time": "", "message": ""} == {
        "time": "",
        "level": "warning",
        "logger": "consumers.consumer",
        "message": "",
        "worker": "2",
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
    }
    assert said["time"].endswith("+00:00")


def test_json_has_a_traceback_where_it_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    for is_debug in (False, True):
        set_up_logs(is_debug=is_debug, form="json")
        try:
            raise ValueError("x")
        except ValueError:
            logging.getLogger("producers.camera").exception("camera a")
        said = json.loads(capsys.readouterr().err)
        assert ("Traceback" in said.get("exception", "")) is is_debug
