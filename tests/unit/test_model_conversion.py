"""Conversions of torch, ONNX and TFLite models: the same answers, the same names, and nothing half done."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from engine.errors import ModelError, ModelNotFoundError, OptionsError
from engine.models.files import BUILT_IN
from engine.models.tools.comparison import open_model, sample_inputs
from engine.models.tools.conversion import (
    convert_model,
    convert_onnx_to_tinygrad,
    convert_tflite_to_tinygrad,
    convert_torch_to_tinygrad,
)
from engine.models.tools.torch_archive import copy_seen, torch_kind
from engine.models.tools.torch_files import read_torch
from engine.session import Session
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.optional_backends import need

# The older of torch's two ways to save a model; files of it are about.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.*is deprecated:FutureWarning")

SHAPE = (1, 3, 8, 8)
FLOAT_BOUND = 1e-4


@pytest.fixture(scope="module")
def torch() -> Any:
    for name in ("torch", "torchvision"):
        need(name)
    import torch

    return torch


@pytest.fixture(scope="module")
def module(torch: Any) -> Any:
    """A small classifier whose input is called `pixels`."""

    class Small(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.Sequential(
                torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(4 * 36, 5)
            )

        def forward(self, pixels: Any) -> Any:
            return self.layers(pixels)

    torch.manual_seed(0)
    return Small().eval()


@pytest.fixture(scope="module")
def script(torch: Any, module: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("script") / "model.pt"
    torch.jit.trace(module, torch.zeros(SHAPE)).save(str(path))
    return path


@pytest.fixture(scope="module")
def exported(torch: Any, module: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.pt2"
    batch = torch.export.Dim("batch", min=1, max=64)
    torch.export.save(torch.export.export(module, (torch.zeros(2, *SHAPE[1:]),), dynamic_shapes=({0: batch},)), path)
    return path


@pytest.fixture(scope="module")
def squeezenet(torch: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of a SqueezeNet with 7 classes, as a training program saves them."""
    import torchvision

    torch.manual_seed(0)
    state = torchvision.models.squeezenet1_1(num_classes=7).state_dict()
    path = tmp_path_factory.mktemp("squeezenet") / "weights.pt"
    torch.save({"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}}, path)
    return path


def names_of(path: Path) -> tuple[list[str], list[str]]:
    graph = onnx.load(path).graph
    return [entry.name for entry in graph.input], [entry.name for entry in graph.output]


def test_torchscript_becomes_onnx_with_its_input_name_and_an_open_batch(
    script: Path, module: Any, torch: Any, tmp_path: Path
) -> None:
    result = convert_model(script, tmp_path / "model.onnx", input_shape=SHAPE)
    assert result.format == "onnx"
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert result.comparison.top_class_agreement == 1
    assert names_of(result.destination) == (["pixels"], ["output"])
    pictures = np.random.default_rng(0).random((3, *SHAPE[1:])).astype(np.float32)
    with torch.inference_mode():
        expected = module(torch.from_numpy(pictures)).numpy()
    ours = Session(result.destination, backend="onnxruntime").run({"pixels": pictures})["output"]
    assert np.allclose(ours, expected, atol=1e-5)


def test_a_batch_that_the_model_holds_fast_is_not_opened(torch: Any, tmp_path: Path) -> None:
    class Fixed(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x.reshape(2, 3, 1).sum(-1) * 2

    torch.jit.trace(Fixed(), torch.zeros(2, 3)).save(str(tmp_path / "model.pt"))
    result = convert_model(tmp_path / "model.pt", tmp_path / "model.onnx", input_shape=(2, 3))
    assert "fixed size" in result.notes[0]
    with open_model(result.destination) as model:
        assert model.inputs[0].shape == (2, 3)


@pytest.mark.filterwarnings("ignore")  # what the trace says
def test_attention_in_torchscript_is_exported_too_and_silently(
    torch: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The older exporter does not follow its shapes, and prints the graph."""

    class Attention(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.MultiheadAttention(8, 2, batch_first=True)
            self.last = torch.nn.Linear(8, 3)

        def forward(self, words: Any) -> Any:
            return self.last(self.inner(words, words, words, need_weights=False)[0].mean(1))

    torch.manual_seed(0)
    traced = torch.jit.trace(Attention().eval(), torch.zeros(1, 4, 8), check_trace=False)
    traced.save(str(tmp_path / "model.pt"))
    result = convert_model(tmp_path / "model.pt", tmp_path / "model.onnx", input_shape=(1, 4, 8))
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert names_of(result.destination) == (["words"], ["output"])
    with open_model(result.destination) as model:
        assert model.inputs[0].shape == (None, 4, 8)
    said = capfd.readouterr()
    assert "graph(" not in said.out + said.err


def test_torchscript_becomes_tinygrads_npz(script: Path, tmp_path: Path) -> None:
    need("tinygrad")
    result = convert_torch_to_tinygrad(script, tmp_path / "model.npz", input_shape=SHAPE)
    assert result.format == "tinygrad"
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    with Session(result.destination, backend="tinygrad") as session:
        assert session.run({"pixels": np.zeros(SHAPE, np.float32)})["output"].shape == (1, 5)


def test_an_archive_of_torch_export_keeps_its_names_and_its_open_batch(exported: Path, tmp_path: Path) -> None:
    result = convert_model(exported, tmp_path / "model.onnx")
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert names_of(result.destination) == (["pixels"], ["linear"])
    with open_model(result.destination) as model:
        assert model.inputs[0].shape == (None, *SHAPE[1:])
    with pytest.raises(OptionsError, match="leave the input shape out"):
        convert_model(exported, tmp_path / "model.onnx", input_shape=SHAPE)


def test_a_state_dicts_architecture_is_found_by_its_keys(squeezenet: Path, tmp_path: Path) -> None:
    result = convert_model(squeezenet, tmp_path / "model.onnx", input_shape=(1, 3, 32, 32))
    assert result.notes == ("the weights are those of squeezenet1_1, with 7 classes: name another architecture if not",)
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert names_of(result.destination) == (["input"], ["output"])
    weights = {entry.name: tuple(entry.dims) for entry in onnx.load(result.destination).graph.initializer}
    assert (7, 512, 1, 1) in weights.values()


def test_an_architecture_that_the_weights_are_not_of_is_refused(squeezenet: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ModelError, match=r"weights\.pt does not hold the weights of resnet18: conv1\.weight is missing"
    ):
        convert_model(squeezenet, tmp_path / "model.onnx", architecture="resnet18")
    with pytest.raises(OptionsError, match="no classifier 'squeezenet'"):
        convert_model(squeezenet, tmp_path / "model.onnx", architecture="squeezenet")
    assert list(tmp_path.iterdir()) == []


def test_weights_of_nothing_known_are_refused(torch: Any, module: Any, tmp_path: Path) -> None:
    torch.save(module.state_dict(), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=r"the 4 weights of .* are of no classifier"):
        convert_model(tmp_path / "model.pt", tmp_path / "model.onnx")


class Trap:
    """Writes a file as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("older", [False, True], ids=["zip", "older"])
def test_a_pickled_module_is_refused_with_the_way_to_save_it(torch: Any, tmp_path: Path, older: bool) -> None:
    torch.save(
        {"state_dict": Trap(tmp_path / "sprung")}, tmp_path / "model.pt", _use_new_zipfile_serialization=not older
    )
    with pytest.raises(ModelError, match=r"pickled Python object.*torch\.jit\.save.*torch\.export\.save.*state_dict"):
        convert_model(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert not (tmp_path / "sprung").exists()
    assert not (tmp_path / "model.onnx").exists()


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], **added: bytes) -> Path:
    """Write an archive anew, with members changed, left out or added."""
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(target, "w") as after:
        root = before.namelist()[0].partition("/")[0]
        for entry in before.infolist():
            content = change(entry.filename, before.read(entry))
            if content is not None:
                after.writestr(entry.filename, content)
        for name, content in added.items():
            after.writestr(f"{root}/{name.replace('__', '/').replace('_DOT_', '.')}", content)
    return target


def test_a_trap_in_an_exported_archive_is_not_sprung(exported: Path, torch: Any, tmp_path: Path) -> None:
    """torch.export.load itself falls back to any pickle for the sample inputs."""
    import io

    pickled = io.BytesIO()
    torch.save((Trap(tmp_path / "sprung"),), pickled)
    path = rewritten(
        exported,
        tmp_path / "model.pt2",
        lambda name, content: pickled.getvalue() if name.endswith("sample_inputs/model.pt") else content,
    )
    with pytest.raises(ModelError, match="pickled Python object"):
        convert_model(path, tmp_path / "model.onnx")
    assert not (tmp_path / "sprung").exists()


def edited(part: str, old: str, new: str) -> Callable[[str, bytes], bytes]:
    def change(name: str, content: bytes) -> bytes:
        if not name.endswith(part):
            return content
        assert old.encode() in content
        return content.replace(old.encode(), new.encode())

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (edited("model.json", '"torch.ops.aten.relu.default"', '"torch.os.system"'), "calls 'torch.os.system'"),
        (edited("model.json", "Symbol('s", "__import__('os').getcwd() or Symbol('s"), "which is no expression"),
        (edited("weights_config.json", '"use_pickle": false', '"use_pickle": true'), "keeps weights as pickles"),
        (edited("model.json", '"name": "relu"', '"name": "relu=__import__(\'os\').getcwd()"'), "a name in its name"),
        (edited("model.json", '"relu": {', '"a=print()": {'), "a name in its tensor_values"),
        (edited("model.json", "builtins.dict", "collections.OrderedDict"), "a name in its in_spec"),
    ],
)
def test_what_would_run_code_in_an_exported_archive_is_refused(
    exported: Path, tmp_path: Path, change: Callable[[str, bytes], bytes], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        convert_model(rewritten(exported, tmp_path / "model.pt2", change), tmp_path / "model.onnx")


def test_guards_of_an_exported_archive_are_not_run(exported: Path, tmp_path: Path) -> None:
    """torch itself writes them into a function, and calls it."""
    mark = tmp_path / "sprung"

    def guarded(name: str, content: bytes) -> bytes:
        if not name.endswith("model.json"):
            return content
        graph = json.loads(content)
        assert "guards_code" in graph
        return json.dumps(graph | {"guards_code": [f"open({str(mark)!r}, 'w') is not None"]}).encode()

    path = rewritten(exported, tmp_path / "model.pt2", guarded)
    result = convert_model(path, tmp_path / "model.onnx")
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert not hasattr(read_torch(path).module, "_guards_fn"), "nor has torch written any of its own"
    assert not mark.exists()


def test_torch_is_given_what_was_looked_at_and_nothing_else(exported: Path, tmp_path: Path) -> None:
    """Torch takes an archive's directory where it says that it is, Python where it ends: one file can be two."""
    path = rewritten(exported, tmp_path / "plain.pt2", lambda _, content: content)
    trap = rewritten(
        exported, tmp_path / "trap.pt2", edited("weights_config.json", '"use_pickle": false', '"use_pickle": true')
    )
    (tmp_path / "model.pt2").write_bytes(trap.read_bytes() + path.read_bytes())
    assert torch_kind(tmp_path / "model.pt2") == "export"
    copy_seen(tmp_path / "model.pt2", tmp_path / "seen.pt2")
    assert (tmp_path / "seen.pt2").stat().st_size < path.stat().st_size + trap.stat().st_size / 2
    assert convert_model(tmp_path / "model.pt2", tmp_path / "model.onnx").comparison.max_relative_difference < 1e-3


@pytest.mark.parametrize(
    "code",
    [
        b"f = torch.save",
        b'f = getattr(torch, "sa" "ve")',
        b'f = getattr(torch, "\\x73ave")',
        b"def __setstate__(self, state):\n  pass",
        b"x = torch.from_file",
        b'x = ops.image.read_file("secret")',
        b'x = getattr(ops, "image").read_file("secret")',
        b"x = ops.anybodys.operator(x)",
    ],
)
@pytest.mark.parametrize("suffix", ["py", "PY"])
def test_torchscript_that_could_come_by_files_is_refused(
    script: Path, tmp_path: Path, code: bytes, suffix: str
) -> None:
    path = rewritten(script, tmp_path / "model.pt", lambda _, content: content, **{f"code__evil_DOT_{suffix}": code})
    with pytest.raises(ModelError, match="reads or writes files"):
        convert_model(path, tmp_path / "model.onnx")


def test_a_compiled_library_in_an_exported_archive_is_refused(exported: Path, tmp_path: Path) -> None:
    path = rewritten(
        exported, tmp_path / "model.pt2", lambda _, content: content, data__aotinductor__model__a_DOT_so=b"\x7fELF"
    )
    with pytest.raises(ModelError, match=r"holds 'data/aotinductor/model/a\.so'"):
        convert_model(path, tmp_path / "model.onnx")


def test_torchscript_that_touches_files_is_refused(torch: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(4))

    class Reader(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x + torch.from_file(str(tmp_path / "secret"), shared=False, size=1)

    torch.jit.trace(Reader(), torch.zeros(1, 3), check_trace=False).save(str(tmp_path / "model.pt"))
    with pytest.raises(ModelError, match="reads or writes files"):
        convert_model(tmp_path / "model.pt", tmp_path / "model.onnx")


def test_code_that_unpacks_to_too_much_is_refused(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.models.tools.torch_archive._MAX_GRAPH_BYTES", 100_000)
    assert torch_kind(script) == "torchscript"
    path = rewritten(script, tmp_path / "model.pt", lambda _, content: content, code__long_DOT_py=b"#" * 100_000)
    with pytest.raises(ModelError, match="more than 100,000 bytes of code"):
        torch_kind(path)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.tools.torch_archive._MAX_BYTES", 10_000)
    with zipfile.ZipFile(tmp_path / "model.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"")
        archive.writestr("model/data/0", bytes(20_000))
    with pytest.raises(ModelError, match="unpacks to 20,000 bytes"):
        convert_model(tmp_path / "model.pt", tmp_path / "model.onnx")


def test_a_shape_that_is_not_known_is_guessed_and_said_or_asked_for(torch: Any, script: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=r"does not take an input of 1,3,224,224: .*give an input shape"):
        convert_model(script, tmp_path / "model.onnx")
    torch.jit.trace(torch.nn.Linear(6, 2), torch.zeros(1, 6)).save(str(tmp_path / "model.pt"))
    result = convert_model(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert result.notes == ("an input of 1,6 is assumed: give its shape where it takes another",)


def test_onnx_becomes_tinygrads_npz_and_back(tmp_path: Path) -> None:
    need("tinygrad")
    source = TinyClassifier().save(tmp_path / "source.onnx")
    there = convert_onnx_to_tinygrad(source, tmp_path / "model.npz")
    assert there.comparison.max_relative_difference < FLOAT_BOUND
    back = convert_model(there.destination, tmp_path / "model.onnx")
    assert back.comparison.max_relative_difference < FLOAT_BOUND
    assert names_of(back.destination) == names_of(source) == (["image"], ["answer"])


def test_tflite_becomes_tinygrads_npz(tmp_path: Path) -> None:
    need("tinygrad")
    need("ai_edge_litert")
    from tests.fakes.tflite_models import save_tiny_tflite

    source = save_tiny_tflite(tmp_path / "model.tflite")
    result = convert_tflite_to_tinygrad(source, tmp_path / "model.npz")
    assert result.comparison.max_relative_difference < FLOAT_BOUND
    assert result.comparison.top_class_agreement == 1
    with open_model(source) as before, open_model(result.destination) as after:
        assert after.inputs == before.inputs
        assert after.outputs == before.outputs
        assert len(sample_inputs(after, 1)[0]["image"].shape) == 4


def test_a_result_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.models import npz
    from engine.models.onnx_file import read_onnx

    def spoiled(source: Path, target: Path) -> None:
        model = read_onnx(source)
        largest = max(model.graph.initializer, key=lambda entry: len(entry.raw_data))
        largest.raw_data = bytes(len(largest.raw_data))
        npz.save_model(model, target)

    monkeypatch.setattr("engine.models.tools.conversion.save_npz", spoiled)
    monkeypatch.setattr("engine.models.tools.runnable.find_spec", lambda _: None)
    (tmp_path / "model.npz").write_bytes(b"as it was")
    with pytest.raises(ModelError, match=r"model\.npz is not written: its answers differ"):
        convert_model(BUILT_IN["workpiece"], tmp_path / "model.npz")
    assert (tmp_path / "model.npz").read_bytes() == b"as it was"
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.parametrize(
    ("source", "destination", "wanted", "error", "message"),
    [
        ("a.onnx", "b.txt", None, OptionsError, r"the formats are onnx \(\.onnx\), tinygrad \(\.npz\)"),
        ("a.onnx", "b.onnx", "tinygrad", OptionsError, r"b\.onnx: .* ends in \.npz"),
        ("a.onnx", "b.onnx", None, OptionsError, r"a\.onnx is a model for onnx already"),
        ("a.xml", "b.onnx", None, ModelError, "its name ends in none of"),
        ("none.onnx", "b.npz", None, ModelNotFoundError, r"no model file .*none\.onnx"),
        ("a.onnx", "none/b.npz", None, OptionsError, "there is no directory"),
        ("broken.pt", "b.onnx", None, ModelError, r"broken\.pt is no file of torch's: .* neither a whole archive"),
        ("broken.tflite", "b.onnx", None, ModelError, r"broken\.tflite is no TFLite model"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_line(
    source: str, destination: str, wanted: str | None, error: type[Exception], message: str, tmp_path: Path
) -> None:
    for name in ("a.xml", "broken.pt", "broken.tflite"):
        (tmp_path / name).write_bytes(b"no model")
    (tmp_path / "a.onnx").write_bytes(BUILT_IN["workpiece"].read_bytes())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=message) as caught:
        convert_model(tmp_path / source, tmp_path / destination, wanted)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_the_report_is_json(script: Path, tmp_path: Path) -> None:
    said: list[str] = []
    result = convert_model(script, tmp_path / "model.onnx", input_shape=SHAPE, on_progress=said.append)
    report = json.loads(json.dumps(result.as_json()))
    assert report["destination"] == str(tmp_path / "model.onnx")
    assert report["comparison"]["samples"] == 8
    assert said[0].startswith("reading ")
    assert said[-1] == "comparing: run 8 of 8"
