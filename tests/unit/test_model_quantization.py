"""`quantize_model`: int8 with and without calibration, and what it costs in accuracy."""

import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image

from engine.errors import ModelError, OptionsError
from engine.models.files import BUILT_IN
from engine.models.graph import program_of
from engine.models.npz import save_npz
from engine.models.onnx_file import read_onnx
from engine.models.tools.calibration import Calibration
from engine.models.tools.comparison import open_model
from engine.models.tools.layers import read_layers
from engine.models.tools.optimization import optimize_model
from engine.models.tools.quantization import quantize_model
from tests.fakes.conv_models import save_conv
from tests.fakes.onnx_models import save_two_inputs
from tests.fakes.optional_backends import need
from tests.fakes.pictures import encoded
from tests.fakes.tflite_models import save_tiny_tflite

_ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conv(tmp_path_factory.mktemp("models") / "conv.onnx", blocks=2)


@pytest.fixture(scope="module")
def evaluation() -> ModuleType:
    """`tools/evaluate_workpiece.py`, which draws the frames that the model has never seen."""
    spec = spec_from_file_location("evaluate_workpiece", _ROOT / "tools" / "evaluate_workpiece.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def inputs(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(2)
    return [random.random((3, 32, 32), np.float32) for _ in range(count)]


def test_weights_are_int8_with_a_scale_for_each_channel(source: Path, tmp_path: Path) -> None:
    found = quantize_model(source, tmp_path / "int8.onnx", "int8", calibration=inputs(8))
    model = onnx.load(found.destination)
    operators = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= operators
    assert {node.domain for node in model.graph.node} == {""}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    givers = {node.output[0]: node for node in model.graph.node}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 2
    for conv in convs:
        giver = givers[conv.input[1]]
        assert weights[giver.input[0]].data_type == TensorProto.INT8
        assert numpy_helper.to_array(weights[giver.input[1]]).shape == (8,)
    assert found.comparison.max_relative_difference < 0.05
    assert found.comparison.samples == 8
    assert [value.name for value in model.graph.output] == ["scores"]


def test_the_built_in_model_loses_at_most_a_point(evaluation: ModuleType, tmp_path: Path) -> None:
    pictures = [image for image, _, _ in evaluation.frames(7, 24)]
    made = quantize_model(BUILT_IN["workpiece"], tmp_path / "int8.onnx", calibration=pictures)
    before = evaluation.evaluate(BUILT_IN["workpiece"], 300)
    after = evaluation.evaluate(made.destination, 300)
    assert before["accuracy"] > 0.98
    assert after["accuracy"] >= before["accuracy"] - 0.01
    assert after["bytes"] < 0.35 * before["bytes"]


def test_a_directory_of_pictures_is_decoded_as_the_model_says(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "deeper"
    folder.mkdir(parents=True)
    for number in range(4):
        pixels = np.full((50, 60, 3), 60 * number, np.uint8)
        (folder / f"{number}.png").write_bytes(encoded(Image.fromarray(pixels), "PNG"))
    (folder / "notes.txt").write_text("no picture")
    made = quantize_model(source, tmp_path / "int8.onnx", calibration=tmp_path / "pictures")
    assert any("4 of 4 pictures" in note for note in made.notes)
    assert any("preprocessing is not described" in note for note in made.notes)
    scale, zero = _image_scale(made.destination)
    # ImageNet's mean and deviation: black is -2.12, white would be 2.64.
    assert (-128 - zero) * scale == pytest.approx(-2.118, abs=0.05)


def test_encoded_pictures_are_samples_too(source: Path, tmp_path: Path) -> None:
    picture = encoded(Image.new("RGB", (64, 64), "#808080"), "JPEG")
    made = quantize_model(source, tmp_path / "int8.onnx", calibration=iter([picture, b"damaged", picture]))
    assert "ranges measured on 2 samples, 1 that cannot be decoded left out" in made.notes


def test_the_ranges_are_those_of_the_samples(source: Path, tmp_path: Path) -> None:
    wide = quantize_model(source, tmp_path / "wide.onnx", calibration=[values * 100 for values in inputs(4)])
    near = quantize_model(source, tmp_path / "near.onnx", calibration=inputs(4))
    assert _image_scale(wide.destination)[0] == pytest.approx(100 * _image_scale(near.destination)[0], rel=0.01)


def test_without_data_pictures_are_drawn_and_it_is_said(source: Path, tmp_path: Path) -> None:
    made = quantize_model(source, tmp_path / "int8.onnx")
    assert any("no calibration data: ranges measured on 48 drawn pictures" in note for note in made.notes)
    assert made.comparison.max_relative_difference < 0.1


def test_without_data_a_model_of_no_pictures_finds_its_ranges_at_each_run(tmp_path: Path) -> None:
    source = _save_dense(tmp_path / "dense.onnx")
    made = quantize_model(source, tmp_path / "int8.onnx")
    assert any(note.startswith("dynamic, for want of calibration data") for note in made.notes)
    assert "DynamicQuantizeLinear" in read_operators(made.destination)
    assert made.comparison.max_relative_difference < 0.05


def test_a_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    source = save_conv(tmp_path / "fixed.onnx", batch=4)
    samples = inputs(6)
    batches = [batch["image"] for batch in Calibration(source, program_of(read_onnx(source), source), samples).batches]
    np.testing.assert_array_equal(np.concatenate(batches), np.stack([*samples, *samples[:2]]))
    assert quantize_model(source, tmp_path / "int8.onnx", calibration=samples).comparison.samples == 2


def test_an_old_operator_set_is_brought_up(tmp_path: Path) -> None:
    source = save_conv(tmp_path / "old.onnx", opset=11)
    made = quantize_model(source, tmp_path / "int8.onnx", calibration=inputs(4))
    assert any("from operator set 11 to 13" in note for note in made.notes)
    assert any("per channel" in note for note in made.notes)


def test_an_npz_stays_one(tmp_path: Path) -> None:
    need("tinygrad")
    save_npz(_save_dense(tmp_path / "dense.onnx"), tmp_path / "model.npz")
    samples = [np.random.default_rng(number).random(64, np.float32) for number in range(4)]
    made = quantize_model(tmp_path / "model.npz", tmp_path / "int8.npz", calibration=samples)
    assert made.comparison.max_relative_difference < 0.05
    assert "DequantizeLinear" in {layer.operator for layer in read_layers(made.destination).layers}


@pytest.mark.parametrize("is_calibrated", [True, False])
def test_tflite_keeps_its_inputs_and_outputs(is_calibrated: bool, tmp_path: Path) -> None:
    source = save_tiny_tflite(tmp_path / "tiny.tflite", with_waste=True)
    random = np.random.default_rng(4)
    samples = [random.random((16, 16, 3), np.float32) for _ in range(6)] if is_calibrated else None
    made = quantize_model(source, tmp_path / "int8.tflite", calibration=samples)
    assert made.notes[0].startswith("static" if is_calibrated else "dynamic")
    with open_model(source) as before, open_model(made.destination) as after:
        assert before.inputs == after.inputs
        assert before.outputs == after.outputs == ["scores"]
    assert made.comparison.max_relative_difference < 0.05
    assert made.comparison.size_after_bytes < 0.4 * made.comparison.size_before_bytes


@pytest.mark.parametrize(
    ("samples", "match"),
    [
        ([np.zeros((3, 8, 8), np.float32)], r"takes float32\[any, 3, 32, 32\], not float32\[1, 3, 8, 8\]"),
        ([np.zeros((3, 32, 32), np.uint8)], "not uint8"),
        ([{"other": np.zeros((1, 3, 32, 32), np.float32)}], "takes image"),
        ([], "not one sample"),
        ([b"damaged"], "1 pictures cannot be decoded"),
        (["text"], "takes image"),
    ],
)
def test_samples_that_do_not_fit_are_refused(samples: list[object], match: str, source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=match):
        quantize_model(source, tmp_path / "int8.onnx", calibration=samples)  # type: ignore[arg-type]
    assert not (tmp_path / "int8.onnx").exists()


def test_several_inputs_need_names(tmp_path: Path) -> None:
    source = save_two_inputs(tmp_path / "two.onnx")
    with pytest.raises(OptionsError, match="takes image, other: give a mapping"):
        quantize_model(source, tmp_path / "int8.onnx", calibration=inputs(1))


def test_pictures_that_cannot_be_used_are_refused(source: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    with pytest.raises(OptionsError, match="there is no directory"):
        quantize_model(source, tmp_path / "int8.onnx", calibration=folder)
    folder.mkdir()
    with pytest.raises(OptionsError, match="holds no pictures"):
        quantize_model(source, tmp_path / "int8.onnx", calibration=folder)
    (folder / "x.png").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"x\.png cannot be used to calibrate"):
        quantize_model(source, tmp_path / "int8.onnx", calibration=folder)


def test_a_quantised_model_is_not_quantised_again(source: Path, tmp_path: Path) -> None:
    made = quantize_model(source, tmp_path / "int8.onnx", calibration=inputs(2))
    with pytest.raises(ModelError, match="is quantised already"):
        quantize_model(made.destination, tmp_path / "twice.onnx", calibration=inputs(2))


def test_what_was_made_for_one_kind_of_processor_is_not_quantised(source: Path, tmp_path: Path) -> None:
    made = optimize_model(source, tmp_path / "fast.onnx", 3)
    if not any(node.domain == "com.microsoft.nchwc" for node in onnx.load(made.destination).graph.node):
        pytest.skip("ONNX Runtime keeps the order of values on this processor")
    with pytest.raises(ModelError, match="quantise the model before that, or optimise it at level 2"):
        quantize_model(made.destination, tmp_path / "int8.onnx", calibration=inputs(2))


def test_a_model_that_was_hurt_is_a_warning(tmp_path: Path) -> None:
    source = _save_dense(tmp_path / "dense.onnx")
    model = onnx.load(source)
    weights = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weights[0] = 0
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, source)
    samples = [np.random.default_rng(number).random(64, np.float32) for number in range(4)]
    unhurt = quantize_model(source, tmp_path / "int8.onnx", calibration=samples)
    assert not any("WARNING" in note for note in unhurt.notes)
    for values in samples:
        values[0] = 1e6  # beside which int8 cannot tell the others from 0
    hurt = quantize_model(source, tmp_path / "int8.onnx", calibration=samples)
    assert hurt.notes[-1].startswith("WARNING: answers differ by up to 100.00% of the largest value, and ")


def test_a_type_that_is_not_there_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="did you mean int8"):
        quantize_model(source, tmp_path / "int8.onnx", "int4")


def read_operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


def _image_scale(path: Path) -> tuple[float, int]:
    """The scale and zero point of a model's input."""
    model = onnx.load(path)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    node = next(node for node in model.graph.node if node.op_type == "QuantizeLinear" and node.input[0] == "image")
    scale, zero = (numpy_helper.to_array(weights[name]) for name in node.input[1:3])
    return float(scale), int(zero)


def _save_dense(path: Path) -> Path:
    weights = np.random.default_rng(6).standard_normal((64, 16)).astype(np.float32)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    values = [
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("x", 64), ("y", 16))
    ]
    graph = onnx.helper.make_graph([node], "dense", values[:1], values[1:], [numpy_helper.from_array(weights, "w")])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
