"""ONNX files: reading and writing them, and the files beside them that hold their weights."""

import mmap
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import ModelError, first_line
from engine.models.files import MAX_PROTOBUF_BYTES, replacing


def read_onnx(path: Path, *, with_external_data: bool = False) -> Any:
    """Return a file's `onnx.ModelProto`.

    Args:
        path: The file; `check_onnx_file` has let it pass.
        with_external_data: Whether the weights outside the file are read as well.

    Raises:
        ModelError: It is no complete ONNX file; it names the file.
    """
    import onnx  # a fifth of a second, and few back ends need it

    try:
        model = onnx.load(path, load_external_data=with_external_data)
    except Exception as exc:  # onnx and protobuf raise anything on what is no ONNX file
        raise ModelError(f"{path} is no complete ONNX file: {first_line(exc)}") from exc
    if not model.graph.output or not model.opset_import:  # an empty file is a model without anything
        raise ModelError(f"{path} is no complete ONNX file: it has no graph")
    return model


def save_onnx(model: Any, path: Path) -> None:
    """Write an `onnx.ModelProto` with all its weights as one file, whole or not at all.

    Raises:
        ModelError: It is too large for that.
        OSError: It cannot be written.
    """
    size = model.ByteSize()
    if size > MAX_PROTOBUF_BYTES:
        raise ModelError(f"{path.name} would have {size:,} bytes, and one ONNX file holds {MAX_PROTOBUF_BYTES:,}")
    with replacing(path) as made:
        made.write_bytes(model.SerializeToString())


def nodes_of(graph: Any) -> Iterator[Any]:
    """Give every node of a graph and of the graphs within its nodes."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for branch in [attribute.g, *attribute.graphs]:
                yield from nodes_of(branch)


def external_tensors(message: Any) -> Iterator[Any]:
    """Give every tensor whose weights are in another file, wherever it stands: subgraphs, functions, attributes."""
    from onnx import TensorProto

    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for inner in [value] if hasattr(value, "ListFields") else value:
            if not isinstance(inner, TensorProto):
                yield from external_tensors(inner)
            elif inner.data_location == TensorProto.EXTERNAL or inner.external_data:
                yield inner


def external_location(tensor: Any) -> str:
    """Return the file in which a tensor's weights are kept, relative to the model's folder."""
    return next((entry.value for entry in tensor.external_data if entry.key == "location"), "")


def files_of(path: Path) -> tuple[Path, ...]:
    """Return the files that a model consists of, itself first.

    Raises:
        ModelError: It is no complete ONNX file.
    """
    if not _may_have_external_data(path):
        return (path,)
    locations = {external_location(tensor) for tensor in external_tensors(read_onnx(path))}
    return (path, *(path.parent / location for location in sorted(locations)))


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
    folder = path.resolve().parent
    model = read_onnx(path)
    for tensor in external_tensors(model):
        _check_external_data(path, folder, tensor)
    for node in nodes_of(model.graph):
        # A program for QNN may be kept in another file, which its own parser reads.
        if node.op_type == "EPContext" and any(attr.name == "embed_mode" and attr.i == 0 for attr in node.attribute):
            raise ModelError(f"{path} keeps a compiled program in another file: give one that has it embedded")


def _may_have_external_data(path: Path) -> bool:
    """Tell whether the bytes hold a word without which nothing names a file."""
    if path.stat().st_size == 0:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return any(content.find(word) >= 0 for word in (b"location", b"EPContext"))


def _check_external_data(model: Path, folder: Path, tensor: Any) -> None:
    location = external_location(tensor)
    where = f"{model}: the weights {tensor.name!r} are kept in {location!r}"
    keys = [entry.key for entry in tensor.external_data]
    if len(set(keys)) < len(keys):
        # Of two places we would check the first, and a runtime may read the last.
        raise ModelError(f"{where}, and {max(keys, key=keys.count)} is said twice: save the model anew")
    parts = Path(location).parts
    if not location or Path(location).is_absolute() or ".." in parts:
        raise ModelError(f"{where}, which is not below the model's own folder")
    # ONNX Runtime and OpenVINO take a location of this form for an address in memory.
    if "\0" in location or "*" in location or "_ORT_MEM_ADDR_" in location:
        raise ModelError(f"{where}, which is no file's name")
    file = folder / location
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
    place = {entry.key: entry.value for entry in tensor.external_data}
    numbers = [place.get("offset", "0"), place.get("length", "0")]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise ModelError(f"{where}, at {' and '.join(numbers)}, which are no numbers")
    if sum(map(int, numbers)) > status.st_size:
        raise ModelError(f"{where}, which has {status.st_size} bytes and should reach to {sum(map(int, numbers))}")
