"""The Open Inference Protocol v2 on the wire: JSON with tensors as binary data behind it. Pure.

Source: kserve/open-inference-protocol specification/protocol/inference_rest.md; triton-inference-server/server
docs/protocol/extension_binary_data.md, for the binary data and its header.
"""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import InferenceError
from engine.models.program import Tensors, TensorSpec

#: How many bytes of a body are JSON; the rest is binary data, tensor after tensor.
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
JSON_TYPE: Final = "application/json"
BINARY_TYPE: Final = "application/octet-stream"
#: JSON takes some twenty times its size to read.
MAX_JSON_BYTES: Final = 16 * 1024 * 1024
_DIGITS: Final = 12
_LONGEST_AXIS: Final = 2**31
_AXES: Final = 32

_NAMES: Final = {
    "bool": "BOOL",
    **{f"{kind}{bits}": f"{kind.upper()}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)},
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
_DTYPES: Final = {name: np.dtype(dtype) for dtype, name in _NAMES.items()}


@dataclass(frozen=True, slots=True)
class InferRequest:
    """What a client wants computed.

    Attributes:
        request_id: The client's, given back with the answer; empty where it gave none.
        outputs: The outputs that it wants, each with whether as binary data; none for all of them.
        is_binary: Whether outputs that it did not name come as binary data.
    """

    request_id: str
    inputs: Tensors
    outputs: Mapping[str, bool]
    is_binary: bool


def read_request(body: bytes | memoryview, header_length: str | None) -> InferRequest:
    """Read the body of an infer request.

    Args:
        body: All of it, unpacked.
        header_length: The value of `HEADER_LENGTH`, where the client sent it.

    Raises:
        InferenceError: It is not as the protocol has it; the message names what.
    """
    header, rest = _split(body, header_length)
    inputs: dict[str, NDArray[np.generic]] = {}
    for tensor in _list(header, "inputs"):
        name, value, rest = _read_tensor(tensor, rest)
        if name in inputs:
            raise InferenceError(f"input {name} is given twice")
        inputs[name] = value
    if len(rest):
        raise InferenceError(f"{len(rest)} bytes of binary data belong to no input")
    parameters = _parameters(header)
    is_binary = parameters.get("binary_data_output") is True
    outputs = {
        _text(output, "name"): bool(_parameters(output).get("binary_data", is_binary))
        for output in _list(header, "outputs", is_optional=True)
    }
    request_id = header.get("id", "")
    if not isinstance(request_id, str):
        raise InferenceError("id is no text")
    return InferRequest(request_id, inputs, outputs, is_binary)


def write_request(inputs: Tensors, request_id: str = "") -> tuple[bytes, int]:
    """Return a request's body, all inputs and outputs as binary data, and how many bytes of it are JSON."""
    header: dict[str, Any] = {"parameters": {"binary_data_output": True}}
    if request_id:
        header["id"] = request_id
    return _write(header, "inputs", ((name, value, True) for name, value in inputs.items()))


def write_response(model: str, request: InferRequest, outputs: Tensors) -> tuple[bytes, int | None]:
    """Return an answer's body, and how many bytes of it are JSON; None where all are.

    Raises:
        InferenceError: The client wants an output that the model has not.
    """
    missing = [name for name in request.outputs if name not in outputs]
    if missing:
        raise InferenceError(f"the model has no output {missing[0]}: it has {', '.join(outputs)}")
    wanted = request.outputs or dict.fromkeys(outputs, request.is_binary)
    header: dict[str, Any] = {"model_name": model, "model_version": "1"}
    if request.request_id:
        header["id"] = request.request_id
    body, length = _write(header, "outputs", ((name, outputs[name], binary) for name, binary in wanted.items()))
    return body, length if any(wanted.values()) else None


def read_response(body: bytes | memoryview, header_length: str | None) -> dict[str, NDArray[np.generic]]:
    """Read an answer.

    Raises:
        InferenceError: It is not as the protocol has it.
    """
    header, rest = _split(body, header_length)
    outputs: dict[str, NDArray[np.generic]] = {}
    for tensor in _list(header, "outputs"):
        name, value, rest = _read_tensor(tensor, rest)
        outputs[name] = value.copy()  # as whoever computes here gets them: to be changed
    return outputs


def describe(spec: TensorSpec) -> dict[str, Any]:
    """Return a tensor as the model's metadata has it; an open axis is -1."""
    return {
        "name": spec.name,
        "datatype": datatype(spec.dtype),
        "shape": [-1 if size is None else size for size in spec.shape],
    }


def datatype(dtype: np.dtype[np.generic]) -> str:
    """Return the protocol's name of a dtype.

    Raises:
        InferenceError: It has none.
    """
    name = _NAMES.get(dtype.name)
    if name is None:
        raise InferenceError(f"tensors of {dtype} have no name in the protocol")
    return name


def json_length(size_bytes: int, header_length: str | None) -> int:
    """Return how many bytes of a body of `size_bytes` are JSON: what the header says, else all.

    Raises:
        InferenceError: The header is no number, or larger than the body.
    """
    if header_length is None:
        return size_bytes
    is_number = header_length.isascii() and header_length.isdigit() and len(header_length) <= _DIGITS
    if not is_number or int(header_length) > size_bytes:
        raise InferenceError(f"{HEADER_LENGTH} is {header_length[:20]!r}, of a body of {size_bytes} bytes")
    return int(header_length)


def _split(body: bytes | memoryview, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    whole = memoryview(body)
    length = json_length(len(whole), header_length)
    if length > MAX_JSON_BYTES:
        raise InferenceError(f"{length} bytes of JSON are more than {MAX_JSON_BYTES}: send tensors as binary data")
    try:
        header = json.loads(bytes(whole[:length]))
    except (ValueError, RecursionError) as exc:
        raise InferenceError(f"the body is no JSON: {str(exc)[:100]!r}") from exc
    if not isinstance(header, dict):
        raise InferenceError("the body is no JSON object")
    return header, whole[length:]


def _write(
    header: dict[str, Any], key: str, tensors: Iterable[tuple[str, NDArray[np.generic], bool]]
) -> tuple[bytes, int]:
    described: list[dict[str, Any]] = []
    data: list[bytes | memoryview] = []
    for name, value, is_binary in tensors:
        tensor: dict[str, Any] = {"name": name, "datatype": datatype(value.dtype), "shape": list(value.shape)}
        if is_binary:
            tensor["parameters"] = {"binary_data_size": value.nbytes}
            data.append(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data if value.size else b"")
        else:
            tensor["data"] = value.ravel().tolist()
        described.append(tensor)
    try:
        head = json.dumps(header | {key: described}, separators=(",", ":"), allow_nan=False).encode()
    except ValueError as exc:
        raise InferenceError("an output is no number, which JSON cannot say: ask for binary data") from exc
    return b"".join([head, *data]), len(head)


def _read_tensor(tensor: Any, rest: memoryview) -> tuple[str, NDArray[np.generic], memoryview]:
    """Return a tensor's name and values, and the binary data that is left."""
    name = _text(tensor, "name")
    dtype = _DTYPES.get(_text(tensor, "datatype"))
    if dtype is None:
        raise InferenceError(f"tensor {name}: datatype {tensor['datatype'][:20]!r} is none of {', '.join(_DTYPES)}")
    shape = tensor.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and 0 < size < _LONGEST_AXIS for size in shape):
        raise InferenceError(f"tensor {name}: shape is no list of sizes above 0")
    if len(shape) > _AXES:
        raise InferenceError(f"tensor {name} has more than {_AXES} axes")
    size = _parameters(tensor).get("binary_data_size")
    if size is None:
        return name, _from_json(name, tensor.get("data"), dtype, shape), rest
    wanted = math.prod(shape) * dtype.itemsize
    if type(size) is not int or size != wanted or size > len(rest):
        raise InferenceError(
            f"tensor {name}: {dtype}{shape} takes {wanted} bytes, binary_data_size is {str(size)[:20]}, "
            f"{len(rest)} came"
        )
    return name, np.frombuffer(rest[:size], dtype).reshape(shape), rest[size:]


def _from_json(name: str, data: Any, dtype: np.dtype[np.generic], shape: list[int]) -> NDArray[np.generic]:
    if not isinstance(data, list):
        raise InferenceError(f"tensor {name} has neither data nor binary_data_size")
    try:
        value = np.asarray(data, dtype)
        if value.size != math.prod(shape):
            raise ValueError(f"{value.size} values for the shape {shape}")
        return value.reshape(shape)
    except (ValueError, TypeError, OverflowError) as exc:
        raise InferenceError(f"tensor {name}: its data is no {dtype}{shape}: {str(exc)[:100]}") from exc


def _list(header: Mapping[str, Any], key: str, *, is_optional: bool = False) -> list[dict[str, Any]]:
    value = header.get(key, [] if is_optional else None)
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value) or not (value or is_optional):
        raise InferenceError(f"{key} is no list of tensors")
    return value


def _text(tensor: Mapping[str, Any], key: str) -> str:
    value = tensor.get(key)
    if not isinstance(value, str) or not value:
        raise InferenceError(f"a tensor has no {key}")
    return value


def _parameters(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    value = holder.get("parameters", {})
    if not isinstance(value, dict):
        raise InferenceError("parameters are no object")
    return value
