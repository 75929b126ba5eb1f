"""Which file is meant, of what kind it is, and whether it may be read."""

import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine.errors import ModelError, ModelNotFoundError
from engine.models.files import BUILT_IN, ModelFile, locate_model, replacing
from engine.models.npz import save_npz
from engine.models.onnx_file import check_onnx_file, read_onnx, save_onnx
from engine.models.tools.conversion import convert_model
from engine.models.tools.runnable import SessionModel
from tests.fakes.onnx_models import TinyClassifier, save
from tests.fakes.optional_backends import need


def test_a_built_in_model_goes_by_its_name() -> None:
    assert locate_model("workpiece") == ModelFile(BUILT_IN["workpiece"], "onnx")


def test_a_glob_that_matches_one_file_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "model_qpc").mkdir()
    path = tmp_path / "model_qpc" / "programqpc.bin"
    path.write_bytes(b"anything")
    assert locate_model(f"{tmp_path}/model_qpc/*.bin") == ModelFile(path, "qpc")
    assert locate_model(tmp_path / "model_qpc") == ModelFile(path, "qpc")
    path.with_name("other.bin").write_bytes(b"anything")
    with pytest.raises(ModelError, match=r"2 files match .*other\.bin.*programqpc\.bin"):
        locate_model(f"{tmp_path}/model_qpc/*.bin")
    with pytest.raises(ModelNotFoundError, match="no file matches"):
        locate_model(f"{tmp_path}/nowhere/*.bin")


def test_a_file_whose_own_name_looks_like_a_glob_is_found(tmp_path: Path) -> None:
    path = TinyClassifier().save(tmp_path / "model[1].onnx")
    assert locate_model(path).path == path


def test_a_path_without_suffix_is_told_by_its_content(tmp_path: Path) -> None:
    assert locate_model(TinyClassifier().save(tmp_path / "plain")).kind == "onnx"
    np.savez(tmp_path / "weights.npz", a=np.ones(3))
    assert locate_model((tmp_path / "weights.npz").rename(tmp_path / "weights")).kind == "npz"
    with zipfile.ZipFile(tmp_path / "checkpoint", "w") as archive:
        archive.writestr("checkpoint/data.pkl", b"")
    assert locate_model(tmp_path / "checkpoint").kind == "torch"
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"")
    assert locate_model(tmp_path / "saved") == ModelFile(tmp_path / "saved", "tensorflow")
    (tmp_path / "compiled").write_bytes(b"\x7c\xcd\xa1\x00 and more")
    assert locate_model(tmp_path / "compiled").kind == "qpc"
    (tmp_path / "text").write_text("no model at all")
    with pytest.raises(ModelError, match="text is no model that is known"):
        locate_model(tmp_path / "text")


@pytest.mark.parametrize("name", ["missing.onnx", ".", "missing/model.onnx"])
def test_what_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no model"):
        locate_model(tmp_path / name)


@pytest.mark.parametrize("name", ["model.tflite", "model"])
def test_a_tflite_model_has_to_be_converted(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1c\0\0\0TFL3" + b"\0" * 64)
    with pytest.raises(ModelError, match="is a TFLite model, which no back end runs: `streamer convert` makes"):
        locate_model(tmp_path / name)


def save_with_external_data(folder: Path, location: str, *, in_subgraph: bool = False) -> Path:
    """A model whose weights are said to be kept at `location`."""
    weights = numpy_helper.from_array(np.ones((3, 4), np.float32), "weights")
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "48")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 4])
    if not in_subgraph:
        return save(
            folder / "model.onnx", [helper.make_node("MatMul", ["image", "weights"], ["answer"])], [image], [answer],
            [weights],
        )  # fmt: skip
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["image", "weights"], ["inner"])],
        "branch", [], [helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 4])], [weights],
    )  # fmt: skip
    condition = numpy_helper.from_array(np.array(True), "condition")  # noqa: FBT003
    node = helper.make_node("If", ["condition"], ["answer"], then_branch=branch, else_branch=branch)
    return save(folder / "model.onnx", [node], [image], [answer], [condition])


@pytest.mark.parametrize("location", ["*/_ORT_MEM_ADDR_/*", "_ORT_MEM_ADDR_", "a\0b"])
def test_an_address_in_memory_is_no_place_for_weights(tmp_path: Path, location: str) -> None:
    if "\0" not in location:
        (tmp_path / location).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / location).write_bytes(bytes(48))
    with pytest.raises(ModelError, match="no file's name"):
        check_onnx_file(save_with_external_data(tmp_path, location))


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("location", "other.bin", "location is said twice"),
        ("offset", "16", "offset is said twice"),
        ("length", None, "should reach to 1048576"),
        ("offset", "0x10", "no numbers"),
    ],
)
def test_a_place_that_is_said_in_two_ways_or_beyond_the_end_is_refused(
    tmp_path: Path, key: str, value: str | None, named: str
) -> None:
    (tmp_path / "weights.bin").write_bytes(bytes(48))
    (tmp_path / "other.bin").write_bytes(bytes(48))
    path = save_with_external_data(tmp_path, "weights.bin")
    model = onnx.load(path, load_external_data=False)
    (tensor,) = model.graph.initializer
    if value is not None and "x" not in value:
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    else:
        (entry,) = (entry for entry in tensor.external_data if entry.key == key)
        entry.value = value or "1048576"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=named):
        check_onnx_file(path)


def test_a_compiled_program_in_another_file_is_refused(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3])
    answer = helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 3])
    node = helper.make_node("EPContext", ["image"], ["answer"], embed_mode=0, ep_cache_context="context.bin")
    with pytest.raises(ModelError, match="compiled program in another file"):
        check_onnx_file(save(tmp_path / "model.onnx", [node], [image], [answer]))


def test_what_is_no_plain_file_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.onnx")
    with pytest.raises(ModelError, match="no plain file"):
        locate_model(tmp_path / "model.onnx")


@pytest.mark.parametrize("in_subgraph", [False, True])
def test_weights_beside_the_model_are_fine(tmp_path: Path, in_subgraph: bool) -> None:
    (tmp_path / "weights.bin").write_bytes(np.ones((3, 4), np.float32).tobytes())
    check_onnx_file(save_with_external_data(tmp_path, "weights.bin", in_subgraph=in_subgraph))


@pytest.mark.parametrize("in_subgraph", [False, True])
@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("absolute", "not below"),
        ("parent", "not below"),
        ("nothing", "not below"),
        ("link", "by a link"),
        ("linked folder", "by a link"),
        ("hard link", "hard link"),
        ("directory", "no plain file"),
        ("pipe", "no plain file"),
        ("missing", "cannot be read"),
    ],
)
def test_weights_elsewhere_are_refused(tmp_path: Path, kind: str, named: str, in_subgraph: bool) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(48))
    folder = tmp_path / "model"
    folder.mkdir()
    location = "weights.bin"
    match kind:
        case "absolute":
            location = str(secret)
        case "parent":
            location = "../secret.bin"
        case "nothing":
            location = ""
        case "link":
            (folder / location).symlink_to(secret)
        case "linked folder":
            (folder / "in").symlink_to(tmp_path)
            location = "in/secret.bin"
        case "hard link":
            os.link(secret, folder / location)
        case "directory":
            (folder / location).mkdir()
        case "pipe":
            os.mkfifo(folder / location)
    path = save_with_external_data(folder, location, in_subgraph=in_subgraph)
    with pytest.raises(ModelError, match=named) as caught:
        check_onnx_file(path)
    assert str(path) in str(caught.value)
    assert "weights" in str(caught.value)


def test_a_word_in_a_name_is_no_external_data(tmp_path: Path) -> None:
    path = TinyClassifier(metadata={"location": "/etc/passwd"}).save(tmp_path / "model.onnx")
    check_onnx_file(path)
    assert onnx.load(path).metadata_props[0].key == "location"


# -- writing ---------------------------------------------------------------------------------------


def saved_onnx(source: Path, target: Path) -> None:
    save_onnx(read_onnx(source), target)


def converted(source: Path, target: Path) -> None:
    convert_model(source, target)


@pytest.mark.parametrize(
    ("write", "name"), [(save_npz, "model.npz"), (saved_onnx, "model.onnx"), (converted, "model.npz")]
)
def test_a_model_that_is_written_has_the_mode_of_any_new_file(
    write: Callable[[Path, Path], None], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.models.tools.runnable.find_spec", lambda _: None)  # tinygrad takes seconds
    before = os.umask(0o027)
    try:
        write(BUILT_IN["workpiece"], tmp_path / name)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == [name]


def half_written(target: Path) -> None:
    with replacing(target) as made:
        made.write_bytes(b"half")
        locate_model("absent.onnx")


def test_what_is_written_takes_the_place_of_the_file_before_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_bytes(b"as it was")
    with pytest.raises(ModelNotFoundError):
        half_written(target)
    assert target.read_bytes() == b"as it was"
    with replacing(target) as made:
        made.write_bytes(b"whole")
        assert target.read_bytes() == b"as it was"
    assert target.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [target]


def on_tinygrad(folder: Path, _: pytest.MonkeyPatch) -> None:
    need("tinygrad")
    convert_model(folder / "model.npz", folder / "made.onnx")


def without_tinygrad(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.models.tools.runnable.find_spec", lambda _: None)
    with SessionModel(folder / "model.npz"):
        pass


def of_tflite(folder: Path, _: pytest.MonkeyPatch) -> None:
    need("ai_edge_litert")
    from tests.fakes.tflite_models import save_tiny_tflite

    convert_model(save_tiny_tflite(folder / "model.tflite"), folder / "made.onnx")


@pytest.mark.parametrize("write", [on_tinygrad, without_tinygrad, of_tflite])
def test_whoever_writes_an_onnx_file_says_what_is_too_large_for_one(
    write: Callable[[Path, pytest.MonkeyPatch], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_npz(TinyClassifier(height=8, width=8).save(tmp_path / "source.onnx"), tmp_path / "model.npz")
    monkeypatch.setattr("engine.models.onnx_file.MAX_PROTOBUF_BYTES", 100)
    with pytest.raises(ModelError, match="and one ONNX file holds 100"):
        write(tmp_path, monkeypatch)
    assert not (tmp_path / "made.onnx").exists()
