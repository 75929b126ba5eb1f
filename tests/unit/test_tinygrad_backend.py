"""tinygrad: what it computes, what it keeps from one run to the next, and what it refuses."""

import gc
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.backends.base import Backend, BackendOptions
from engine.backends.tinygrad import TinygradBackend, network
from engine.errors import BackendError, DeviceNotFoundError, InferenceError, ModelError, OptionsError
from engine.models.classifier import open_classifier
from engine.models.files import BUILT_IN, ModelFile, locate_model
from engine.models.npz import save_npz
from engine.models.program import Program, Tensors
from engine.options import SessionOptions
from tests.fakes.onnx_models import (
    TinyClassifier,
    save,
    save_nan,
    save_old_style,
    save_one_at_a_time,
    save_summary,
    save_two_inputs,
    save_unsupported_operator,
    save_with_features,
)
from tests.fakes.optional_backends import need
from tests.fakes.reference import ROWS, VARIANTS, assert_near, pixels, reference

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _software() -> None:
    need("tinygrad")


@pytest.fixture
def backend() -> Backend:
    return TinygradBackend()


def opened(backend: Backend, path: Path, **keywords: object) -> Program:
    options = BackendOptions(keywords=SessionOptions.model_validate(keywords))
    return backend.open(locate_model(path), options)


def check(backend: Backend, path: Path, inputs: Tensors, tolerance: float = 1e-4) -> None:
    """Run twice as often as it takes to compile and record, and compare each time."""
    wanted = reference(path, dict(inputs))
    rows = len(next(iter(inputs.values())))
    for _ in range(4):
        outputs = backend.submit(inputs, rows).result(60).outputs
        for given, right in zip(outputs.values(), wanted, strict=True):
            assert (given.dtype, given.shape) == (right.dtype, right.shape)
            assert_near(given, right, tolerance)


@pytest.mark.parametrize("kind", ["onnx", "npz"])
@pytest.mark.parametrize("name", VARIANTS)
def test_it_answers_as_onnx_runtime_does(backend: Backend, tmp_path: Path, name: str, kind: str) -> None:
    model = VARIANTS[name]
    source = model.save(tmp_path / "model.onnx")
    if kind == "npz":
        save_npz(source, tmp_path / "model.npz")
    opened(backend, tmp_path / f"model.{kind}")
    check(backend, source, {"image": pixels(model)}, 2e-3 if model.dtype == "float16" else 1e-4)
    backend.close()


@pytest.mark.parametrize("kind", ["onnx", "npz"])
def test_the_built_in_model_answers_as_on_onnx_runtime(backend: Backend, tmp_path: Path, kind: str) -> None:
    path = BUILT_IN["workpiece"]
    if kind == "npz":
        path = tmp_path / "workpiece.npz"
        save_npz(BUILT_IN["workpiece"], path)
    classifier = open_classifier(str(path), backend, BackendOptions())
    images = np.random.default_rng(3).integers(0, 256, (ROWS, 128, 128, 3), dtype=np.uint8)
    given = classifier.spec.probabilities(backend.submit({"image": images}, ROWS).result(60).outputs["logits"])
    wanted = classifier.spec.probabilities(reference(BUILT_IN["workpiece"], {"image": images})[0])
    np.testing.assert_array_equal(given.argmax(axis=1), wanted.argmax(axis=1))
    np.testing.assert_allclose(given, wanted, atol=1e-3)
    assert classifier.spec.labels == ("ok", "scratch", "dent", "crack", "hole")
    backend.close()


def test_models_of_other_shapes_answer_as_on_onnx_runtime(backend: Backend, tmp_path: Path) -> None:
    image = pixels(TinyClassifier())
    for save_model in (save_summary, save_with_features, save_old_style, save_nan, save_two_inputs):
        path = save_model(tmp_path / f"{save_model.__name__}.onnx")
        program = opened(backend, path)
        check(backend, path, {spec.name: image for spec in program.inputs})
        backend.close()


def test_any_number_of_rows_is_right_whatever_came_before(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shape is read from the input and used as a constant: what a runner keeps from its first call is wrong."""
    monkeypatch.setattr(network, "_MAX_SHAPES", 2)
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Concat", ["rows", "rest"], ["flat"], axis=0),
        helper.make_node("Reshape", ["image", "flat"], ["answer"]),
    ]
    constants = [
        numpy_helper.from_array(np.zeros(1, np.int64), "first"),
        numpy_helper.from_array(np.array([3072], np.int64), "rest"),
    ]
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, 32, 32]),
        helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 3072]),
    ]
    path = save(tmp_path / "model.onnx", nodes, values[:1], values[1:], constants)
    opened(backend, path)
    for rows in (3, 1, 5, 2, 3, 1):
        check(backend, path, {"image": pixels(TinyClassifier(), rows)})
    backend.close()


def test_an_output_that_is_an_input_is_of_this_run(backend: Backend, tmp_path: Path) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("image", "answer")]
    node = helper.make_node("Identity", ["image"], ["answer"])
    opened(backend, save(tmp_path / "model.onnx", [node], values[:1], values[1:]))
    kept = [
        backend.submit({"image": np.full((2, 3), level, np.float32)}, 2).result(60).outputs["answer"]
        for level in range(6)
    ]
    for level, answer in enumerate(kept):
        np.testing.assert_array_equal(answer, np.full((2, 3), level))
    backend.close()


def test_what_depends_on_the_values_of_an_input_is_of_this_run(backend: Backend, tmp_path: Path) -> None:
    """The sum decides about the shape of the answer."""
    nodes = [
        helper.make_node("ReduceSum", ["image"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["answer"]),
    ]
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1]),
        helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["count"]),
    ]
    one = numpy_helper.from_array(np.ones(1, np.int64), "one")
    opened(backend, save(tmp_path / "model.onnx", nodes, values[:1], values[1:], [one]))
    for count in (2, 5, 2, 3, 4):
        given = backend.submit({"image": np.full((1, 1), count, np.float32)}).result(60).outputs["answer"]
        assert given.shape == (count,)
    backend.close()


def test_as_many_answers_as_the_values_say_are_of_this_run(backend: Backend, tmp_path: Path) -> None:
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("answer", TensorProto.INT64, [2, None]),
    ]
    node = helper.make_node("NonZero", ["image"], ["answer"])
    path = save(tmp_path / "model.onnx", [node], values[:1], values[1:])
    opened(backend, path)
    for row in ([1, 0, 0, 2], [0, 3, 0, 0], [1, 1, 1, 0], [0, 0, 0, 5]):
        image = np.array([row], np.float32)
        np.testing.assert_array_equal(
            backend.submit({"image": image}).result(60).outputs["answer"], reference(path, {"image": image})[0]
        )
    backend.close()


def test_a_symbol_gets_its_size(backend: Backend, tmp_path: Path) -> None:
    path = TinyClassifier(height="size", width="size").save(tmp_path / "model.onnx")
    program = opened(backend, path, onnx_define_symbol={"size": 32, "batch": 2})
    assert program.inputs[0].shape == (2, 3, 32, 32)
    assert program.outputs[0].shape == (2, 4)
    assert program.max_rows == 2
    backend.close()


def test_a_ladder_takes_the_smallest_batch_that_fits(backend: Backend, tmp_path: Path) -> None:
    path = TinyClassifier().save(tmp_path / "model.onnx")
    program = opened(backend, path, onnx_define_symbol={"batch": [4, 1, 2]})
    assert program.batch_sizes == (1, 2, 4)
    for count, rows in ((1, 1), (2, 2), (3, 4)):
        images = pixels(TinyClassifier(), rows)
        inference = backend.submit({"image": images}, count).result(60)
        assert inference.padded_rows == rows - count
        assert_near(inference.outputs["answer"], reference(path, {"image": images})[0][:count])
    with pytest.raises(InferenceError, match="5 rows"):
        backend.submit({"image": pixels(TinyClassifier(), 5)}, 5)
    backend.close()


@pytest.mark.parametrize(
    ("define", "said"),
    [({"batsh": 2}, "did you mean batch"), ({"x": 2}, "it has batch"), ({"size": [2, 3]}, "not the first axis")],
)
def test_a_symbol_that_the_model_has_not_is_refused(
    backend: Backend, tmp_path: Path, define: dict[str, object], said: str
) -> None:
    path = TinyClassifier(height="size").save(tmp_path / "model.onnx")
    with pytest.raises(OptionsError, match=said):
        opened(backend, path, onnx_define_symbol=define)


def test_an_operator_that_it_has_not_is_refused_at_load(backend: Backend, tmp_path: Path) -> None:
    other = [helper.make_node("StringNormalizer", ["image"], ["answer"])]
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", "size"]),
        helper.make_tensor_value_info("answer", TensorProto.INT64, [2, None]),
    ]
    for path, name in (
        (save_unsupported_operator(tmp_path / "domain.onnx"), "nowhere.Unheard"),
        (save(tmp_path / "operator.onnx", other, values[:1], values[1:]), "StringNormalizer"),
    ):
        with pytest.raises(ModelError, match=rf"{path.name}.*{name}") as caught:
            opened(backend, path)
        assert "\n" not in str(caught.value)


def test_a_model_that_cannot_run_is_refused_at_load(backend: Backend, tmp_path: Path) -> None:
    path = save_one_at_a_time(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"tinygrad cannot run .*model\.onnx"):
        opened(backend, path, onnx_define_symbol={"batch": 2})


def test_functions_are_put_in_their_place(backend: Backend, tmp_path: Path) -> None:
    double = helper.make_function(
        "own", "Double", ["x"], ["y"], [helper.make_node("Add", ["x", "x"], ["y"])], [helper.make_opsetid("", 17)]
    )
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("image", "answer")]
    node = helper.make_node("Double", ["image"], ["answer"], domain="own")
    model = onnx.load(save(tmp_path / "model.onnx", [node], values[:1], values[1:]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.append(double)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    opened(backend, tmp_path / "model.onnx")
    check(backend, tmp_path / "model.onnx", {"image": np.ones((2, 3), np.float32)})
    backend.close()


def test_back_ends_side_by_side_give_their_own_answers(tmp_path: Path) -> None:
    models = [replace(VARIANTS["float"], gain=gain) for gain in (1.0, 3.0, 9.0)]
    paths = [model.save(tmp_path / f"{number}.onnx") for number, model in enumerate(models)]
    images = pixels(models[0])
    wanted = [reference(path, {"image": images})[0] for path in paths]

    def run(number: int) -> None:
        backend = TinygradBackend()
        opened(backend, paths[number], num_activations=2)
        for future in [backend.submit({"image": images}, ROWS) for _ in range(20)]:
            assert_near(future.result(60).outputs["answer"], wanted[number])
        backend.close()
        gc.collect()

    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(run, range(len(paths))))


def test_a_missing_compiler_is_named_with_the_line_that_installs_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BackendError, match="clang, which is not on PATH: apt-get install clang"):
        backend.open(locate_model("workpiece"), BackendOptions())


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tinygrad", None)
    with pytest.raises(BackendError, match=r"pip install 'aic-streamer\[tinygrad\]'"):
        backend.open(locate_model("workpiece"), BackendOptions())


@pytest.mark.parametrize("device", ["17", "DISK", "CPU:1", "GPU"])
def test_a_device_that_it_has_not_is_refused_with_those_that_it_has(backend: Backend, device: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=rf"'{device}': it knows AMD, CL, CPU"):
        backend.open(locate_model("workpiece"), BackendOptions(device=device))


def test_a_device_that_is_not_there_is_refused(backend: Backend) -> None:
    with pytest.raises(DeviceNotFoundError, match="tinygrad cannot use DSP here"):
        backend.open(locate_model("workpiece"), BackendOptions(device="dsp"))


def test_a_lower_case_device_is_the_same(backend: Backend, tmp_path: Path) -> None:
    path = TinyClassifier().save(tmp_path / "model.onnx")
    backend.open(ModelFile(path, "onnx"), BackendOptions(device="cpu"))
    assert backend.health().detail.endswith(", CPU")
    backend.close()


def test_the_environment_is_left_alone_and_no_cache_is_needed(tmp_path: Path) -> None:
    """It chooses no device for the process, opens none but its own, and runs where nothing can be written."""
    path = TinyClassifier().save(tmp_path / "model.onnx")
    code = (
        "import os, sys, numpy as np\n"
        "from engine.backends.base import BackendOptions\n"
        "from engine.backends.tinygrad import TinygradBackend\n"
        "from engine.models.files import locate_model\n"
        "backend = TinygradBackend(); assert 'tinygrad' not in sys.modules\n"
        "backend.open(locate_model(sys.argv[1]), BackendOptions())\n"
        "backend.submit({'image': np.ones((2, 3, 32, 32), np.float32)}, 2).result(60)\n"
        "assert 'DEV' not in os.environ, os.environ['DEV']\n"
        "from tinygrad import Device\n"
        "assert Device._opened_devices <= {'CPU', 'PYTHON', 'NPY'}, Device._opened_devices\n"
        "import multiprocessing; assert not multiprocessing.active_children()\n"
        "backend.close()\n"
    )
    blocked = tmp_path / "no folder"
    blocked.write_text("")
    environment = {name: value for name, value in os.environ.items() if name != "DEV"}
    environment["CACHEDB"] = str(blocked / "cache.db")
    command = [sys.executable, "-W", "error", "-c", code, str(path)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=100, env=environment)


@pytest.mark.parametrize(("is_at_work", "forgotten"), [(True, "True"), (False, "False")])
def test_a_process_may_end_while_tinygrad_works(is_at_work: bool, forgotten: str) -> None:
    """As at Ctrl-C: tinygrad would close its devices while its thread allows no use of them."""
    script = f"""
import atexit, threading
from engine.backends.tinygrad.backend import _open_device
from engine.backends.tinygrad.worker import WORKER
from tinygrad.device import Device
from tinygrad.helpers import Context

began = threading.Event()

def compile_for_ever():
    with Context(ALLOW_DEVICE_USAGE=0):
        began.set()
        threading.Event().wait()

WORKER.run(lambda: atexit.register(lambda: print(not Device._opened_devices)))  # called after the one that is tested
WORKER.run(lambda: _open_device("cpu"))
if {is_at_work}:
    WORKER.post(compile_for_ever)
    began.wait()
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, forgotten, "")
