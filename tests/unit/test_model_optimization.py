"""`optimize_model`: smaller and faster models with the same answers."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from engine.errors import ModelError, ModelNotFoundError, OptionsError
from engine.models.npz import load_npz, save_npz
from engine.models.tools.layers import read_layers
from engine.models.tools.onnx_optimization import share_equal_weights
from engine.models.tools.optimization import Optimization, optimize_model
from tests.fakes.conv_models import save_conv
from tests.fakes.tflite_models import save_tiny_tflite


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conv(tmp_path_factory.mktemp("models") / "conv.onnx", blocks=2)


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_tflite(tmp_path_factory.mktemp("models") / "tiny.tflite", with_waste=True)


Optimize = Callable[[int], Optimization]


@pytest.fixture
def optimize(source: Path, tmp_path: Path) -> Optimize:
    return lambda level: optimize_model(source, tmp_path / f"level{level}.onnx", level)


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


@pytest.mark.parametrize("level", range(4))
def test_every_level_keeps_names_answers_and_metadata(level: int, optimize: Optimize, source: Path) -> None:
    found = optimize(level)
    before, after = onnx.load(source), onnx.load(found.destination)
    assert [value.name for value in after.graph.input] == ["image"]
    assert [value.name for value in after.graph.output] == ["scores"]
    assert after.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert list(after.metadata_props) == list(before.metadata_props)
    assert found.level == level
    assert found.comparison.max_relative_difference < 1e-5
    assert found.comparison.top_class_agreement == 1.0


def test_level_0_copies(optimize: Optimize, source: Path) -> None:
    assert optimize(0).destination.read_bytes() == source.read_bytes()


def test_level_1_removes_and_folds_and_does_not_fuse(optimize: Optimize) -> None:
    found = operators(optimize(1).destination)
    assert found["BatchNormalization"] == 2
    assert found["Relu"] == 2  # the third led to nothing
    assert found["Mul"] <= 1  # of constants there is none left


def test_level_1_keeps_equal_weights_once(optimize: Optimize, source: Path) -> None:
    found = onnx.load(optimize(1).destination)
    names = {tensor.name for tensor in found.graph.initializer}
    assert len(names & {"bias0", "beta0", "bias1", "beta1"}) == 1
    assert (
        len({"bias0", "beta0", "bias1", "beta1"} & {tensor.name for tensor in onnx.load(source).graph.initializer}) == 4
    )


def test_level_2_fuses_with_portable_operators_alone(optimize: Optimize) -> None:
    found = onnx.load(optimize(2).destination)
    assert not any(node.op_type == "BatchNormalization" for node in found.graph.node)
    assert {node.domain for node in found.graph.node} == {""}
    assert {entry.domain for entry in found.opset_import} <= {"", "nowhere"}
    onnx.checker.check_model(found, full_check=True)


def test_level_3_says_that_it_is_for_onnx_runtime(optimize: Optimize) -> None:
    found = optimize(3)
    domains = {node.domain for node in onnx.load(found.destination).graph.node} - {""}
    assert domains
    assert any("ONNX Runtime on this kind of processor alone" in note for note in found.notes)
    assert not any("ONNX Runtime" in note for note in optimize(2).notes)


def test_2_is_the_default(source: Path, tmp_path: Path) -> None:
    assert optimize_model(source, tmp_path / "default.onnx").level == 2


def test_a_shared_weight_of_an_output_keeps_its_name(source: Path) -> None:
    model = onnx.load(source)
    model.graph.output.append(onnx.helper.make_tensor_value_info("beta1", onnx.TensorProto.FLOAT, [8]))
    assert share_equal_weights(model) == 2
    assert "beta1" in {tensor.name for tensor in model.graph.initializer}


def test_an_npz_stays_one(source: Path, tmp_path: Path) -> None:
    save_npz(source, tmp_path / "model.npz")
    found = optimize_model(tmp_path / "model.npz", tmp_path / "small.npz", 2)
    assert not any(node.op_type == "BatchNormalization" for node in load_npz(found.destination).graph.node)
    assert found.comparison.max_relative_difference < 1e-4


def test_an_npz_cannot_hold_operators_of_onnx_runtime(source: Path, tmp_path: Path) -> None:
    save_npz(source, tmp_path / "model.npz")
    with pytest.raises(OptionsError, match="level 3 makes operators that only ONNX Runtime has"):
        optimize_model(tmp_path / "model.npz", tmp_path / "small.npz", 3)


def test_tflite_level_1_leaves_out_what_no_output_needs(tflite: Path, tmp_path: Path) -> None:
    found = optimize_model(tflite, tmp_path / "small.tflite", 1)
    before, after = read_layers(tflite), read_layers(found.destination)
    assert len(before.layers) - len(after.layers) == 1
    assert found.comparison.max_abs_difference == 0
    # The wasted filters, and one of the two equal ones.
    assert found.comparison.size_after_bytes < found.comparison.size_before_bytes - 32 * 9 * 4 * (3 + 32)


@pytest.mark.parametrize(("level", "share", "most"), [(2, 0.6, 1e-3), (3, 0.4, 0.05)])
def test_tflite_weights_get_smaller(level: int, share: float, most: float, tflite: Path, tmp_path: Path) -> None:
    smaller = optimize_model(tflite, tmp_path / "one.tflite", 1).comparison.size_after_bytes
    found = optimize_model(tflite, tmp_path / "small.tflite", level)
    assert found.comparison.size_after_bytes < share * smaller
    assert 0 < found.comparison.max_relative_difference < most
    assert read_layers(found.destination).inputs == read_layers(tflite).inputs
    assert read_layers(found.destination).outputs == read_layers(tflite).outputs


def test_it_is_told_as_json(optimize: Optimize) -> None:
    found = json.loads(json.dumps(optimize(1).as_json()))
    assert (found["level"], found["comparison"]["samples"]) == (1, 8)


@pytest.mark.parametrize("level", [-1, 4, True, "2"])
def test_a_level_that_is_not_there_is_refused(level: int, source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="give 0 to 3"):
        optimize_model(source, tmp_path / "x.onnx", level)


def test_the_source_is_never_written_over(source: Path) -> None:
    content = source.read_bytes()
    with pytest.raises(OptionsError, match="is the model itself"):
        optimize_model(source, source.parent / "." / source.name)
    assert source.read_bytes() == content


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"\x08\x08nothing")
    (tmp_path / "kept.onnx").write_bytes(b"what was there")
    with pytest.raises(ModelError, match="no complete ONNX file"):
        optimize_model(tmp_path / "broken.onnx", tmp_path / "kept.onnx")
    assert (tmp_path / "kept.onnx").read_bytes() == b"what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.onnx", "kept.onnx"]


@pytest.mark.parametrize(
    ("target", "match"),
    [("x.npz", "ends in .onnx"), ("missing/x.onnx", "no directory"), ("model.pt", "ends in .onnx")],
)
def test_a_target_that_cannot_be_meant_is_refused(target: str, match: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=match):
        optimize_model(source, tmp_path / target)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(OptionsError, match="streamer convert"):
        optimize_model(tmp_path / "model.pt", tmp_path / "x.pt")
    with pytest.raises(ModelNotFoundError, match="no model file"):
        optimize_model(tmp_path / "absent.onnx", tmp_path / "x.onnx")
