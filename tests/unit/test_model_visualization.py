"""Pictures of models: what they show, that they stay readable, and where boxes stand."""

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from PIL import Image

from engine.errors import ModelError, OptionsError
from engine.models.tools.blocks import MAX_BOXES, BlockGraph, blocks_of
from engine.models.tools.canvas import Box, Canvas, Text, clipped
from engine.models.tools.layered_layout import layered
from engine.models.tools.layers import Layer, LayeredModel, Value, read_layers
from engine.models.tools.visualization import (
    visualize_model,
    visualize_model_architecture,
    visualize_model_weights,
)
from tests.fakes.conv_models import parameters_of, save_conv
from tests.fakes.onnx_models import save_two_inputs
from tests.fakes.tflite_models import save_tiny_tflite

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conv(tmp_path_factory.mktemp("models") / "conv.onnx", blocks=2)


def texts(path: Path) -> list[str]:
    return [entry.text or "" for entry in ET.parse(path).getroot().iter(f"{SVG}text")]


def chain(operators: list[str]) -> LayeredModel:
    """A model of operators one after another."""
    layers = tuple(
        Layer(f"n{number}", name, (str(number),), (str(number + 1),), (1, 8), 10, 0)
        for number, name in enumerate(operators)
    )
    ends = [Value(name, (1, 8), "float32") for name in ("0", str(len(operators)))]
    return LayeredModel(layers, (ends[0],), (ends[1],), ())


def is_whole(graph: BlockGraph) -> bool:
    """Whether every box but the outputs gives, every box but the inputs takes, and lines go forward."""
    gives, takes = {begin for begin, _ in graph.edges}, {end for _, end in graph.edges}
    return all(begin < end for begin, end in graph.edges) and all(
        (number in gives or block.kind == "output") and (number in takes or block.kind == "input")
        for number, block in enumerate(graph.blocks)
    )


def test_the_architecture_shows_operators_shapes_and_parameters(source: Path, tmp_path: Path) -> None:
    visualize_model_architecture(source, tmp_path / "model.svg")
    found = texts(tmp_path / "model.svg")
    assert found[0].startswith(f"conv.onnx: 13 operators, {parameters_of(2):,} parameters, ")
    assert found.count("Conv") == found.count("BatchNormalization") == 2
    assert "any x 3 x 32 x 32" in found
    assert "1 x 8 x 32 x 32" in found
    assert f"{8 * 3 * 9 + 8:,} parameters" in found
    assert {"image", "scores"} <= set(found)


def test_a_png_has_the_same_size_and_something_in_it(source: Path, tmp_path: Path) -> None:
    visualize_model_architecture(source, tmp_path / "model.svg")
    visualize_model_architecture(source, tmp_path / "model.png")
    root = ET.parse(tmp_path / "model.svg").getroot()
    with Image.open(tmp_path / "model.png") as picture:
        assert picture.format == "PNG"
        assert picture.size == (2 * int(root.get("width", 0)), 2 * int(root.get("height", 0)))
        pixels = np.asarray(picture.convert("L"))
    assert 0.01 < (pixels < 240).mean() < 0.5


def test_weights_have_a_panel_each(source: Path, tmp_path: Path) -> None:
    visualize_model_weights(source, tmp_path / "weights.svg")
    found = texts(tmp_path / "weights.svg")
    assert {"filter0", "filter1", "dense"} <= set(found)
    assert "8 x 3 x 3 x 3 float32" in found
    assert "beta0" not in found  # one axis alone
    assert any("3 of 16 tensors" in text for text in found)


def test_weights_that_are_no_numbers_are_told(source: Path, tmp_path: Path) -> None:
    model = onnx.load(source)
    tensor = next(entry for entry in model.graph.initializer if entry.name == "filter0")
    values = numpy_helper.to_array(tensor).copy()
    values[0, 0, 0, :2] = np.nan, np.inf
    tensor.CopyFrom(numpy_helper.from_array(values, "filter0"))
    onnx.save(model, tmp_path / "nan.onnx")
    visualize_model_weights(tmp_path / "nan.onnx", tmp_path / "weights.svg")
    assert any(text.startswith("2 not finite; ") for text in texts(tmp_path / "weights.svg"))


def test_tflite_is_drawn(tmp_path: Path) -> None:
    source = save_tiny_tflite(tmp_path / "tiny.tflite")
    visualize_model_architecture(source, tmp_path / "model.svg")
    visualize_model_weights(source, tmp_path / "weights.png")
    assert texts(tmp_path / "model.svg").count("CONV_2D") == 2
    assert {"FULLY_CONNECTED", "MEAN", "scores"} <= set(texts(tmp_path / "model.svg"))


def test_300_layers_stay_readable(tmp_path: Path) -> None:
    source = save_conv(tmp_path / "deep.onnx", blocks=80)
    model = read_layers(source)
    assert len(model.layers) > 300
    graph = blocks_of(model)
    assert len(graph.blocks) <= MAX_BOXES
    assert is_whole(graph)
    assert sum(block.parameters for block in graph.blocks) == parameters_of(80)
    visualize_model_architecture(source, tmp_path / "deep.png")
    visualize_model_architecture(source, tmp_path / "deep.svg")
    assert any("so is what repeats" in text for text in texts(tmp_path / "deep.svg"))
    with Image.open(tmp_path / "deep.png") as picture:
        assert picture.height < 10_000


def test_a_chain_is_one_box() -> None:
    graph = blocks_of(chain(["Conv", "Relu"] * 50))
    assert [block.text for block in graph.blocks] == ["0", "Conv x 50, Relu x 50", "100"]
    assert graph.notes == ("100 operators: those in a row are one box",)


def test_few_layers_are_left_alone() -> None:
    graph = blocks_of(chain(["Conv", "Relu"]))
    assert [block.text for block in graph.blocks] == ["0", "Conv", "Relu", "2"]
    assert not graph.notes


def diamonds(count: int) -> LayeredModel:
    """Two branches that meet again, several times, each of other operators."""
    layers = []
    for number in range(count):
        for name, taken in ((f"L{number}", ["0", f"join{number - 1}"]), (f"R{number}", ["0", f"join{number - 1}"])):
            layers.append(Layer(name, name, (taken[number > 0],), (name,), None, 1, 0))
            layers.append(Layer(f"{name}b", f"{name}b", (name,), (f"{name}b",), None, 1, 0))
        layers.append(Layer(f"J{number}", f"J{number}", (f"L{number}b", f"R{number}b"), (f"join{number}",), None, 0, 0))
    ends = [Value(name, None, "float32") for name in ("0", f"join{count - 1}")]
    return LayeredModel(tuple(layers), (ends[0],), (ends[1],), ())


def test_branches_stay_apart_where_there_is_room() -> None:
    graph = blocks_of(diamonds(2), max_boxes=10)
    boxes = ["0", "L0, L0b", "R0, R0b", "J0", "L1, L1b", "R1, R1b", "J1", "join1"]
    assert [block.text for block in graph.blocks] == boxes
    assert graph.edges == ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6), (5, 6), (6, 7))


def test_the_middle_is_folded_last() -> None:
    graph = blocks_of(diamonds(30), max_boxes=9)
    assert len(graph.blocks) == 9
    assert is_whole(graph)
    assert sum(block.parameters for block in graph.blocks) == 120
    assert graph.notes[0].endswith("so is the middle")


def test_what_folds_nowhere_is_capped() -> None:
    """Every layer takes from all before it, and no two are the same."""
    layers = tuple(
        Layer(f"n{number}", f"Op{number}", tuple(map(str, range(number + 1))), (str(number + 1),), None, 0, 0)
        for number in range(90)
    )
    model = LayeredModel(layers, (Value("0", None, "float32"),), (Value("90", None, "float32"),), ())
    graph = blocks_of(model, max_boxes=20)
    assert len(graph.blocks) <= 20
    assert is_whole(graph)


def test_two_inputs_are_two_boxes(tmp_path: Path) -> None:
    graph = blocks_of(read_layers(save_two_inputs(tmp_path / "two.onnx")))
    assert [block.kind for block in graph.blocks].count("input") == 2
    assert is_whole(graph)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    count = draw(st.integers(2, 24))
    pairs = st.sampled_from(list(combinations(range(count), 2)))
    return count, draw(st.lists(pairs, unique=True, max_size=40))


@given(graphs())
def test_boxes_never_overlap_and_lines_go_down(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    count, edges = drawn
    layout = layered(count, edges, (100.0, 40.0), (10.0, 20.0))
    assert len(layout.centres) == count
    for (x1, y1), (x2, y2) in combinations(layout.centres, 2):
        assert abs(x1 - x2) >= 109.99 or abs(y1 - y2) >= 59.99
    for (begin, end), bends in zip(edges, layout.lines, strict=True):
        ys = [layout.centres[begin][1], *(y for _, y in bends), layout.centres[end][1]]
        assert ys == sorted(set(ys))
    for x, y in layout.centres:
        assert 49.99 <= x <= layout.width - 49.99
        assert 20 <= y <= layout.height - 20 + 0.01


def test_a_long_line_goes_around_what_it_passes() -> None:
    layout = layered(4, [(0, 1), (1, 2), (2, 3), (0, 3)], (100.0, 40.0), (10.0, 20.0))
    assert [y for _, y in layout.lines[3]] == [layout.centres[1][1], layout.centres[2][1]]
    for (bend, _), (box, _) in zip(layout.lines[3], layout.centres[1:3], strict=True):
        assert abs(bend - box) >= 59.99


def test_text_from_a_file_harms_no_picture(tmp_path: Path) -> None:
    canvas = Canvas(200, 60, "a & b")
    evil = "<script>\u202e\x1b"
    canvas.shapes += [Text(5, 20, evil), Box(5, 30, 50, 20, "#ffffff", title=evil), Text(5, 50, "日本 × …")]
    for name in ("x.svg", "x.png"):
        canvas.save(tmp_path / name)
    content = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "<script>" not in content
    assert "\u202e" not in content
    assert texts(tmp_path / "x.svg")[0] == "<script>"
    assert clipped("x" * 100, 60, 12).endswith("...")


def test_what_cannot_be_drawn_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"ends in \.png or \.svg"):
        visualize_model_architecture(source, tmp_path / "model.jpg")
    with pytest.raises(OptionsError, match="give architecture or weights"):
        visualize_model(source, tmp_path / "model.png", "layers")
    bare = tmp_path / "bare.onnx"
    save_two_inputs(bare)
    with pytest.raises(ModelError, match="has no weights to draw"):
        visualize_model_weights(bare, tmp_path / "weights.png")
    (tmp_path / "broken.onnx").write_bytes(b"x")
    with pytest.raises(ModelError, match="no complete ONNX file"):
        visualize_model_architecture(tmp_path / "broken.onnx", tmp_path / "model.png")
    assert not list(tmp_path.glob("*.png"))
