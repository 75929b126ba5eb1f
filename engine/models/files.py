"""Model files: which one is meant, and of what kind it is."""

import glob
import hashlib
import os
import stat
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
TORCH_SUFFIXES = frozenset(suffix for suffix, kind in _KIND_BY_SUFFIX.items() if kind == "torch")
#: `file_identifier` of a TFLite model, after the offset of its root. Source: tensorflow/tensorflow,
#: tensorflow/compiler/mlir/lite/schema/schema.fbs.
TFLITE_MAGIC = b"TFL3"
TFLITE_HINT = "`streamer convert` makes an .onnx of it"
#: How a pickle of protocol 2 or later begins. Source: python/cpython, Lib/pickle.py, PROTO.
PICKLE_MAGIC = b"\x80"
#: How an archive begins with its first member. Source: PKWARE, APPNOTE.TXT, 4.3.7.
ZIP_MAGIC = b"PK\x03\x04"
#: ModelProto.ir_version, its first field: a varint with a small number. Source: onnx/onnx, onnx/onnx.proto.
ONNX_MAGIC = b"\x08"
#: No protobuf message, and so no single ONNX file, holds more.
MAX_PROTOBUF_BYTES = 2**31 - 1
_HINT = f"give the path of an .onnx file, or {', '.join(BUILT_IN)}"
#: AICQPC_MAGIC_NUMBER, the first field of a QPC's header, little-endian. A QPC for several devices may begin in another
#: way. Source: quic/software-kit-for-qualcomm-cloud-ai-100, lib/networkdesc/qpc/inc/QAicQpc.h.
_QPC_MAGIC = b"\x7c\xcd\xa1\x00"
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
        if not stat.S_ISREG(path.stat().st_mode):
            raise ModelError(f"{path} is no plain file: {_HINT}")
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ModelNotFoundError(f"no model {text}: {_HINT}") from exc
    # A home that is not known, a byte that no path has, no permission.
    except (OSError, RuntimeError, ValueError) as exc:
        raise ModelError(f"the model {text} cannot be read: {exc}: {_HINT}") from exc
    kind = _KIND_BY_SUFFIX.get(path.suffix.lower()) or _kind_by_content(path)
    if kind is None and is_tflite(path):
        raise ModelError(f"{path} is a TFLite model, which no back end runs: {TFLITE_HINT}")
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
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError):
            return None  # damaged
        if any(name.endswith("data.pkl") for name in names):
            return "torch"
        return "npz" if names and all(name.endswith(".npy") for name in names) else None
    if len(head) > 2 and head.startswith(ONNX_MAGIC) and 0 < head[1] <= _ONNX_MAX_IR_VERSION:  # noqa: SIM102
        if head[2] in _ONNX_NEXT_TAGS:
            return "onnx"
    return "qpc" if path.name.startswith("programqpc") else None


def is_tflite(path: Path) -> bool:
    """Tell by its mark whether a file is a TFLite model.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(8)[4:] == TFLITE_MAGIC


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a path to write to, of the same name; what is there at the end takes the target's place in one step.

    Its mode is what any new file gets. Where the block raises, the target is left as it was.

    Raises:
        OSError: There can be no folder beside the target, or the target cannot be replaced.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
        made = Path(folder) / target.name
        yield made
        made.replace(target)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def combined_digest(paths: Iterable[Path], circumstances: Iterable[str]) -> str:
    """Return one SHA-256, in hexadecimal, of the contents of files and of texts: what is made of them is named by it.

    Raises:
        OSError: A file cannot be read.
    """
    parts = [file_digest(path) for path in paths]
    parts += [hashlib.sha256(text.encode()).hexdigest() for text in circumstances]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
