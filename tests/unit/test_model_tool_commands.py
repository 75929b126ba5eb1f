"""`streamer optimize`, `quantize`, `visualize` and `analyze`: for people, for programs, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from engine.models.tools.comparison import Comparison
from streamer import (
    analyze_model,
    optimize_model,
    quantize_model,
    visualize_model_architecture,
    visualize_model_weights,
)
from streamer.cli.main import COMMANDS, main
from streamer.cli.model_tools import comparison_rows
from streamer.recent_frames import starts_of
from tests.fakes.commands import error_of, json_of, output_of
from tests.fakes.conv_models import parameters_of, save_conv

TOOLS = ("optimize", "quantize", "visualize", "analyze")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_conv(tmp_path_factory.mktemp("models") / "conv.onnx"))


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("tool", TOOLS)
def test_each_is_listed_and_explains_itself(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool in COMMANDS
    said = output_of(capsys, tool, "--help")
    assert "examples:" in said
    assert f"streamer {tool} " in said
    assert "--json" in said


def test_optimize_compares_both(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = output_of(capsys, "optimize", source, "small.onnx", "--level", "1")
    assert "level 1" in said
    assert "same top class" in said
    assert "100.0% of 8 inputs" in said
    found = json_of(capsys, "optimize", source, "small.onnx")
    assert (found["level"], found["destination"]) == (2, "small.onnx")
    assert Path("small.onnx").stat().st_size == found["comparison"]["size_after_bytes"]


def test_optimize_says_what_it_did_on_standard_error(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", source, "small.onnx", "--level", "1"]) == 0
    assert "operators became" in capsys.readouterr().err


def test_what_is_in_order_is_said_in_words(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["optimize", source, "small.onnx"]) == 0
    capsys.readouterr()
    assert main(["optimize", "small.onnx", "again.onnx", "--level", "1"]) == 0
    assert " operators as before\n" in capsys.readouterr().err
    tiny = Comparison(8, 5.7e-06, 6e-07, 1.0, 1, 1, 1, 1)
    assert ("largest difference", "5.7e-06 (under 0.01% of the largest value)") in comparison_rows(tiny)


@pytest.mark.parametrize("tool", ["convert", "optimize", "quantize"])
def test_it_is_said_that_a_result_is_replaced(tool: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "one that is there is replaced" in " ".join(output_of(capsys, tool, "--help").split())


def test_quantize_takes_a_directory(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("pictures").mkdir()
    for number in range(3):
        Image.fromarray(np.full((40, 40, 3), 90 * number, np.uint8)).save(f"pictures/{number}.png")
    found = json_of(capsys, "quantize", source, "int8.onnx", "--type", "int8", "--calibration", "pictures")
    assert found["type"] == "int8"
    assert any("3 of 3 pictures in pictures" in note for note in found["notes"])
    assert found["comparison"]["samples"] == 3


def test_quantize_without_pictures_says_what_it_did(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quantize", source, "int8.onnx"]) == 0
    said = capsys.readouterr()
    assert "no calibration data" in said.err
    assert "int8" in said.out


def test_visualize_writes_either_kind(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "visualize", source, "--type", "architecture", "--output", "model.png")
    assert found["size_bytes"] == Path("model.png").stat().st_size
    assert Path("model.png").read_bytes().startswith(b"\x89PNG")
    assert output_of(capsys, "visualize", source, "--type", "weights", "-o", "weights.svg") == ""
    assert Path("weights.svg").read_text(encoding="utf-8").startswith("<svg")


def test_analyze_shows_the_figures(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = output_of(capsys, "analyze", source, "--no-backends")
    assert f"{parameters_of(1):,}" in said
    assert "float32[any, 3, 32, 32]" in said
    assert "slowest layers on ONNX Runtime" in said
    assert "back end" not in said
    found = json_of(capsys, "analyze", source, "--no-backends")
    assert found["parameters"] == parameters_of(1)


def test_the_built_in_model_has_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert json_of(capsys, "analyze", "workpiece", "--no-backends")["parameters"] == 73_285


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (("optimize", "absent.onnx", "x.onnx"), "no model file absent.onnx"),
        (("optimize", "SOURCE", "x.onnx", "--level", "4"), "invalid choice: 4"),
        (("optimize", "SOURCE", "nowhere/x.onnx"), "there is no directory nowhere"),
        (("quantize", "SOURCE", "x.onnx", "--type", "int4"), "invalid choice: 'int4'"),
        (("quantize", "SOURCE", "x.onnx", "--calibration", "nowhere"), "there is no directory nowhere"),
        (("quantize", "SOURCE", "x.onnx", "--frames", "0"), "no number from 1 to 512"),
        (("quantize", "SOURCE", "x.onnx", "--frames", "2", "--calibration", "."), "not both"),
        (("visualize", "SOURCE", "--output", "x.jpg"), "a picture is .png or .svg"),
        (("visualize", "SOURCE"), "-o/--output"),
        (("analyze", "absent.onnx"), "no model file absent.onnx"),
    ],
)
def test_wrong_use_is_one_line(
    words: tuple[str, ...], match: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert match in error_of(capsys, *(source if word == "SOURCE" else word for word in words))
    assert not list(Path().glob("x.*"))


def test_the_functions_are_public() -> None:
    functions = (analyze_model, optimize_model, quantize_model, visualize_model_architecture, visualize_model_weights)
    assert all(function.__doc__ for function in functions)


@given(
    st.dictionaries(st.integers(0, 8), st.tuples(st.integers(0, 50), st.integers(0, 50)), min_size=1),
    st.integers(1, 60),
)
def test_the_newest_frames_are_taken_from_all_partitions(partitions: dict[int, tuple[int, int]], count: int) -> None:
    first = {number: begin for number, (begin, _) in partitions.items()}
    ends = {number: begin + held for number, (begin, held) in partitions.items()}
    starts = starts_of(first, ends, count)
    taken = {number: ends[number] - start for number, start in starts.items()}
    held = {number: size for number, (_, size) in partitions.items()}
    assert sum(taken.values()) == min(count, sum(held.values()))
    assert all(0 < taken[number] <= held[number] for number in taken)
    # None gives more than another that has some left.
    left = [taken.get(number, 0) for number in held if taken.get(number, 0) < held[number]]
    assert not left or max(taken.values(), default=0) <= min(left) + 1
