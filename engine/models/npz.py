"""The `.npz` model: weights and graph in one numpy archive, without pickle.

`@format` holds the version, `@graph` the ONNX file's bytes without the data of its initializers, and every other
member one of these, by its name. What a member's name cannot hold is percent-encoded, `/` and `@` too, so no weight
takes the place of the two. Weights that numpy has no type for, and those within nodes, stay in the graph.
"""

import io
import math
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from engine.errors import ModelError, ModelNotFoundError, first_line
from engine.models.files import MAX_PROTOBUF_BYTES, replacing
from engine.models.onnx_file import check_onnx_file, external_tensors, read_onnx

_FORMAT = "@format"
_GRAPH = "@graph"
_SUFFIX = ".npy"
_VERSION = 1
_MAX_MEMBERS = 100_000
#: The graph stands without its weights.
_MAX_GRAPH_BYTES = 256 * 1024**2
#: More than the header of a member takes.
_HEADER_BYTES = 1024
#: One date for all, so that the same model gives the same file.
_DATE = (1980, 1, 1, 0, 0, 0)


def save_npz(onnx_path: Path, npz_path: Path) -> None:
    """Write an ONNX file, with the weights that it keeps beside it, as an `.npz` model.

    Raises:
        ModelError: The ONNX file cannot be used, or is too large.
    """
    check_onnx_file(onnx_path)
    save_model(read_onnx(onnx_path, with_external_data=True), npz_path)


def save_model(model: Any, npz_path: Path) -> None:
    """Write an `onnx.ModelProto` as an `.npz` model; it is left without its weights.

    Raises:
        ModelError: It is too large, or its weights have no usable names.
    """
    from onnx import numpy_helper

    members: dict[str, NDArray[np.generic]] = {_FORMAT: np.array(_VERSION, np.int64)}
    for tensor in model.graph.initializer:
        if not _is_plain(tensor):
            continue
        name = quote(tensor.name, safe="")
        if not name or name in members:
            raise ModelError(f"{npz_path} cannot hold the model: it has two weights called {tensor.name!r}, or no name")
        members[name] = numpy_helper.to_array(tensor)
        _strip(tensor)
    members[_GRAPH] = np.frombuffer(model.SerializeToString(), np.uint8)
    size = sum(array.nbytes for array in members.values())
    if size + _HEADER_BYTES * len(members) > MAX_PROTOBUF_BYTES:
        raise ModelError(f"{npz_path} cannot hold the model: its {size:,} bytes are more than {MAX_PROTOBUF_BYTES:,}")
    with replacing(npz_path) as made, zipfile.ZipFile(made, "w") as archive:
        for name, array in members.items():
            buffer = io.BytesIO()
            npy.write_array(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + _SUFFIX, _DATE), buffer.getbuffer())


def load_npz(path: Path, max_bytes: int = MAX_PROTOBUF_BYTES) -> Any:
    """Return the `onnx.ModelProto` that an `.npz` model holds.

    Args:
        path: The file.
        max_bytes: The most that its members may unpack to.

    Raises:
        ModelError: It is no such file, or has more, less or other weights than its graph.
        ModelNotFoundError: There is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _read(archive, max_bytes)
        return _assembled(members)
    except FileNotFoundError as exc:
        raise ModelNotFoundError(f"no model file {path}") from exc
    except Exception as exc:  # zipfile, zlib, numpy and protobuf raise anything on what somebody made up
        raise ModelError(f"{path} is no .npz model: {first_line(exc)}") from exc


def _read(archive: zipfile.ZipFile, max_bytes: int) -> dict[str, NDArray[np.generic]]:
    """Read all members. What the archive says of their sizes is as much as is read of them."""
    entries = archive.infolist()
    names = {entry.filename for entry in entries}
    size = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_MEMBERS or size > max_bytes:
        raise ValueError(f"{len(entries)} members of {size:,} bytes are more than {_MAX_MEMBERS:,} of {max_bytes:,}")
    if len(names) < len(entries):
        raise ValueError("two of its members have the same name")
    for needed in (_FORMAT, _GRAPH):
        if needed + _SUFFIX not in names:
            raise ValueError(f"it has no {needed}: it was not written as a model")
        if archive.getinfo(needed + _SUFFIX).file_size > _MAX_GRAPH_BYTES:
            raise ValueError(f"its {needed} has more than {_MAX_GRAPH_BYTES:,} bytes")
    members = {}
    for entry in entries:
        name = entry.filename.removesuffix(_SUFFIX)
        if name == entry.filename or (name not in {_FORMAT, _GRAPH} and quote(unquote(name), safe="") != name):
            raise ValueError(f"{entry.filename!r} is no name of a weight")
        members[name] = _array(archive.read(entry), entry.filename)
    return members


def _array(content: bytes, name: str) -> NDArray[np.generic]:
    """Make an array of a member. numpy's own reader allocates what the header says, however much that is."""
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{name} has the npy version {version}")
    shape, is_fortran, dtype = read(file)
    left = len(content) - file.tell()
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != left:
        raise ValueError(f"{name} says that it is {dtype}{list(shape)}, and has {left} bytes")
    values: NDArray[np.generic] = np.frombuffer(content, dtype, offset=file.tell())
    return values.reshape(shape, order="F" if is_fortran else "C")


def _assembled(members: dict[str, NDArray[np.generic]]) -> Any:
    """Put the weights back into the graph."""
    from onnx import numpy_helper

    version, graph = members.pop(_FORMAT), members.pop(_GRAPH)
    if version.shape != () or version.dtype != np.int64 or version != _VERSION:
        raise ValueError(f"its format is {version.tolist()}, and this program reads {_VERSION}")
    if graph.ndim != 1 or graph.dtype != np.uint8:
        raise ValueError(f"its graph is {graph.dtype}{list(graph.shape)}, not bytes")
    model = _parsed(graph.tobytes())
    for tensor in model.graph.initializer:
        if _is_plain(tensor):
            array = _weights(tensor, members.pop(quote(tensor.name, safe=""), None))
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    if members:
        raise ValueError(f"its graph takes no weights {unquote(next(iter(members)))!r}")
    return model


def _parsed(graph: bytes) -> Any:
    import onnx

    model = onnx.ModelProto.FromString(graph)
    if not model.graph.output:
        raise ValueError("its graph gives nothing")
    for tensor in external_tensors(model):
        raise ValueError(f"its graph keeps the weights {tensor.name!r} in another file")
    return model


def _weights(tensor: Any, array: NDArray[np.generic] | None) -> NDArray[np.generic]:
    from onnx import helper

    if array is None:
        raise ValueError(f"it lacks the weights {tensor.name!r}")
    wanted = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type))
    if array.dtype != wanted or array.shape != tuple(tensor.dims):
        raise ValueError(
            f"the weights {tensor.name!r} are {array.dtype}{list(array.shape)}, and its graph takes "
            f"{wanted}{list(tensor.dims)}"
        )
    return array


def _is_plain(tensor: Any) -> bool:
    """Tell whether numpy itself has the type: others, such as bfloat16, would need pickle or lose their meaning."""
    from onnx import helper

    try:
        return np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).kind in "biufc"
    except KeyError:
        return False


def _strip(tensor: Any) -> None:
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data"):
        tensor.ClearField(field)
