"""The `.npz` model: what was saved comes back, and what somebody made up is refused."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from engine.errors import ModelError, ModelNotFoundError
from engine.models.files import BUILT_IN
from engine.models.graph import last_operator
from engine.models.npz import load_npz, save_npz
from tests.fakes.onnx_models import TinyClassifier, save

#: Names of weights that a file's name, a keyword or the format itself would trip over.
ODD_NAMES = [
    "a/b",
    "../up",
    "..",
    "@graph",
    "@format",
    "file",
    "x y",
    "100%",
    "a%2Fb",
    "ä:1",
    "w.npy",
    "W",
    "w",
    "n" * 300,
]


def sum_of(path: Path, weights: dict[str, NDArray[np.generic]]) -> Path:
    """A model that adds all its weights to its input."""
    nodes, last = [], "image"
    for number, name in enumerate(weights):
        nodes.append(helper.make_node("Add", [last, name], [f"sum {number}"]))
        last = f"sum {number}"
    nodes.append(helper.make_node("Identity", [last], ["answer"]))
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3]) for name in ("image", "answer")]
    tensors = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    return save(path, nodes, value[:1], value[1:], tensors)


def packed(folder: Path, *, small: bool = True) -> Path:
    source = sum_of(folder / "model.onnx", {"w": np.arange(3, dtype=np.float32)}) if small else BUILT_IN["workpiece"]
    save_npz(source, folder / "model.npz")
    return folder / "model.npz"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, changes: dict[str, bytes | None]) -> Path:
    content = {name: data for name, data in (members(path) | changes).items() if data is not None}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def npy(array: NDArray[Any], *, pickled: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=pickled)
    return buffer.getvalue()


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def graph_with(path: Path, change: Any) -> bytes:
    model = onnx.ModelProto.FromString(np.load(io.BytesIO(members(path)["@graph.npy"])).tobytes())
    change(model)
    return npy(np.frombuffer(model.SerializeToString(), np.uint8))


@pytest.mark.parametrize(
    "model",
    [
        TinyClassifier(end="softmax", metadata={"streamer.labels": "[1]"}),
        TinyClassifier(layout="NHWC", dtype="uint8", end="sigmoid"),
        TinyClassifier(dtype="float16", batch=4),
        TinyClassifier(dtype="float64", opset=18),
    ],
)
def test_what_comes_back_answers_as_what_was_saved(tmp_path: Path, model: TinyClassifier) -> None:
    source = model.save(tmp_path / "model.onnx")
    save_npz(source, tmp_path / "model.npz")
    back = load_npz(tmp_path / "model.npz")
    assert {entry.key: entry.value for entry in back.metadata_props} == dict(model.metadata)
    shape = (4, 3, 32, 32) if model.layout == "NCHW" else (4, 32, 32, 3)
    pixels = (np.random.default_rng(1).random(shape) * 100).astype(model.dtype)
    answers = [
        onnxruntime.InferenceSession(content).run(None, {"image": pixels})[0]
        for content in (source.read_bytes(), back.SerializeToString())
    ]
    np.testing.assert_array_equal(*answers)


def test_every_name_of_a_weight_comes_back(tmp_path: Path) -> None:
    weights = {name: np.full(3, number, np.float32) for number, name in enumerate(ODD_NAMES)}
    save_npz(sum_of(tmp_path / "model.onnx", dict(weights)), tmp_path / "model.npz")
    back = {tensor.name: numpy_helper.to_array(tensor) for tensor in load_npz(tmp_path / "model.npz").graph.initializer}
    assert list(back) == ODD_NAMES
    for name, array in weights.items():
        np.testing.assert_array_equal(back[name], array)


def test_it_is_a_plain_numpy_archive_with_the_weights_by_name_and_not_in_the_graph(tmp_path: Path) -> None:
    path = packed(tmp_path)
    with np.load(path, allow_pickle=False) as archive:
        assert set(archive) == {"@format", "@graph", "w"}
        np.testing.assert_array_equal(archive["w"], [0, 1, 2])
        model = onnx.ModelProto.FromString(archive["@graph"].tobytes())
    (tensor,) = model.graph.initializer
    assert not tensor.raw_data
    assert not tensor.float_data


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first = packed(tmp_path, small=False).read_bytes()
    assert packed(tmp_path, small=False).read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["model.npz"]


def test_weights_beside_the_file_come_along_and_foreign_ones_do_not(tmp_path: Path) -> None:
    source = sum_of(tmp_path / "inner.onnx", {"w": np.arange(3, dtype=np.float32)})
    model = onnx.load(source)
    onnx.save(model, tmp_path / "outer.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    save_npz(tmp_path / "outer.onnx", tmp_path / "model.npz")
    (tmp_path / "w.bin").unlink()
    (tensor,) = load_npz(tmp_path / "model.npz").graph.initializer
    np.testing.assert_array_equal(numpy_helper.to_array(tensor), [0, 1, 2])
    with pytest.raises(ModelError, match=r"outer\.onnx"):
        save_npz(tmp_path / "outer.onnx", tmp_path / "second.npz")
    assert not (tmp_path / "second.npz").exists()


def test_types_that_numpy_has_not_stay_in_the_graph(tmp_path: Path) -> None:
    path = sum_of(tmp_path / "model.onnx", {"w": np.arange(3, dtype=np.float32)})
    model = onnx.load(path)
    model.graph.initializer.append(helper.make_tensor("half", TensorProto.BFLOAT16, [2], [1.0, 2.0]))
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))
    path.write_bytes(model.SerializeToString())
    save_npz(path, tmp_path / "model.npz")
    assert set(members(tmp_path / "model.npz")) == {"@format.npy", "@graph.npy", "w.npy"}
    assert load_npz(tmp_path / "model.npz").SerializeToString() == model.SerializeToString()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"w.npy": None}, "lacks the weights 'w'"),
        ({"v.npy": npy(np.zeros(3, np.float32))}, "takes no weights 'v'"),
        ({"w.npy": npy(np.zeros(4, np.float32))}, r"\[4\]"),
        ({"w.npy": npy(np.zeros(3, np.float64))}, "float64"),
        ({"w.npy": npy(np.zeros(3, ">f4"))}, ">f4|float32"),
        ({"w.npy": npy(np.array([1, "a", None], object), pickled=True)}, "object"),
        ({"w.npy": header("(1000000000000,)")}, "1000000000000"),
        ({"w.npy": header("(-3,)") + bytes(12)}, "w.npy|weights"),
        ({"w.npy": header("(3,)") + bytes(13)}, "13 bytes"),
        ({"w.npy": header("(0, 99999999999999999999)")}, "no .npz model"),
        ({"w.npy": b"\x93NUMPY\x09\x00"}, "version"),
        ({"w.npy": b"no array"}, "no .npz model"),
        ({"a/b.npy": npy(np.zeros(3, np.float32))}, "no name of a weight"),
        ({"../w.npy": npy(np.zeros(3, np.float32))}, "no name of a weight"),
        ({"w.txt": b"hello"}, "no name of a weight"),
        ({"@format.npy": None}, "no @format"),
        ({"@graph.npy": None}, "no @graph"),
        ({"@format.npy": npy(np.array(2))}, "format is 2"),
        ({"@format.npy": npy(np.array([1]))}, "format is"),
        ({"@graph.npy": npy(np.zeros(3, np.float32))}, "not bytes"),
        ({"@graph.npy": npy(np.full(9, 255, np.uint8))}, "no .npz model"),
        ({"@graph.npy": npy(np.zeros(0, np.uint8))}, "gives nothing"),
    ],
)
def test_what_somebody_made_up_is_refused_in_one_line(
    tmp_path: Path, changes: dict[str, bytes | None], said: str
) -> None:
    path = rewritten(packed(tmp_path), changes)
    with pytest.raises(ModelError, match=said) as caught:
        load_npz(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_graph_that_names_files_is_refused(tmp_path: Path) -> None:
    def point(tensor: Any) -> None:
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    def in_a_node(model: Any) -> None:
        constant = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.FLOAT, [1], [1.0]))
        model.graph.node.append(constant)
        point(model.graph.node[-1].attribute[0].t)

    for change in (lambda model: point(model.graph.initializer[0]), in_a_node):
        path = packed(tmp_path)
        rewritten(path, {"@graph.npy": graph_with(path, change)})
        with pytest.raises(ModelError, match="in another file"):
            load_npz(path)


def test_what_would_not_fit_into_memory_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = rewritten(packed(tmp_path), {"w.npy": bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    with pytest.raises(ModelError, match=r"of 1,000,000"):
        load_npz(path, max_bytes=1_000_000)


def test_a_graph_that_would_fill_the_memory_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = packed(tmp_path)
    monkeypatch.setattr("engine.models.npz._MAX_GRAPH_BYTES", 140)
    with pytest.raises(ModelError, match="its @graph has more than 140 bytes"):
        load_npz(path)


def test_two_members_of_one_name_are_refused(tmp_path: Path) -> None:
    path = packed(tmp_path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("w.npy", npy(np.ones(3, np.float32)))
    with pytest.raises(ModelError, match="same name"):
        load_npz(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", bytes(range(256)) * 40])
def test_no_archive_at_all_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"broken\.npz"):
        load_npz(path)


def test_an_archive_that_ends_early_is_refused(tmp_path: Path) -> None:
    path = packed(tmp_path, small=False)
    content = path.read_bytes()
    for end in (10, len(content) // 2, len(content) - 30):
        path.write_bytes(content[:end])
        with pytest.raises(ModelError, match=r"model\.npz"):
            load_npz(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"missing\.npz"):
        load_npz(tmp_path / "missing.npz")


def test_its_last_operator_is_known(tmp_path: Path) -> None:
    save_npz(TinyClassifier(end="sigmoid").save(tmp_path / "model.onnx"), tmp_path / "model.npz")
    assert last_operator(tmp_path / "model.npz", "answer") == "Sigmoid"
