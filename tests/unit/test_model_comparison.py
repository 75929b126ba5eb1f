"""Two models, run on the same inputs: differences, agreement of the top class, size and speed."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.errors import ModelError, OptionsError
from engine.models.npz import save_npz
from engine.models.tools.comparison import Comparison, compare_models, open_model, sample_inputs
from tests.fakes.optional_backends import need

CLASSES = 5


def dense(path: Path, weights: np.ndarray, *, names: tuple[str, str] = ("x", "scores"), batch: object = "n") -> Path:
    """Write x @ weights as ONNX."""
    node = helper.make_node("MatMul", [names[0], "w"], [names[1]])
    given = helper.make_tensor_value_info(names[0], TensorProto.FLOAT, [batch, weights.shape[0]])
    result = helper.make_tensor_value_info(names[1], TensorProto.FLOAT, [batch, weights.shape[1]])
    graph = helper.make_graph([node], "dense", [given], [result], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4, CLASSES)).astype(np.float32)


def rows(*values: Sequence[float]) -> list[dict[str, np.ndarray]]:
    return [{"x": np.array([row], np.float32)} for row in values]


def test_a_model_is_like_itself(weights: np.ndarray, tmp_path: Path) -> None:
    path = dense(tmp_path / "a.onnx", weights)
    result = compare_models(path, path, samples=3)
    assert (result.samples, result.max_abs_difference, result.max_relative_difference) == (3, 0, 0)
    assert result.top_class_agreement == 1
    assert result.size_before_bytes == result.size_after_bytes == path.stat().st_size
    assert 0 < result.latency_before_ms < 1000
    assert 0 < result.latency_after_ms < 1000


def test_the_largest_difference_is_found_and_is_a_part_of_the_largest_value(tmp_path: Path) -> None:
    before = dense(tmp_path / "a.onnx", np.diag([1, 2, 4]).astype(np.float32))
    after = dense(tmp_path / "b.onnx", np.diag([1.5, 2, 4.25]).astype(np.float32))
    result = compare_models(before, after, inputs=rows([1, 0, 1], [0, 0, 1]))
    assert result.samples == 2
    assert result.max_abs_difference == 0.5
    assert result.max_relative_difference == 0.5 / 4


def test_top_classes_are_counted_by_rows(tmp_path: Path) -> None:
    before = dense(tmp_path / "a.onnx", np.eye(3, dtype=np.float32))
    after = dense(tmp_path / "b.onnx", np.diag([1, 1, 0.1]).astype(np.float32))
    inputs = [{"x": np.array([[1, 0, 0.5], [0.2, 0, 1]], np.float32)}, *rows([0, 3, 1], [0, 1, 3])]
    assert compare_models(before, after, inputs=inputs).top_class_agreement == 0.5


def test_values_that_are_no_numbers_differ_unless_both_are_the_same(tmp_path: Path) -> None:
    before = dense(tmp_path / "a.onnx", np.array([[np.inf, 1]], np.float32))
    after = dense(tmp_path / "b.onnx", np.array([[3, 1]], np.float32))
    assert compare_models(before, before, inputs=rows([1])).max_abs_difference == 0
    unknown = dense(tmp_path / "c.onnx", np.array([[np.nan, 1]], np.float32))
    assert math.isinf(compare_models(after, unknown, inputs=rows([1])).max_abs_difference)
    result = compare_models(before, after, inputs=rows([1]))
    assert math.isinf(result.max_abs_difference)
    assert json.loads(json.dumps(result.as_json(), allow_nan=False))["max_abs_difference"] is None


def test_other_names_are_matched_by_their_place_and_other_shapes_refused(weights: np.ndarray, tmp_path: Path) -> None:
    before = dense(tmp_path / "a.onnx", weights)
    renamed = dense(tmp_path / "b.onnx", weights, names=("data", "out"))
    assert compare_models(before, renamed, samples=1).max_abs_difference == 0
    narrow = dense(tmp_path / "c.onnx", weights[:, :2])
    with pytest.raises(ModelError, match=r"c\.onnx is another model: its scores has the shape \[1, 2\], not \[1, 5\]"):
        compare_models(before, narrow, samples=1)


def test_weights_beside_an_onnx_file_are_part_of_its_size(weights: np.ndarray, tmp_path: Path) -> None:
    plain = dense(tmp_path / "a.onnx", weights)
    onnx.save(onnx.load(plain), tmp_path / "b.onnx", save_as_external_data=True, location="b.data", size_threshold=0)
    total = (tmp_path / "b.onnx").stat().st_size + (tmp_path / "b.data").stat().st_size
    assert compare_models(plain, tmp_path / "b.onnx", samples=1).size_after_bytes == total


def test_an_npz_model_runs_on_tinygrad(weights: np.ndarray, tmp_path: Path) -> None:
    need("tinygrad")
    plain = dense(tmp_path / "a.onnx", weights)
    save_npz(plain, tmp_path / "a.npz")
    with open_model(tmp_path / "a.npz") as model:
        assert model._session.backend_name == "tinygrad"  # type: ignore[attr-defined]
    assert compare_models(plain, tmp_path / "a.npz", samples=2).max_relative_difference < 1e-6


def without_tinygrad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.tools.runnable.find_spec", lambda _: None)


def without_its_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    need("tinygrad")
    monkeypatch.setenv("CC", "no-such-compiler")


@pytest.mark.parametrize("without", [without_tinygrad, without_its_compiler])
def test_an_npz_model_runs_on_onnx_runtime_where_tinygrad_cannot_run_it(
    without: Callable[[pytest.MonkeyPatch], None], weights: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = dense(tmp_path / "a.onnx", weights)
    save_npz(plain, tmp_path / "a.npz")
    without(monkeypatch)
    with open_model(tmp_path / "a.npz") as model:
        assert model._session.backend_name == "onnxruntime"  # type: ignore[attr-defined]
    assert compare_models(plain, tmp_path / "a.npz", samples=2).max_abs_difference == 0


def test_samples_are_the_same_for_a_seed_and_fit_the_model(weights: np.ndarray, tmp_path: Path) -> None:
    with open_model(dense(tmp_path / "a.onnx", weights)) as model:
        first, again, other = (sample_inputs(model, 2, seed) for seed in (0, 0, 1))
        assert model.inputs == [("x", (None, 4), np.dtype(np.float32))]
    assert [entry["x"].shape for entry in first] == [(1, 4), (1, 4)]
    assert np.array_equal(first[1]["x"], again[1]["x"])
    assert not np.array_equal(first[0]["x"], first[1]["x"])
    assert not np.array_equal(first[0]["x"], other[0]["x"])


def test_what_cannot_be_compared_is_said_in_a_line(weights: np.ndarray, tmp_path: Path) -> None:
    path = dense(tmp_path / "a.onnx", weights)
    with pytest.raises(OptionsError, match="at least 1 input"):
        compare_models(path, path, samples=0)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ModelError, match=r"a\.txt cannot be opened"):
        compare_models(path, tmp_path / "a.txt")
    with pytest.raises(ModelError, match=r"a\.onnx does not run: .*x takes float32\[n, 4\]"):
        compare_models(path, path, inputs=[{"x": np.zeros((1, 3), np.float32)}])
    huge = dense(tmp_path / "b.onnx", weights, batch=2**40)
    with pytest.raises(ModelError, match="too large to try"):
        compare_models(huge, huge)


def test_progress_is_told(weights: np.ndarray, tmp_path: Path) -> None:
    path = dense(tmp_path / "a.onnx", weights)
    said: list[str] = []
    compare_models(path, path, samples=2, on_progress=said.append)
    assert said == ["comparing: run 1 of 2", "comparing: run 2 of 2"]


@pytest.mark.parametrize(
    ("gap", "agreement", "remarks"),
    [
        (0.001, 1.0, []),
        (0.05, None, ["answers differ by up to 5.00% of the largest value"]),
        (0.1, 0.9, ["answers differ by up to 10.00% of the largest value"]),
        (0.2, None, ["WARNING: answers differ by up to 20.00% of the largest value: try it on real data"]),
        (0.0, 0.375, ["WARNING: answers differ by up to 0.00% of the largest value, and 37.5% of 16 inputs have"]),
        (math.inf, 1.0, ["WARNING: answers differ without bound, and 100.0% of 16 inputs have"]),
        (math.nan, 1.0, ["WARNING: "]),
    ],
)
def test_what_has_to_be_known_is_remarked(gap: float, agreement: float | None, remarks: list[str]) -> None:
    found = Comparison(16, gap, gap, agreement, 1, 1, 1, 1).remarks()
    assert len(found) == len(remarks)
    assert all(said.startswith(begin) for said, begin in zip(found, remarks, strict=True))
