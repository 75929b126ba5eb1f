"""Model files: which one is meant, of what kind it is, and whether it may be read."""

import glob
import mmap
import os
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import ModelError, ModelNotFoundError

#: `qpc` is a compiled program container of Cloud AI 100; `npz` holds weights and graph for tinygrad.
ModelKind = Literal["onnx", "qpc", "npz", "tensorflow", "torch"]

BUILT_IN = {"workpiece": Path(__file__).parent / "builtin" / "workpiece.onnx"}
#: The name that the vendor's compiler gives to its result. Source: quic/cloud-ai-sdk-pages, docs/Python-API.
QPC_FILE_NAME = "programqpc.bin"

_KIND_BY_SUFFIX: dict[str, ModelKind] = {
    ".onnx": "onnx",
    ".bin": "qpc",
    ".npz": "npz",
    ".pb": "tensorflow",
    ".pt": "torch",
    ".pth": "torch",
    ".pt2": "torch",
}
_HINT = f"give the path of an .onnx file, or {', '.join(BUILT_IN)}"
#: AICQPC_MAGIC_NUMBER, the first field of a QPC's header, little-endian. A QPC for several devices may begin in another
#: way. Source: quic/software-kit-for-qualcomm-cloud-ai-100, lib/networkdesc/qpc/inc/QAicQpc.h.
_QPC_MAGIC = b"\x7c\xcd\xa1\x00"
#: ModelProto.ir_version, its first field: a varint with a small number. Source: onnx/onnx, onnx/onnx.proto.
_ONNX_FIRST_TAG = 0x08
_ONNX_MAX_IR_VERSION = 64
#: The tags that may follow it: producer_name, producer_version, domain, model_version, doc_string, graph, opset_import,
#: metadata_props.
_ONNX_NEXT_TAGS = frozenset((0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72))


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk; a TensorFlow SavedModel is a directory."""

    path: Path
    kind: ModelKind


def locate_model(name: str | os.PathLike[str]) -> ModelFile:
    """Return the file that is meant.

    Args:
        name: A built-in model's name, a path, a directory with a QPC in it, or a glob that matches one file.

    Raises:
        ModelNotFoundError: There is none.
        ModelError: There are several, it cannot be read, or its content is of no known kind.
    """
    text = os.fspath(name)
    if text in BUILT_IN:
        return ModelFile(BUILT_IN[text], "onnx")
    try:
        path = _only_match(text)
        if path.is_dir():
            if (path / "saved_model.pb").is_file():
                return ModelFile(path, "tensorflow")
            path /= QPC_FILE_NAME
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ModelNotFoundError(f"no model {text}: {_HINT}") from exc
    # A home that is not known, a byte that no path has, no permission.
    except (OSError, RuntimeError, ValueError) as exc:
        raise ModelError(f"the model {text} cannot be read: {exc}: {_HINT}") from exc
    kind = _KIND_BY_SUFFIX.get(path.suffix.lower()) or _kind_by_content(path)
    if kind is None:
        raise ModelError(f"{path} is no model that is known: {_HINT}, a QPC (.bin) or an .npz")
    return ModelFile(path, kind)


def _only_match(text: str) -> Path:
    path = Path(text).expanduser()
    if path.exists() or not glob.has_magic(text):
        return path
    matches = sorted(glob.glob(str(path)))  # noqa: PTH207 - Path.glob refuses absolute patterns
    if len(matches) > 1:
        raise ModelError(f"{len(matches)} files match {text}, among them {matches[0]} and {matches[1]}: name one")
    if not matches:
        raise ModelNotFoundError(f"no file matches {text}: {_HINT}")
    return Path(matches[0])


def _kind_by_content(path: Path) -> ModelKind | None:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(_QPC_MAGIC):
        return "qpc"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("data.pkl") for name in names):
            return "torch"
        return "npz" if names and all(name.endswith(".npy") for name in names) else None
    if len(head) > 2 and head[0] == _ONNX_FIRST_TAG and 0 < head[1] <= _ONNX_MAX_IR_VERSION:  # noqa: SIM102
        if head[2] in _ONNX_NEXT_TAGS:
            return "onnx"
    return "qpc" if path.name.startswith("programqpc") else None


def check_onnx_file(path: Path) -> None:
    """Refuse an ONNX file whose weights are kept in files that it has no business to read.

    External data must be plain files below the model's own folder, reached without links: a model from elsewhere could
    name any file of the machine as its weights, and give it away in its answers. ONNX Runtime and onnx look at the
    path; a hard link passes them.

    Raises:
        ModelError: It names the file.
    """
    if not _may_have_external_data(path):
        return
    import onnx  # a fifth of a second, and only few models need it

    try:
        model = onnx.load(path, load_external_data=False)
    except Exception as exc:  # onnx and protobuf raise anything on what is no ONNX file
        first = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise ModelError(f"{path} is no complete ONNX file: {first}") from exc
    folder = path.resolve().parent
    for tensor in tensors(model, onnx.TensorProto):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            _check_external_data(path, folder, tensor)


def tensors(message: Any, tensor_type: Any) -> Iterator[Any]:
    """Give every tensor within a message, wherever it stands: subgraphs, functions, sparse tensors, attributes."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in [value] if hasattr(value, "ListFields") else value:
            if isinstance(inner, tensor_type):
                yield inner
            else:
                yield from tensors(inner, tensor_type)


def _may_have_external_data(path: Path) -> bool:
    """Tell whether the bytes hold the word without which no tensor names a file."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"location") >= 0


def _check_external_data(model: Path, folder: Path, tensor: Any) -> None:
    location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
    where = f"{model}: the weights {tensor.name!r} are kept in {location!r}"
    file = folder / location
    if not location or Path(location).is_absolute() or ".." in Path(location).parts:
        raise ModelError(f"{where}, which is not below the model's own folder")
    if file.resolve() != file:
        raise ModelError(f"{where}, which is reached by a link: put the file itself beside the model")
    try:
        status = file.lstat()
    except OSError as exc:
        raise ModelError(f"{where}, which cannot be read: {exc.strerror}") from exc
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{where}, which is no plain file")
    if status.st_nlink > 1:
        raise ModelError(f"{where}, which has another name too (a hard link): copy it")
