"""OpenVINO: what it computes, whom it tells, and what it is kept from."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.backends.base import Backend, BackendOptions, HostOptions
from engine.backends.openvino import OpenVinoBackend, network
from engine.backends.openvino.backend import import_openvino
from engine.backends.openvino.network import message
from engine.errors import BackendError, DeviceNotFoundError, InferenceError, ModelError, OptionsError
from engine.models.classifier import open_classifier
from engine.models.files import BUILT_IN, ModelFile, locate_model
from engine.models.program import Program, Tensors
from engine.options import SessionOptions
from tests.fakes.fragile_models import save_mismatched
from tests.fakes.onnx_models import (
    FATAL_PIXEL,
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
    need("openvino")


@pytest.fixture
def backend() -> Backend:
    return OpenVinoBackend()


def opened(backend: Backend, path: Path, own: HostOptions | None = None, **keywords: object) -> Program:
    options = BackendOptions(keywords=SessionOptions.model_validate(keywords), own=own)
    return backend.open(locate_model(path), options)


def check(backend: Backend, path: Path, inputs: Tensors, tolerance: float = 1e-4) -> None:
    outputs = backend.submit(inputs, len(next(iter(inputs.values())))).result(60).outputs
    for given, right in zip(outputs.values(), reference(path, dict(inputs)), strict=True):
        assert_near(given, right, tolerance)


@pytest.mark.parametrize("name", VARIANTS)
def test_it_answers_as_onnx_runtime_does(backend: Backend, tmp_path: Path, name: str) -> None:
    model = VARIANTS[name]
    path = model.save(tmp_path / "model.onnx")
    opened(backend, path)
    check(backend, path, {"image": pixels(model)}, 2e-3 if model.dtype == "float16" else 1e-4)
    backend.close()


def test_the_built_in_model_answers_as_on_onnx_runtime(backend: Backend) -> None:
    classifier = open_classifier("workpiece", backend, BackendOptions())
    images = np.random.default_rng(3).integers(0, 256, (ROWS, 128, 128, 3), dtype=np.uint8)
    given = backend.submit({"image": images}, ROWS).result(60).outputs["logits"]
    wanted = reference(BUILT_IN["workpiece"], {"image": images})[0]
    assert_near(given, wanted)
    assert_near(classifier.spec.probabilities(given), classifier.spec.probabilities(wanted), 1e-3)
    np.testing.assert_array_equal(np.argmax(given, axis=1), np.argmax(wanted, axis=1))
    assert backend.health().detail.startswith("openvino 20")
    backend.close()


def matrices(path: Path) -> Path:
    """A model whose sums are long enough for the precision to show."""
    weights = np.random.default_rng(5).standard_normal((512, 16)).astype(np.float32)
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 512]),
        helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 16]),
    ]
    node = helper.make_node("MatMul", ["image", "w"], ["answer"])
    return save(path, [node], values[:1], values[1:], [numpy_helper.from_array(weights, "w")])


def test_it_computes_in_float32_unless_asked_for_less(backend: Backend, tmp_path: Path) -> None:
    path = matrices(tmp_path / "model.onnx")
    image = np.random.default_rng(6).random((4, 512)).astype(np.float32)
    (wanted,) = reference(path, {"image": image})
    opened(backend, path)
    assert_near(backend.submit({"image": image}, 4).result(60).outputs["answer"], wanted)
    backend.close()
    opened(backend, path, convert_to_fp16=True)
    assert_near(backend.submit({"image": image}, 4).result(60).outputs["answer"], wanted, 0.5)
    backend.close()


@pytest.mark.parametrize(("fp16", "hint"), [(None, "f32"), (True, "f16")])
def test_the_precision_is_said_whatever_the_processor_has(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fp16: bool | None, hint: str
) -> None:
    seen: list[dict[str, Any]] = []
    properties = network._properties

    def spy(*given: Any) -> dict[str, Any]:
        seen.append(properties(*given))
        return seen[-1]

    monkeypatch.setattr(network, "_properties", spy)
    opened(backend, matrices(tmp_path / "model.onnx"), own=HostOptions(inference_threads=1), convert_to_fp16=fp16)
    assert seen == [
        {
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": hint,
            "ENABLE_CPU_PINNING": False,
            "INFERENCE_NUM_THREADS": 1,
        }
    ]
    backend.close()


def test_models_of_other_shapes_answer_as_on_onnx_runtime(backend: Backend, tmp_path: Path) -> None:
    image = pixels(TinyClassifier())
    for save_model in (save_summary, save_with_features, save_old_style, save_nan, save_two_inputs):
        path = save_model(tmp_path / f"{save_model.__name__}.onnx")
        program = opened(backend, path)
        check(backend, path, {spec.name: image for spec in program.inputs})
        backend.close()


@pytest.mark.parametrize("opset", [11, 13, 17, 18])
@pytest.mark.parametrize(
    "operator",
    ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"],
)
def test_reductions_are_over_their_own_axes(backend: Backend, tmp_path: Path, operator: str, opset: int) -> None:
    """OpenVINO 2026.4 reduces the batch as well, in three of them, for files of opsets 13 to 17."""
    is_input = opset >= 18 or (operator == "Sum" and opset >= 13)
    node = helper.make_node(f"Reduce{operator}", ["image", "axes"] if is_input else ["image"], ["answer"])
    if not is_input:
        node.attribute.append(helper.make_attribute("axes", [1]))
    values = [
        helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 4]),
        helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["batch", 1]),
    ]
    axes = [numpy_helper.from_array(np.array([1], np.int64), "axes")] if is_input else []
    path = save(tmp_path / "model.onnx", [node], values[:1], values[1:], axes, opset=opset)
    opened(backend, path)
    check(backend, path, {"image": np.random.default_rng(8).random((3, 4)).astype(np.float32)})
    backend.close()


def test_the_program_names_what_the_file_names(backend: Backend, tmp_path: Path) -> None:
    program = opened(backend, TinyClassifier(height="h", metadata={"a": "b"}).save(tmp_path / "model.onnx"))
    (image,), (answer,) = program.inputs, program.outputs
    assert (image.shape, image.symbols) == ((None, 3, None, 32), ("batch", None, "h", None))
    assert (answer.name, answer.shape, answer.dtype) == ("answer", (None, 4), np.dtype(np.float32))
    assert program.metadata == {"a": "b"}
    backend.close()


def test_a_symbol_gets_its_size(backend: Backend, tmp_path: Path) -> None:
    path = TinyClassifier(height="size", width="size").save(tmp_path / "model.onnx")
    program = opened(backend, path, onnx_define_symbol={"size": 32, "batch": 2})
    assert (program.inputs[0].shape, program.outputs[0].shape) == ((2, 3, 32, 32), (2, 4))
    assert program.max_rows == 2
    check(backend, path, {"image": pixels(TinyClassifier(), 2)})
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


def test_sizes_that_the_graph_does_not_allow_are_refused(backend: Backend, tmp_path: Path) -> None:
    path = save_one_at_a_time(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match=r"cannot load .*model\.onnx") as caught:
        opened(backend, path, onnx_define_symbol={"batch": 2})
    assert "\n" not in str(caught.value)


def test_an_operator_that_it_has_not_is_named(backend: Backend, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.onnx.*Unheard") as caught:
        opened(backend, save_unsupported_operator(tmp_path / "model.onnx"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("slots", [1, 2])
def test_a_batch_that_fails_spoils_none_after_it(tmp_path: Path, threads: int, slots: int) -> None:
    """Alone, a CPU stream goes on failing, and with one thread it answers with an earlier batch's results."""
    backend = OpenVinoBackend()
    own = HostOptions(inference_threads=threads)
    opened(backend, save_mismatched(tmp_path / "model.onnx"), own=own, num_activations=slots)
    levels = [1, FATAL_PIXEL, 2, FATAL_PIXEL, FATAL_PIXEL, 3, 4, FATAL_PIXEL, 5, 6] * 2
    futures = [backend.submit({"image": np.full((1, 8, 8, 3), level, np.uint8)}, 1) for level in levels]
    for level, future in zip(levels, futures, strict=True):
        if level == FATAL_PIXEL:
            with pytest.raises(InferenceError, match="Matmul input shapes are incompatible"):
                future.result(20)
        else:
            np.testing.assert_array_equal(future.result(20).outputs["answer"], np.full((1, 3), 64 * level))
    backend.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_number_of_rows_that_does_not_fit_fails_and_spoils_none_after_it(tmp_path: Path, threads: int) -> None:
    backend = OpenVinoBackend()
    path = save_one_at_a_time(tmp_path / "model.onnx")
    opened(backend, path, own=HostOptions(inference_threads=threads))
    for rows in (1, 2, 4, 1, 2, 1):
        image = pixels(TinyClassifier(), rows)
        if rows == 1:
            check(backend, path, {"image": image})
        else:
            with pytest.raises(InferenceError, match="incompatible"):
                backend.submit({"image": image}, rows).result(60)
    backend.close()


def test_with_one_core_a_model_that_it_would_not_check_is_refused(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "_CORES", 1)
    with pytest.raises(ModelError, match="use back end onnxruntime"):
        opened(backend, save_mismatched(tmp_path / "model.onnx"))
    opened(backend, TinyClassifier().save(tmp_path / "plain.onnx"))
    backend.close()


@pytest.mark.parametrize("device", ["17", "GPU.7", "CPU.0", "cuda:0", "HETERO:GPU,CPU"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(backend: Backend, device: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=rf"'{device}' here: it has CPU.*, AUTO"):
        backend.open(locate_model("workpiece"), BackendOptions(device=device))


@pytest.mark.parametrize("device", ["cpu", "CPU", "auto"])
def test_a_device_may_be_in_lower_case(backend: Backend, tmp_path: Path, device: str) -> None:
    path = matrices(tmp_path / "model.onnx")
    backend.open(ModelFile(path, "onnx"), BackendOptions(device=device))
    assert f", {device.upper()} (" in backend.health().detail
    image = np.random.default_rng(6).random((4, 512)).astype(np.float32)
    check(backend, path, {"image": image})
    backend.close()


def test_names_of_its_devices_are_known() -> None:
    for name in ("cpu", "AUTO", "GPU", "gpu.1", "NPU"):
        assert OpenVinoBackend.has_device_name(name)
    for name in ("0", "gate", "CPU.0", "GPU.x", "cuda:0", ""):
        assert not OpenVinoBackend.has_device_name(name)


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendError, match=r"pip install 'aic-streamer\[openvino\]'"):
        backend.open(locate_model("workpiece"), BackendOptions())


def test_its_messages_are_one_line_without_places_in_its_source() -> None:
    said = "Exception from src/a.cpp:1:\nException from src/b.cpp:2:\nCheck 'x' failed at c.cpp:3:\nno such\n thing\n\n"
    assert message(RuntimeError(said)) == "no such thing"
    assert message(RuntimeError("Exception from src/a.cpp:1:\n")) == "Exception from src/a.cpp:1:"
    assert message(RuntimeError("")) == "RuntimeError"


def test_nobody_is_told_that_it_is_used(tmp_path: Path) -> None:
    """A new user's home, no sign of CI, and a proxy that hears of whatever is sent."""
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        address = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        environment = kept | {"HOME": str(tmp_path), "https_proxy": address, "http_proxy": address}
        code = (
            "import sys, threading\n"
            "from engine.backends.base import BackendOptions\n"
            "from engine.backends.openvino import OpenVinoBackend\n"
            "from engine.models.files import locate_model\n"
            "backend = OpenVinoBackend(); assert 'openvino' not in sys.modules\n"
            "backend.open(locate_model('workpiece'), BackendOptions()); backend.close()\n"
            "assert 'openvino_telemetry' not in sys.modules\n"
            "import multiprocessing; assert not multiprocessing.active_children()\n"
        )
        subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, check=True, timeout=60, env=environment)
        proxy.settimeout(0.2)
        with pytest.raises(TimeoutError):
            proxy.accept()
    assert not (tmp_path / "intel").exists()


def test_a_program_that_has_telemetry_already_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino_telemetry", sys)
    import_openvino()
    assert sys.modules["openvino_telemetry"] is sys
