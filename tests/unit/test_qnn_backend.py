"""The back end `qnn`, on QNN's emulator of the Hexagon processor."""

import logging
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

import engine.models.builtin
from engine.backends.base import BackendOptions
from engine.backends.qnn import QnnBackend, QnnOwn
from engine.backends.qnn.plugin import find_plugin_devices
from engine.backends.qnn.session import QnnSession
from engine.backends.static_shapes import sized
from engine.errors import BackendError, CompileError, DeviceNotFoundError, ModelError, OptionsError
from engine.models.files import ModelFile
from engine.models.program import Program
from engine.options import SessionOptions
from producers.sources.synthetic.workpiece import WorkpieceRenderer
from tests.fakes.onnx_models import TinyClassifier, save_unsupported_operator
from tests.fakes.optional_backends import need
from tests.fakes.quantized_models import (
    quantize,
    save_counter,
    save_quantized_net,
    save_quantized_sums,
    save_small_net,
    some_pictures,
)

WORKPIECE = Path(engine.models.builtin.__file__).parent / "workpiece.onnx"
DEADLINE_S = 30.0

needs_qnn = pytest.mark.usefixtures("qnn")
#: Open a model: `open_model(path, options)`.
Opener = Callable[..., tuple[QnnBackend, Program]]


@pytest.fixture(scope="module")
def qnn() -> None:
    need("onnxruntime_qnn")


@pytest.fixture
def open_model() -> Iterator[Opener]:
    opened: list[QnnBackend] = []

    def open_it(path: Path, own: QnnOwn | None = None, **keywords: object) -> tuple[QnnBackend, Program]:
        backend = QnnBackend()
        opened.append(backend)
        return backend, backend.open(ModelFile(path, "onnx"), options(own, **keywords))

    yield open_it
    for backend in opened:
        backend.close()


def options(own: QnnOwn | None = None, **keywords: object) -> BackendOptions:
    return BackendOptions(keywords=SessionOptions.model_validate(keywords), own=own)


def answers(backend: QnnBackend, pictures: NDArray[np.generic], name: str = "answer") -> NDArray[np.float32]:
    futures = [backend.submit({"image": picture[None]}, 1) for picture in pictures]
    return np.concatenate([np.asarray(future.result(DEADLINE_S).outputs[name], np.float32) for future in futures])


def cpu_answers(path: Path, pictures: NDArray[np.generic]) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    rows: list[NDArray[np.float32]] = [session.run(None, {"image": picture[None]})[0] for picture in pictures]
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def quantized_net(qnn: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_quantized_net(tmp_path_factory.mktemp("net") / "net.onnx")


@needs_qnn
def test_a_quantised_net_runs_on_qnn_alone_and_answers_as_the_cpu_does(quantized_net: Path, open_model: Opener) -> None:
    pictures = some_pictures(40, seed=2)
    backend, program = open_model(quantized_net)
    assert program.inputs[0].shape == (1, 3, 32, 32)
    assert providers_of(quantized_net) == {"QNNExecutionProvider"}
    ours, expected = answers(backend, pictures), cpu_answers(quantized_net, pictures)
    step = np.diff(np.unique(expected)).min()
    np.testing.assert_allclose(ours, expected, atol=2.01 * step)
    clear = np.ptp(np.sort(expected, axis=1)[:, -2:], axis=1) > 2 * step
    assert clear.sum() > 30
    np.testing.assert_array_equal(ours.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])
    assert len(set(ours.argmax(axis=1))) > 1


@needs_qnn
def test_the_built_in_model_quantised_finds_the_same_labels(tmp_path: Path, open_model: Opener) -> None:
    renderer = WorkpieceRenderer(5, 128)
    pictures = np.stack([renderer.render()[0] for _ in range(60)])
    path = quantize(WORKPIECE, tmp_path / "workpiece.onnx", pictures[:30])
    backend, program = open_model(path)
    assert program.metadata["streamer.name"] == "workpiece"
    assert providers_of(path) == {"QNNExecutionProvider"}
    ours, expected = answers(backend, pictures, "logits"), cpu_answers(path, pictures)
    # Five convolutions, each rounded by its own rule, add up.
    steps = np.abs(ours - expected) / np.diff(np.unique(expected)).min()
    assert (steps < 2.01).mean() > 0.98
    assert steps.max() < 6
    np.testing.assert_array_equal(ours.argmax(axis=1), cpu_answers(WORKPIECE, pictures).argmax(axis=1))


@needs_qnn
def test_a_float_model_runs_too_and_is_warned_of(
    tmp_path: Path, open_model: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_small_net(tmp_path / "float.onnx")
    pictures = some_pictures(5)
    backend, _ = open_model(path)
    np.testing.assert_allclose(answers(backend, pictures), cpu_answers(path, pictures), rtol=1e-2, atol=1e-2)
    assert "not quantised" in caplog.text


@needs_qnn
def test_it_says_that_it_is_the_emulator_and_is_no_simulation(quantized_net: Path, open_model: Opener) -> None:
    backend, _ = open_model(quantized_net, num_activations=2, set_size=2)
    assert backend.slots == 4
    assert backend.health().detail.startswith("Hexagon emulator (libQnnHtp on x86-64), onnxruntime-qnn ")
    inference = backend.submit({"image": some_pictures(1)}, 1).result(DEADLINE_S)
    assert not inference.simulated


@needs_qnn
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_ladder_uses_the_smallest_size_that_fits(tmp_path: Path, open_model: Opener, count: int) -> None:
    path = save_quantized_sums(tmp_path / "sums.onnx")
    backend, program = open_model(path, onnx_define_symbol={"batch": [4, 1, 2]})
    assert program.batch_sizes == (1, 2, 4)
    rows = np.zeros((program.rows_for(count), 8, 8, 3), np.uint8)
    rows[:count] = np.arange(1, count + 1, dtype=np.uint8)[:, None, None, None]
    inference = backend.submit({"image": rows}, count).result(DEADLINE_S)
    np.testing.assert_array_equal(inference.outputs["answer"], [[64.0 * row] * 3 for row in range(1, count + 1)])
    assert inference.padded_rows == {1: 0, 2: 0, 3: 1, 4: 0}[count]


@needs_qnn
def test_the_batch_has_the_size_that_the_symbol_was_given(tmp_path: Path, open_model: Opener) -> None:
    _, program = open_model(save_quantized_sums(tmp_path / "sums.onnx"), onnx_define_symbol={"batch": 3})
    assert program.batch_sizes == (3,)


@pytest.mark.parametrize(
    ("keywords", "named"),
    [
        ({}, "leaves the size of height, width open"),
        ({"onnx_define_symbol": {"height": [32, 64], "width": 32}}, "height"),
    ],
)
def test_a_symbol_without_one_size_is_named(tmp_path: Path, keywords: dict[str, object], named: str) -> None:
    path = TinyClassifier(height="height", width="width").save(tmp_path / "open.onnx")
    with pytest.raises(OptionsError, match=named):
        sized(path, options(None, **keywords))


def test_an_axis_without_size_and_name_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    path = TinyClassifier(batch=None).save(tmp_path / "open.onnx")
    with pytest.raises(ModelError, match="--input_name image --input_shape"):
        sized(path, options())


def test_every_symbol_gets_a_size_and_the_batch_is_one(tmp_path: Path) -> None:
    path = TinyClassifier(height="height", width="width").save(tmp_path / "open.onnx")
    (one,) = sized(path, options(onnx_define_symbol={"height": 32, "width": 48}))
    assert one.batch == 1
    assert one.options.keywords.symbols == {"batch": 1, "height": 32, "width": 48}
    fixed = TinyClassifier(batch=5).save(tmp_path / "fixed.onnx")
    assert [one.batch for one in sized(fixed, options())] == [5]


@needs_qnn
def test_what_qnn_does_not_take_is_refused_by_name_or_left_to_the_cpu(
    tmp_path: Path, open_model: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_counter(tmp_path / "counter.onnx")
    with pytest.raises(ModelError, match=r"NonZero.*allow_cpu_fallback"):
        open_model(path)
    caplog.set_level(logging.WARNING)
    for keywords in ({}, {"output_dir": str(tmp_path / "kept")}, {"output_dir": str(tmp_path / "kept")}):
        caplog.clear()
        backend, _ = open_model(path, QnnOwn(allow_cpu_fallback=True), **keywords)
        assert "NonZero" in caplog.text
        assert "on the CPU" in backend.health().detail
        picture = np.ones((1, 3, 32, 32), np.float32)
        outputs = backend.submit({"image": picture}).result(DEADLINE_S).outputs
        np.testing.assert_array_equal(outputs["answer"][1], 1024 * (0 + 1 + 2))


@needs_qnn
def test_the_cpu_gets_nothing_that_qnn_takes(quantized_net: Path, open_model: Opener) -> None:
    backend, _ = open_model(quantized_net, QnnOwn(allow_cpu_fallback=True))
    assert "on the CPU" not in backend.health().detail


@needs_qnn
def test_what_qnn_prepared_is_kept_and_taken_again(
    quantized_net: Path, tmp_path: Path, open_model: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "kept"
    keywords = {"output_dir": str(kept), "onnx_define_symbol": {"batch": [1, 2]}}
    model = ModelFile(quantized_net, "onnx")
    assert QnnBackend().compile(model, options(None, **keywords)) == model
    files = sorted(kept.iterdir())
    assert len(files) == 2
    assert all(file.name.startswith("net-") for file in files)
    before = {file: file.stat().st_mtime_ns for file in files}

    opened: list[Path] = []
    plain = QnnSession._open

    def noticed(session: QnnSession, path: Path, *rest: dict[str, str]) -> object:
        opened.append(path)
        return plain(session, path, *rest)

    monkeypatch.setattr(QnnSession, "_open", noticed)
    backend, program = open_model(quantized_net, **keywords)
    assert program.batch_sizes == (1, 2)
    assert sorted(opened) == files
    assert {file: file.stat().st_mtime_ns for file in kept.iterdir()} == before
    pictures = some_pictures(4)
    plain_backend, _ = open_model(quantized_net)
    np.testing.assert_array_equal(answers(backend, pictures), answers(plain_backend, pictures))


@needs_qnn
def test_what_was_kept_of_another_model_or_is_broken_is_not_taken(tmp_path: Path, open_model: Opener) -> None:
    kept, path = tmp_path / "kept", save_quantized_net(tmp_path / "net.onnx")
    open_model(path, output_dir=str(kept))
    (first,) = kept.iterdir()
    first.write_bytes(first.read_bytes()[:500])
    backend, _ = open_model(path, output_dir=str(kept))
    pictures = some_pictures(3)
    np.testing.assert_array_equal(answers(backend, pictures), answers(open_model(path)[0], pictures))
    assert list(kept.iterdir()) == [first]
    quantize(save_small_net(tmp_path / "float.onnx"), path, some_pictures(16) * 2)
    open_model(path, output_dir=str(kept))
    assert len(list(kept.iterdir())) == 2


@needs_qnn
def test_a_folder_that_cannot_be_written_is_named(quantized_net: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(CompileError, match=r"file/.*another output_dir"):
        QnnBackend().compile(ModelFile(quantized_net, "onnx"), options(output_dir=str(tmp_path / "file")))


@needs_qnn
@pytest.mark.parametrize("device", ["gpu", "cpu", "17"])
def test_a_device_that_is_not_here_is_refused_with_what_there_is(quantized_net: Path, device: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=f"'{device}' here: it has htp"):
        QnnBackend().open(ModelFile(quantized_net, "onnx"), BackendOptions(device=device))


@needs_qnn
def test_a_model_that_onnx_runtime_does_not_know_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Unheard") as caught:
        QnnBackend().open(ModelFile(save_unsupported_operator(tmp_path / "model.onnx"), "onnx"), BackendOptions())
    assert "\n" not in str(caught.value)


def test_a_machine_without_the_emulator_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(BackendError, match="x86-64 and not for linux on aarch64"):
        QnnBackend().open(ModelFile(save_quantized_sums(tmp_path / "m.onnx"), "onnx"), BackendOptions())


def test_the_missing_package_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_qnn", None)
    with pytest.raises(BackendError, match=r"pip install 'aic-streamer\[qnn\]'"):
        QnnBackend().open(ModelFile(save_quantized_sums(tmp_path / "m.onnx"), "onnx"), BackendOptions())


def test_a_plug_in_that_does_not_load_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        __version__ = "0"

        @staticmethod
        def get_ep_name() -> str:
            return "NoSuchProvider"

        @staticmethod
        def get_qnn_htp_path() -> str:
            return str(tmp_path / "libQnnHtp.so")

    with pytest.raises(BackendError, match=r"onnxruntime-qnn 0 cannot be loaded: .*libQnnHtp\.so"):
        find_plugin_devices(Broken)


@needs_qnn
def test_standard_output_stays_clean(quantized_net: Path) -> None:
    program = (
        "import sys; from pathlib import Path\n"
        "from engine.backends.base import BackendOptions\n"
        "from engine.backends.qnn import QnnBackend\n"
        "from engine.models.files import ModelFile\n"
        "backend = QnnBackend()\n"
        "backend.open(ModelFile(Path(sys.argv[1]), 'onnx'), BackendOptions())\n"
        "print('ours'); backend.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(quantized_net)], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "ours\n"


def test_keywords_that_would_change_the_numbers_are_refused() -> None:
    assert QnnBackend.treatment("convert_to_quantize") == "refused"
    assert QnnBackend.treatment("output_dir") == "used"
    assert QnnBackend.treatment("aic_num_cores") == "ignored"


def providers_of(path: Path) -> set[str]:
    (one,) = sized(path, options())
    session = QnnSession(ModelFile(path, "onnx"), one).session
    return {part.ep_name for part in session.get_provider_graph_assignment_info()}
