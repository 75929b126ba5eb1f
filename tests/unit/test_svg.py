"""Drawings: what is said in them is text, and where they go is known before anything runs."""

from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from streamer.cli.command import UsageError, make_parser, parse
from streamer.cli.output_file import OutputError, write_text
from streamer.svg import circle, document, line, rectangle, text

COMMANDS = {"classifier": (), "plan": (), "pipeline": ("run", "pipeline.toml")}


def test_what_is_said_is_text() -> None:
    odd = "<b>&\"'\x1b[31m" + "x" * 1000
    parts = [
        text(1, 2, odd, "end", is_turned=True),
        circle(3, 4, "#000000", title=odd, is_hollow=True),
        line((0, 0), (5, 6), "#000000"),
        rectangle(0, 0, 5, 6, "#000000", 0.5),
    ]
    drawing = ET.fromstring(document(70, 50, odd, parts))
    (said, title) = (element.text for element in drawing.iter() if element.text and element.text.strip())
    assert said == title == drawing.attrib["aria-label"]
    assert str(said).startswith("<b>&\"'\\x1b[31mx")
    assert len(str(said)) < 220
    assert [element.tag.partition("}")[2] for element in drawing] == ["rect", "text", "circle", "line", "rect"]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("speed.png", r"the drawing is SVG: call it speed\.svg"),
        ("nowhere/speed.svg", "there is no directory nowhere for speed.svg: make it first"),
        (".", "is a directory: give the name of a file"),
    ],
)
def test_a_drawing_that_could_not_be_written_is_refused_before_anything_runs(name: str, path: str, says: str) -> None:
    command, words = import_module(f"streamer.cli.{name}").COMMAND, list(COMMANDS[name])
    if command.subcommands:
        command = command.subcommands[words.pop(0)]
    with pytest.raises(UsageError, match=says):
        parse(make_parser(f"streamer {name}", command), [*words, "--picture", path])
    assert parse(make_parser(f"streamer {name}", command), [*words, "--picture", "a.SVG"])[1].picture == Path("a.SVG")


def test_what_cannot_be_written_after_all_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"^cannot write .*gone/a\.svg: No such file or directory$"):
        write_text(tmp_path / "gone" / "a.svg", "")
