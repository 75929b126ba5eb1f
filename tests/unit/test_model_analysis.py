"""`analyze_model`: the figures are right, and back ends say for themselves whether they run it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from engine.backends.registry import backend_names
from engine.errors import ModelError, ModelNotFoundError, OptionsError
from engine.models.files import BUILT_IN
from engine.models.npz import save_npz
from engine.models.tools.analysis import analyze_model
from engine.models.tools.backend_check import _why_not, check_backends
from engine.models.tools.layer_times import layer_times
from engine.models.tools.layers import read_layers
from engine.models.tools.quantization import quantize_model
from engine.models.tools.tflite_graph import packed, parse_tflite
from engine.models.tools.visualization import visualize_model_weights
from tests.fakes.conv_models import macs_of, parameters_of, save_conv
from tests.fakes.onnx_models import TinyClassifier, save, save_unsupported_operator
from tests.fakes.optional_backends import need
from tests.fakes.tflite_models import CHANNELS, CLASSES, SIDE_PX, save_tiny_tflite
from tests.fakes.waiting import DEADLINE_S


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_conv(tmp_path_factory.mktemp("models") / "conv.onnx", blocks=3)


def test_parameters_and_operations_are_counted(source: Path) -> None:
    found = analyze_model(source, backends=False)
    assert found.parameters == parameters_of(3)
    assert found.flops == 2 * macs_of(3)
    assert found.size_bytes == source.stat().st_size
    assert found.operators["Conv"] == 3
    assert list(found.operators.values()) == sorted(found.operators.values(), reverse=True)
    assert [str(value) for value in found.inputs] == ["float32[any, 3, 32, 32]"]
    assert [str(value) for value in found.outputs] == ["float32[any, 4]"]
    assert found.backends == {}


def test_the_built_in_model_is_as_its_card_says() -> None:
    assert read_layers(BUILT_IN["workpiece"]).parameters == 73_285


def test_quantised_weights_count_as_before(source: Path, tmp_path: Path) -> None:
    """Normalisation is folded into the convolutions, a bias stays one, and scales are none."""
    made = quantize_model(source, tmp_path / "int8.onnx")
    found = read_layers(made.destination)
    folded = parameters_of(3) - 3 * 4 * 8 - 2
    assert abs(found.parameters - folded) <= 1
    assert found.flops == 2 * macs_of(3)


def test_layers_are_timed_and_their_shares_add_up(source: Path) -> None:
    found = layer_times(source, runs=3)
    assert sum(layer.share for layer in found) == pytest.approx(1)
    assert [layer.ms for layer in found] == sorted((layer.ms for layer in found), reverse=True)
    assert sum(layer.operator in {"Conv", "FusedConv"} for layer in found) == 3
    assert all(layer.ms >= 0 and layer.name for layer in found)


def test_an_npz_is_as_its_onnx(source: Path, tmp_path: Path) -> None:
    save_npz(source, tmp_path / "model.npz")
    found = analyze_model(tmp_path / "model.npz", backends=False)
    assert (found.parameters, found.flops) == (parameters_of(3), 2 * macs_of(3))
    assert found.layers


def test_tflite_is_counted(tmp_path: Path) -> None:
    found = analyze_model(save_tiny_tflite(tmp_path / "tiny.tflite"))
    filters = CHANNELS * 9 * (3 + CHANNELS)
    assert found.parameters == filters + 2 * CHANNELS + CLASSES * CHANNELS + CLASSES
    assert found.flops == 2 * (SIDE_PX**2 * filters + CLASSES * CHANNELS)
    assert found.operators == {"CONV_2D": 2, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert any("LiteRT tells none" in note for note in found.notes)
    assert set(found.backends) == set(backend_names())
    assert all("streamer convert" in why for why in found.backends.values())


@pytest.mark.parametrize("list_of", ["operators", "tensors"])
def test_tflite_that_leads_to_one_place_many_times_is_refused(tmp_path: Path, list_of: str) -> None:
    path = save_tiny_tflite(tmp_path / "model.tflite")
    model = parse_tflite(path)
    same = getattr(model.subgraphs[0], list_of)[0]
    same.Pack = once(same.Pack)
    setattr(model.subgraphs[0], list_of, [same] * 2000)
    path.write_bytes(packed(model))
    with pytest.raises(ModelError, match="no complete TFLite file"):
        read_layers(path)


def once(pack: Callable[[Any], int]) -> Callable[[Any], int]:
    """Return a function that packs a part for the first time, and gives its place ever after."""
    places: list[int] = []

    def packing(builder: Any) -> int:
        places[:] = places or [pack(builder)]
        return places[0]

    return packing


def test_shapes_of_numbers_that_grow_without_end_are_not_followed(tmp_path: Path) -> None:
    nodes = [helper.make_node("Shape", ["x"], ["s0"])]
    nodes += [helper.make_node("Concat", [f"s{number}"] * 2, [f"s{number + 1}"], axis=0) for number in range(40)]
    nodes.append(helper.make_node("ConstantOfShape", ["s40"], ["y"]))
    path = save(
        tmp_path / "model.onnx",
        nodes,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    assert len(read_layers(path).layers) == 42


@pytest.mark.parametrize("numbers", [[-1e308, 1e308], [1e16, 1e16 + 2]])
def test_weights_far_apart_or_next_to_each_other_are_drawn(tmp_path: Path, numbers: list[float]) -> None:
    path = save(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.DOUBLE, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.DOUBLE, [1, 1])],
        [helper.make_tensor("w", TensorProto.DOUBLE, [2, 1], numbers)],
    )
    visualize_model_weights(path, tmp_path / "weights.png")
    assert (tmp_path / "weights.png").stat().st_size > 0


def test_weights_that_are_shorter_than_said_are_refused_in_a_line(tmp_path: Path) -> None:
    short = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2, 1], raw_data=b"abc")
    path = save(
        tmp_path / "model.onnx",
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1])],
        [short],
    )
    with pytest.raises(ModelError, match="is damaged"):
        read_layers(path)


def test_equal_weights_of_tflite_count_once(tmp_path: Path) -> None:
    """Those of one buffer do; the file before had two of the same content."""
    from engine.models.tools.optimization import optimize_model

    wasteful = save_tiny_tflite(tmp_path / "tiny.tflite", with_waste=True)
    small = optimize_model(wasteful, tmp_path / "small.tflite", 1).destination
    second = CHANNELS * CHANNELS * 9
    wasted = CHANNELS * 27
    zeros = 3 * CHANNELS
    assert read_layers(wasteful).parameters - read_layers(small).parameters == second + wasted + zeros


def test_operations_are_not_guessed_where_a_shape_is_open(tmp_path: Path) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", side]) for name, side in (("x", "k"), ("y", "m"))
    ]
    other = helper.make_tensor_value_info("w", TensorProto.FLOAT, ["k", "m"])
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    path = save(tmp_path / "open.onnx", [node], [values[0], other], values[1:])
    assert read_layers(path).flops is None


def test_each_back_end_is_asked(tmp_path: Path) -> None:
    said: list[str] = []
    found = check_backends(TinyClassifier(height=8, width=8).save(tmp_path / "tiny.onnx"), said.append)
    assert set(found) == set(backend_names())
    assert found["onnxruntime"] == found["simulator"] == ""
    assert "would send the model" in found["qai_hub"]
    assert "asking back end onnxruntime" in said
    assert "asking back end qai_hub" not in said


def test_a_back_end_that_takes_too_long_is_not_waited_for(tmp_path: Path) -> None:
    path = TinyClassifier(height=8, width=8).save(tmp_path / "tiny.onnx")
    assert _why_not("onnxruntime", path, lambda _: None, 0.01) == "not known: it took longer than 0.01 s"


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("os.kill(os.getpid(), 11)", r"its process ended with SIGSEGV"),
        ("os._exit(3)", r"its process ended with exit code 3"),
        ("print('hello'); sys.stdout.flush(); raise OSError('torn')", r"OSError: torn"),
        ("raise OSError(f'{resource.getrlimit(resource.RLIMIT_DATA)[0]} bytes')", r"OSError: [1-9]\d+ bytes"),
    ],
)
def test_a_back_end_harms_its_own_process_alone(
    code: str, answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = TinyClassifier(height=8, width=8).save(tmp_path / "tiny.onnx")
    (tmp_path / "onnxruntime.py").write_text(f"import os, resource, sys\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert re.fullmatch(answer, _why_not("onnxruntime", path, lambda _: None, DEADLINE_S))


def test_a_back_end_says_why_it_does_not(tmp_path: Path) -> None:
    path = save_unsupported_operator(tmp_path / "odd.onnx")
    found = analyze_model(path)
    assert str(path) in found.backends["onnxruntime"]
    assert found.layers == ()
    assert any(note.startswith("no times of layers") for note in found.notes)


def test_it_is_told_as_json(source: Path) -> None:
    found = json.loads(json.dumps(analyze_model(source, backends=False).as_json(), allow_nan=False))
    assert found["parameters"] == parameters_of(3)
    assert found["inputs"] == [{"name": "image", "shape": [None, 3, 32, 32], "dtype": "float32"}]
    assert set(found["layers"][0]) == {"name", "operator", "ms", "share"}


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no model file"):
        analyze_model(tmp_path / "absent.onnx")
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(OptionsError, match="has no layers to be seen"):
        analyze_model(tmp_path / "text.txt")
    (tmp_path / "bad.tflite").write_bytes(b"\0\0\0\0TFL3" + b"\xff" * 40)
    with pytest.raises(ModelError, match="no complete TFLite file"):
        analyze_model(tmp_path / "bad.tflite")


@pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:FutureWarning")
def test_a_torch_file_is_seen_as_the_onnx_that_it_becomes(tmp_path: Path) -> None:
    need("torch")
    import torch

    path = tmp_path / "tiny.pt"
    torch.jit.trace(torch.nn.Linear(6, 2), torch.zeros(1, 6)).save(str(path))
    found = analyze_model(path, backends=False)
    assert found.parameters == 6 * 2 + 2
    assert found.flops == 2 * 6 * 2
    assert found.size_bytes == path.stat().st_size
    assert any("`streamer convert`" in note for note in found.notes)
