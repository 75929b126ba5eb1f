"""What the store takes: whole models in one file, known by their content and free of pickles."""

import zipfile
from contextlib import suppress
from pathlib import Path

from engine.errors import BackendError, ModelError, StoreError
from engine.models.files import PICKLE_MAGIC, ModelKind, is_tflite, locate_model
from engine.models.npz import load_npz
from engine.models.onnx_file import check_onnx_file, external_tensors, read_onnx

_TAKEN = "the store takes .onnx, .npz, .tflite and a QPC (.bin)"


def checked_suffix(path: Path, name: str) -> str:
    """Return the suffix that belongs to a file's content, whatever it is called.

    Args:
        path: The file; its own name has no suffix, so that only the content counts.
        name: What to call it in an error.

    Raises:
        StoreError: It is no such model, is not whole, keeps its weights elsewhere, or holds a pickle.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
        if is_tflite(path):
            _check_tflite(path)
            return ".tflite"
        if head.startswith(PICKLE_MAGIC) or _holds_pickle(path):
            raise StoreError(
                f"{name} holds a pickle, which can run any code when it is read: "
                "convert it first, `streamer convert IN.pt OUT.onnx`"
            )
        kind = _kind(path)
        if kind == "npz":
            load_npz(path)
            return ".npz"
        if kind == "onnx":
            _check_onnx(path)
            return ".onnx"
        if kind == "qpc":
            return ".bin"
    except StoreError:
        raise
    except ModelError as exc:
        raise StoreError(f"{name} cannot be taken: {str(exc).replace(str(path), 'it')}") from exc
    raise StoreError(f"{name} is no model, or of a kind that the store does not take: {_TAKEN}")


def _kind(path: Path) -> ModelKind | None:
    try:
        return locate_model(path).kind
    except ModelError:
        return None


def _holds_pickle(path: Path) -> bool:
    """Tell whether it is an archive with a pickle in it, as torch and numpy write."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith((".pkl", ".pickle", ".pt", ".pth")) for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False  # it is no whole archive, which the next check says


def _check_onnx(path: Path) -> None:
    """Refuse an ONNX file that is not whole, or not all of the model."""
    model = read_onnx(path)
    for tensor in external_tensors(model):
        raise ModelError(f"it keeps the weights {tensor.name!r} in another file: save it with its weights inside")
    check_onnx_file(path)


def _check_tflite(path: Path) -> None:
    """Refuse a TFLite file that is not whole, where what reads it is installed."""
    from engine.models.tools.tflite_graph import parse_tflite

    with suppress(BackendError):
        parse_tflite(path)
