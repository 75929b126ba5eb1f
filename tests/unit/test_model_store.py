"""The model store: names that are folders, files that are looked at, and several processes at once."""

import json
import multiprocessing
import os
import pickle
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import onnx
import pytest

from engine.errors import ModelNotFoundError, StoreError
from engine.models.files import BUILT_IN, file_digest
from engine.models.npz import save_npz
from engine.models.store.content import checked_suffix
from engine.models.store.incoming import Incoming
from engine.models.store.names import is_store_name, store_name
from engine.models.store.store import ModelStore
from engine.models.store.watch import CurrentVersion
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.tflite_models import save_tiny_tflite
from tests.fakes.waiting import DEADLINE_S

NO_NAMES = ("", ".", "..", "../x", "a/b", "/etc", "a\\b", "-a", "_a", ".lock", "A", "ü", "a b", "a\n", "a\0", "x" * 65)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def model(folder: Path, gain: float = 4.0, name: str = "bottles.onnx") -> Path:
    """A model's file; another gain makes another content."""
    return TinyClassifier(height=8, width=8, gain=gain).save(folder / name)


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# -- what it keeps ---------------------------------------------------------------------------------


def test_a_model_is_kept_with_its_digest_its_origin_and_its_history(store: ModelStore, tmp_path: Path) -> None:
    file = model(tmp_path)
    stored = store.add(file, origin="upload", original_name="C:\\models\\Bottles.ONNX").model
    (version,) = stored.versions
    assert (stored.name, stored.current, version.digest) == ("bottles", version, file_digest(file))
    assert (version.origin, version.original_name, version.suffix) == ("upload", "C:\\models\\Bottles.ONNX", ".onnx")
    assert version.path == store.directory / "bottles" / "versions" / f"{version.digest}.onnx"
    assert version.path.read_bytes() == file.read_bytes()
    assert version.size_bytes == file.stat().st_size
    assert store.path_of("bottles") == version.path
    assert [(entry.action, entry.digest, entry.detail) for entry in stored.history] == [
        ("added", version.digest, "upload")
    ]
    assert store.models() == [stored] == [ModelStore(store.directory).get("bottles")]
    assert json.loads(json.dumps(stored.as_json()))["current"] == version.digest


def test_another_content_is_another_version_and_becomes_current_when_it_is_made_so(
    store: ModelStore, tmp_path: Path
) -> None:
    first = store.add(model(tmp_path), "bottles", origin="upload").version
    stored = store.add(model(tmp_path, 5.0), "bottles", origin="streamer convert a.pt").model
    second = stored.versions[0]
    assert stored.current == first
    assert stored.versions == (second, first), "newest first"
    assert store.add(model(tmp_path), "bottles", origin="again").model == stored, "the same file is the same version"
    used = store.use("bottles", second.digest[:8])
    assert used.current == second
    assert (used.history[0].action, used.history[0].digest) == ("current", second.digest)
    assert store.path_of("bottles", f"sha256:{first.digest}") == first.path


def test_a_version_is_made_current_as_it_is_added_whether_it_is_new_or_not(store: ModelStore, tmp_path: Path) -> None:
    first = store.add(model(tmp_path), "bottles", origin="upload", use=True).version
    added = store.add(model(tmp_path, 5.0), "bottles", origin="upload", use=True)
    second = added.version
    assert second.digest == file_digest(model(tmp_path, 5.0))
    assert added.model == store.get("bottles")
    assert added.model.current == second
    again = store.add(model(tmp_path), "bottles", origin="again", use=True)
    assert (again.version, again.model.current) == (first, first)
    assert store.add(model(tmp_path, 5.0), "bottles", origin="again").version == second, "what was found"
    assert [(entry.action, entry.digest) for entry in store.get("bottles").history[::-1]] == [
        ("added", first.digest),
        ("added", second.digest),
        ("current", second.digest),
        ("current", first.digest),
    ]


def test_the_current_version_is_not_deleted_alone(store: ModelStore, tmp_path: Path) -> None:
    first = store.add(model(tmp_path), "bottles", origin="upload").version
    second = store.add(model(tmp_path, 5.0), "bottles", origin="upload").version
    with pytest.raises(StoreError, match="is the current one of model bottles: make another one current first"):
        store.delete("bottles", first.digest)
    store.delete("bottles", second.digest)
    assert not second.path.exists()
    assert store.get("bottles").history[0].action == "deleted"
    store.delete("bottles")
    assert store.models() == []
    assert everything(store.directory) == {".lock"}


def test_a_model_is_renamed_and_a_taken_name_is_not_given(store: ModelStore, tmp_path: Path) -> None:
    store.add(model(tmp_path), "bottles", origin="upload")
    store.add(model(tmp_path), "caps", origin="upload")
    with pytest.raises(StoreError, match="has a model caps already"):
        store.rename("bottles", "caps")
    renamed = store.rename("bottles", "glass")
    assert (renamed.name, renamed.history[0].detail) == ("glass", "from bottles")
    assert store.path_of("glass").is_relative_to(store.directory / "glass")
    with pytest.raises(ModelNotFoundError, match="has no model 'bottles': it has caps, glass"):
        store.get("bottles")


def test_a_version_is_named_by_six_letters_of_its_digest_or_more(store: ModelStore, tmp_path: Path) -> None:
    stored = store.add(model(tmp_path), "bottles", origin="upload").model
    for digest in ("", stored.current.digest[:5], "f" * 64, "../x"):
        with pytest.raises(ModelNotFoundError, match=f"it has {stored.current.short_digest}"):
            store.use("bottles", digest)
    assert stored.version(stored.current.digest[:6].upper()) == stored.current


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_name_reaches_nothing(store: ModelStore, tmp_path: Path, name: str) -> None:
    file = model(tmp_path)
    store.add(file, "bottles", origin="upload")
    before = everything(tmp_path)
    for change in (
        lambda: store.add(file, name, origin="upload"),
        lambda: store.rename("bottles", name),
        lambda: store.rename(name, "caps"),
        lambda: store.get(name),
        lambda: store.path_of(name),
        lambda: store.delete(name),
        lambda: store.use(name, "a" * 64),
    ):
        with pytest.raises((StoreError, ModelNotFoundError)) as refused:
            change()
        assert "\n" not in str(refused.value)
    assert everything(tmp_path) == before


def test_the_built_in_models_name_is_not_given(store: ModelStore) -> None:
    with pytest.raises(StoreError, match="workpiece is the built-in model's name"):
        store.add(BUILT_IN["workpiece"], "workpiece", origin="upload")
    assert store.add(BUILT_IN["workpiece"], origin="upload").model.name == "workpiece-copy"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Bottles v2.ONNX", "bottles-v2"),
        ("../../etc/passwd", "passwd"),
        ("C:\\models\\caps.npz", "caps"),
        ("..", "model"),
        ("", "model"),
        ("日本.onnx", "model"),
        ("é" + "x" * 90 + ".onnx", "x" * 64),
        ("a.b.onnx", "a.b"),
    ],
)
def test_a_name_is_made_of_whatever_a_file_is_called(text: str, name: str) -> None:
    assert store_name(text) == name
    assert is_store_name(name)


# -- what it takes ---------------------------------------------------------------------------------


def with_weights_outside(folder: Path) -> Path:
    """A model of which a tensor is in a file beside it."""
    made = onnx.load(model(folder))
    tensor = made.graph.initializer[0]
    (folder / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    (folder / "outside.onnx").write_bytes(made.SerializeToString())
    return folder / "outside.onnx"


def damaged(folder: Path) -> Path:
    """An archive that ends as one, and whose directory is none."""
    save_npz(model(folder), folder / "damaged.npz")
    whole = (folder / "damaged.npz").read_bytes()
    (folder / "damaged.npz").write_bytes(whole.replace(b"PK\x01\x02", b"XX\x01\x02"))
    return folder / "damaged.npz"


def torn(folder: Path) -> Path:
    whole = model(folder).read_bytes()
    (folder / "torn.onnx").write_bytes(whole[: len(whole) // 2])
    return folder / "torn.onnx"


def pickled(folder: Path) -> Path:
    (folder / "pickled.onnx").write_bytes(pickle.dumps({"weights": [1.0]}))
    return folder / "pickled.onnx"


def torch_archive(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "weights.npz", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    return folder / "weights.npz"


def objects(folder: Path) -> Path:
    np.savez(folder / "objects.npz", weights=np.array([{}], dtype=object))
    return folder / "objects.npz"


def text(folder: Path) -> Path:
    (folder / "text.onnx").write_text("no model\n")
    return folder / "text.onnx"


def nothing(folder: Path) -> Path:
    (folder / "empty.onnx").touch()
    return folder / "empty.onnx"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe.onnx")
    return folder / "pipe.onnx"


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (with_weights_outside, "keeps the weights .* in another file: save it with its weights inside"),
        (torn, "no complete ONNX file"),
        (pickled, "holds a pickle"),
        (torch_archive, "holds a pickle"),
        (objects, "no .npz model"),
        (text, "is no model"),
        (nothing, "is no model"),
        (damaged, "is no model"),
        (pipe, "is no plain file"),
        (lambda folder: folder, "is no plain file"),
        (lambda folder: folder / "absent.onnx", "cannot be read: No such file"),
    ],
)
def test_what_is_no_whole_model_without_pickles_is_refused_and_leaves_nothing(
    store: ModelStore, tmp_path: Path, make: Callable[[Path], Path], why: str
) -> None:
    with pytest.raises(StoreError, match=why) as refused:
        store.add(make(tmp_path), "bottles", origin="upload")
    assert "\n" not in str(refused.value)
    assert everything(store.directory) == {".lock"}
    assert ".incoming" not in str(refused.value)


@pytest.mark.parametrize("called", ["model.onnx", "model.bin", "model"])
def test_the_content_says_what_it_is_whatever_it_is_called(store: ModelStore, tmp_path: Path, called: str) -> None:
    save_npz(model(tmp_path), tmp_path / "packed.npz")
    (tmp_path / called).write_bytes((tmp_path / "packed.npz").read_bytes())
    (tmp_path / "program").write_bytes(b"\x7c\xcd\xa1\x00" + b"\0" * 64)
    assert store.add(tmp_path / called, "packed", origin="upload").version.suffix == ".npz"
    assert store.add(tmp_path / "program", "program", origin="upload").version.suffix == ".bin"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_tflite_file_that_was_cut_is_refused(store: ModelStore, tmp_path: Path, share: float) -> None:
    whole = save_tiny_tflite(tmp_path / "bottles.tflite").read_bytes()
    (tmp_path / "cut").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(StoreError, match="cut cannot be taken: it is no complete TFLite file: it is cut short or dam"):
        store.add(tmp_path / "cut", origin="upload")
    assert store.add(tmp_path / "bottles.tflite", origin="upload").version.suffix == ".tflite"


def test_what_is_said_of_a_version_is_a_line(store: ModelStore, tmp_path: Path) -> None:
    stored = store.add(model(tmp_path), origin="a\nb\x1b[31m" + "c" * 999, original_name="x\r\ny.onnx").model
    assert stored.current.origin.startswith("a b [31mc")
    assert len(stored.current.origin) == 500
    assert stored.current.original_name == "x y.onnx"


# -- what somebody did to it -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"current": "a", "versions": [], "history": []}',
        b"\xff",
        b"[" * 100_000,
        json.dumps(
            {
                "current": "../../x",
                "history": [],
                "versions": [
                    {
                        "digest": "../../x",
                        "suffix": ".onnx",
                        "size_bytes": 1,
                        "added_at": "",
                        "origin": "",
                        "original_name": "",
                    }
                ],
            }
        ).encode(),
    ],
)
def test_a_note_that_is_none_harms_no_other_model(
    store: ModelStore, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    store.add(model(tmp_path), "bottles", origin="upload")
    store.add(model(tmp_path), "caps", origin="upload")
    store.sheet_of("bottles").write_bytes(content)
    assert [stored.name for stored in store.models()] == ["caps"]
    assert "model bottles is left out" in caplog.text
    with pytest.raises(StoreError, match=r"model\.json"):
        store.path_of("bottles")
    store.delete("bottles")
    assert [stored.name for stored in store.models()] == ["caps"]


def test_a_pipe_in_the_place_of_a_note_keeps_nobody_waiting(store: ModelStore, tmp_path: Path) -> None:
    store.add(model(tmp_path), "bottles", origin="upload")
    store.sheet_of("bottles").unlink()
    os.mkfifo(store.sheet_of("bottles"))
    with pytest.raises(StoreError, match="no plain file"):
        store.get("bottles")


def test_a_file_that_is_not_what_was_added_is_refused(store: ModelStore, tmp_path: Path) -> None:
    version = store.add(model(tmp_path), "bottles", origin="upload").version
    other = model(tmp_path, 5.0, "other.onnx")
    version.path.write_bytes(other.read_bytes())
    with pytest.raises(StoreError, match="is not what was added"):
        store.path_of("bottles")
    version.path.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        store.path_of("bottles")
    with pytest.raises(StoreError, match="cannot be read"):
        store.use("bottles", version.digest)
    for spoil in (lambda: None, lambda: version.path.write_bytes(b"spoiled")):
        spoil()
        store.add(model(tmp_path), "bottles", origin="upload")
        assert store.path_of("bottles") == version.path, "added anew, it is whole"


def test_links_are_not_followed(store: ModelStore, tmp_path: Path) -> None:
    file = model(tmp_path)
    version = store.add(file, "bottles", origin="upload").version
    version.path.unlink()
    version.path.symlink_to(file)
    with pytest.raises(StoreError, match="is not what was added"):
        store.path_of("bottles")
    outside = tmp_path / "outside"
    (outside / "versions").mkdir(parents=True)
    (outside / "model.json").write_bytes(store.sheet_of("bottles").read_bytes())
    (store.directory / "linked").symlink_to(outside)
    assert [stored.name for stored in store.models()] == ["bottles"]
    with pytest.raises(ModelNotFoundError):
        store.get("linked")
    with pytest.raises(StoreError, match="or holds a link"):
        store.add(file, "linked", origin="upload")
    with pytest.raises(StoreError, match="or holds a link"):
        store.delete("linked")
    (store.directory / "half").mkdir()
    (store.directory / "half" / "versions").symlink_to(outside)
    with pytest.raises(StoreError, match="or holds a link"):
        store.add(file, "half", origin="upload")
    store.sheet_of("bottles").rename(tmp_path / "note")
    store.sheet_of("bottles").symlink_to(tmp_path / "note")
    with pytest.raises(StoreError, match="cannot be read"):
        store.get("bottles")
    assert everything(outside) == {"versions", "model.json"}


def test_what_somebody_who_was_killed_left_is_cleared_away(store: ModelStore, tmp_path: Path) -> None:
    store.add(model(tmp_path), "bottles", origin="upload")
    (store.directory / ".incoming").write_bytes(b"half a file")
    (store.directory / ".leaving" / "versions").mkdir(parents=True)
    (store.directory / "caps" / "versions").mkdir(parents=True)  # its note was never written
    (store.directory / "bottles" / ".model.json.new").write_bytes(b"{")
    assert [stored.name for stored in store.models()] == ["bottles"]
    store.add(model(tmp_path, 5.0), "caps", origin="upload")
    store.use("bottles", store.get("bottles").current.digest)
    assert [stored.name for stored in store.models()] == ["bottles", "caps"]
    left = {path.name for path in store.directory.rglob(".*")}
    assert left == {".lock"}


def test_a_directory_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"cannot be used: .*: give another --model-store"):
        ModelStore(tmp_path / "file").add(model(tmp_path), origin="upload")
    assert ModelStore(tmp_path / "absent").models() == []


# -- several at once -------------------------------------------------------------------------------


def test_others_change_the_store_while_a_model_is_copied_and_looked_at(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = store.add(model(tmp_path), "bottles", origin="upload").version.digest
    other, copy, during = ModelStore(store.directory, lock_timeout_s=0), Incoming.copy, list[str]()

    def meanwhile(what: str) -> None:
        during.append(what)
        other.use("bottles", digest)

    def copied(incoming: Incoming, file: Path) -> str:
        meanwhile("copied")
        return copy(incoming, file)

    def looked_at(path: Path, name: str) -> str:
        meanwhile("looked at")
        return checked_suffix(path, name)

    monkeypatch.setattr(Incoming, "copy", copied)
    monkeypatch.setattr("engine.models.store.store.checked_suffix", looked_at)
    added = store.add(model(tmp_path, 5.0), "bottles", origin="upload")
    assert during == ["copied", "looked at"]
    assert [entry.action for entry in added.model.history] == ["added", "current", "current", "added"]
    assert store.path_of("bottles", added.version.digest).read_bytes() == model(tmp_path, 5.0).read_bytes()


def test_a_copy_is_cleared_away_when_nobody_writes_it_any_more(store: ModelStore, tmp_path: Path) -> None:
    digest = store.add(model(tmp_path), "bottles", origin="upload").version.digest
    with store._changing():
        incoming = Incoming(store.directory)
    (store.directory / ".incoming-link").symlink_to(tmp_path / "absent")
    store.use("bottles", digest)
    assert incoming.path.exists()
    incoming._file.close()  # as the kernel does for a process that was killed
    store.use("bottles", digest)
    assert not incoming.path.exists()
    assert (store.directory / ".incoming-link").is_symlink(), "no copy"


def test_a_change_waits_for_that_of_another_process_no_longer_than_it_may(store: ModelStore, tmp_path: Path) -> None:
    store.add(model(tmp_path), "bottles", origin="upload")
    before = everything(store.directory)
    other = ModelStore(store.directory, lock_timeout_s=0.1)
    with ThreadPoolExecutor() as another, store._changing():
        refused = another.submit(other.delete, "bottles").exception(DEADLINE_S)
    assert isinstance(refused, StoreError)
    assert str(refused).startswith("another process has been changing the model store ")
    assert str(refused).endswith(" for 0.1 s: try again when it is done")
    assert everything(store.directory) == before


def add_many(directory: Path, files: list[Path], together: Barrier) -> None:
    """Add versions of one model, and make each current; the other process does the same at the same time."""
    store, digests = ModelStore(directory), list(map(file_digest, files))
    together.wait(DEADLINE_S)
    for file, digest in zip(files, digests, strict=True):
        store.add(file, "bottles", origin=file.stem)
        store.use("bottles", digest)


def test_two_processes_lose_nothing_of_each_others_and_a_reader_sees_a_whole_note_always(
    store: ModelStore, tmp_path: Path
) -> None:
    each = 20
    files = [model(tmp_path, float(number), f"{number}.onnx") for number in range(1, 2 * each + 1)]
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(2)
    writers = [spawn.Process(target=add_many, args=(store.directory, files[number::2], together)) for number in (0, 1)]
    for writer in writers:
        writer.start()
    seen = set()
    try:
        while any(writer.is_alive() for writer in writers):
            for stored in store.models():
                assert stored.current in stored.versions
                assert store.path_of("bottles", stored.current.digest).is_file()
                seen.add(stored.current.digest)
    finally:
        for writer in writers:
            writer.join(DEADLINE_S)
    assert [writer.exitcode for writer in writers] == [0, 0]
    stored = store.get("bottles")
    assert sorted(int(version.origin) for version in stored.versions) == list(range(1, 2 * each + 1))
    assert len({version.digest for version in stored.versions}) == 2 * each
    assert [entry.action for entry in stored.history].count("current") == 2 * each
    assert seen, "it was read meanwhile"


def test_whoever_follows_a_name_is_told_of_what_is_made_current_and_of_its_loss_once(
    store: ModelStore, tmp_path: Path
) -> None:
    first = store.add(model(tmp_path), "bottles", origin="upload").version
    current = CurrentVersion(store, "bottles")
    assert current.look() == first
    assert current.look() is None
    second = store.add(model(tmp_path, 5.0), "bottles", origin="upload").version
    assert current.look() == first, "something was noted"
    store.use("bottles", second.digest)
    assert current.look() == second
    store.use("bottles", second.digest)
    assert current.look() == second, "whoever failed to take it may try again"
    store.delete("bottles")
    with pytest.raises(ModelNotFoundError):
        current.look()
    assert current.look() is None
    store.add(model(tmp_path), "bottles", origin="upload")
    version = current.look()
    assert version is not None
    assert version.digest == first.digest
